"""Images cut into tiles, and their results joined again, exactly or with a smooth blend.

All windows of a tiling have the same size, so that they can be batched and one compiled kernel serves all. A
window at the image's border ends there, so the network pads exactly where it pads the whole image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of LR pixels that goes through the generator, in `[top, bottom) x [left, right)`."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """How images of one size are cut into windows."""

    height: int
    """Height of the image in LR pixels."""
    width: int
    windows: tuple[Window, ...]
    """Equal in size, in reading order."""
    halo: int
    """LR pixels that are cropped off each inner edge of a window."""
    overlap: int
    """LR pixels beside the halo in which neighbouring windows are blended; 0 if the halo makes tiles
    exact."""


def plan_tiles(height: int, width: int, *, tile: int, radius: int, multiple: int = 1) -> Tiling:
    """Cut an image so that the side of each tile is at most `tile` LR pixels, without its halo.

    Args:
        tile: Side of a tile without its halo in LR pixels; raised to `MIN_BLENDED` where tiles are blended.
        radius: The network's receptive radius in LR pixels. Up to `MAX_HALO` the halo has this size, and the
            result equals that of the whole image. Above, `MAX_HALO` pixels are read and tiles are blended.
        multiple: Windows begin at multiples of this, for networks that unshuffle pixels first.
    """
    exact = radius <= MAX_HALO
    halo = _up(radius if exact else MAX_HALO - OVERLAP, multiple)
    overlap = 0 if exact else OVERLAP
    if overlap:
        tile = max(tile, MIN_BLENDED)
    margin = halo + overlap
    rows = _starts(height, tile=tile, margin=margin, multiple=multiple)
    columns = _starts(width, tile=tile, margin=margin, multiple=multiple)
    windows = tuple(Window(t, left, b, right) for t, b in rows for left, right in columns)
    return Tiling(height=height, width=width, windows=windows, halo=halo, overlap=overlap)


MAX_HALO = 64
"""Most LR pixels that are read around a tile. Compact networks of 16 and 32 convolutions need 18 and 34, so
their tiles are exact. An RRDB of 23 blocks depends on 349, but those beyond 64 have almost no weight;
blending hides the difference."""
OVERLAP = 16
"""LR pixels on each side of a seam in which tiles are blended if the halo does not make them exact."""
MIN_BLENDED = 5 * OVERLAP
"""Smallest side of a blended tile in LR pixels; smaller ones would be blended at two seams at once."""


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _starts(size: int, *, tile: int, margin: int, multiple: int) -> list[tuple[int, int]]:
    """Return windows `[start, end)` of equal length along one axis, which cover it without their margins."""
    length = _up(tile, multiple) + 2 * margin
    if length >= size:
        return [(0, size)]
    # The first and the last window have a margin on one side only, so they contribute length - margin.
    count = 2 + max(0, -(-(size - 2 * (length - margin)) // (length - 2 * margin)))
    last = _up(size - length, multiple)  # the last window may be shorter than the rest by < multiple
    starts = sorted({min(last, _up(round(i * last / (count - 1)), multiple)) for i in range(count)})
    return [(start, min(size, start + length)) for start in starts]


def cut(images: Tensor, tiling: Tiling) -> Iterator[Tensor]:
    """Yield the windows of images `(N, C, H, W)` as views `(N, C, h, w)`, in the order of
    `tiling.windows`."""
    for w in tiling.windows:
        yield images[..., w.top : w.bottom, w.left : w.right]


class Canvas:
    """Collects upscaled windows into whole images `(N, C, H * scale, W * scale)`."""

    def __init__(self, images: Tensor, tiling: Tiling, *, scale: int, over: Tensor | None = None) -> None:
        """Allocate the result.

        Args:
            images: Only their number, channels, device and dtype are used.
            tiling: How the images are cut.
            scale: SR side over LR side.
            over: `(N, C, H * scale, W * scale)` of `images`' dtype: the result where no window is put, for a
                tiling without overlap; not changed. With None all windows must be put.
        """
        n, c = images.shape[:2]
        size = (n, c, tiling.height * scale, tiling.width * scale)
        if over is None:
            self._out = torch.zeros(size, dtype=images.dtype, device=images.device)
        else:
            assert over.shape == size
            assert not tiling.overlap
            self._out = over.clone()
        self._tiling = tiling
        self._scale = scale
        self._rows = _edges({(w.top, w.bottom) for w in tiling.windows})
        self._columns = _edges({(w.left, w.right) for w in tiling.windows})

    def put(self, index: int, sr: Tensor) -> None:
        """Add window number `index`, `(N, C, h * scale, w * scale)`."""
        w = self._tiling.windows[index]
        rows = self._weights(self._rows, w.top, w.bottom, self._tiling.height, sr)
        columns = self._weights(self._columns, w.left, w.right, self._tiling.width, sr)
        (top, down), (left, across) = rows, columns
        inner = sr[..., top : top + len(down), left : left + len(across)]
        y, x = w.top * self._scale + top, w.left * self._scale + left
        target = self._out[..., y : y + len(down), x : x + len(across)]
        if self._tiling.overlap == 0:
            target.copy_(inner)
        else:
            target.addcmul_(inner, down[:, None] * across[None, :])

    def result(self) -> Tensor:
        """Return the images after all windows were put."""
        return self._out

    def _weights(
        self, edges: list[tuple[int, int]], start: int, end: int, size: int, sr: Tensor
    ) -> tuple[int, Tensor]:
        """Return the first SR pixel that a window contributes along one axis, and the weights of its
        pixels."""
        i = edges.index((start, end))
        low = None if i == 0 else _seam(edges[i - 1], edges[i])
        high = None if i == len(edges) - 1 else _seam(edges[i], edges[i + 1])
        lap, s = self._tiling.overlap, self._scale
        first = 0 if low is None else (low - lap) * s
        last = size * s if high is None else (high + lap) * s
        weight = torch.ones(last - first, dtype=sr.dtype, device=sr.device)
        if lap:
            ramp = _ramp(2 * lap * s, like=sr)
            if low is not None:
                weight[: len(ramp)] = ramp
            if high is not None:
                weight[-len(ramp) :] = 1 - ramp
        return first - start * s, weight


def _edges(spans: set[tuple[int, int]]) -> list[tuple[int, int]]:
    return sorted(spans)


def _seam(before: tuple[int, int], after: tuple[int, int]) -> int:
    """Return the LR position of the seam between two windows: the middle of their common pixels."""
    return (after[0] + before[1]) // 2


def _ramp(length: int, *, like: Tensor) -> Tensor:
    """Return a raised cosine from 0 to 1; the weights of two windows add up to 1, so flat areas stay flat."""
    phase = (torch.arange(length, dtype=torch.float32, device=like.device) + 0.5) / length
    return (0.5 - 0.5 * torch.cos(torch.pi * phase)).to(like.dtype)
