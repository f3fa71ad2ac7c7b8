"""Images in tiles, and their results joined again, exactly or with a smooth blend.

All windows of a plan have the same size, so that they can be batched and a compiled kernel fits them all. A
window at the picture's border ends there, so the network's own padding acts where it acts on a whole frame.
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
    """How pictures of one size are cut."""

    height: int
    """Of the picture, LR pixels."""
    width: int
    windows: tuple[Window, ...]
    """Equal in size, in reading order."""
    halo: int
    """LR pixels at each inner edge of a window that are cropped off."""
    overlap: int
    """LR pixels beside the halo in which neighbouring windows are blended; 0 where the halo is exact."""


def plan_tiles(height: int, width: int, *, tile: int, radius: int, multiple: int = 1) -> Tiling:
    """Cut a picture so that each tile's side is at most `tile` LR pixels, halo not counted.

    Args:
        tile: Side of what a tile contributes, in LR pixels; at least `MIN_BLENDED` where tiles are blended.
        radius: The network's receptive radius in LR pixels. Up to `MAX_HALO` it becomes the halo and the
            result equals the whole frame's; beyond, `MAX_HALO` pixels are read and tiles are blended.
        multiple: Windows begin at multiples of this (of a network that first unshuffles pixels).
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
"""LR pixels read around a tile at most. Compact nets of 16 and 32 convolutions need 18 and 34 and are exact;
of the 349 that an RRDB of 23 blocks can see, those beyond 64 weigh next to nothing and are blended away."""
OVERLAP = 16
"""LR pixels of blend on either side of a seam where the halo is not exact."""
MIN_BLENDED = 5 * OVERLAP
"""Side of a tile in LR pixels at least where tiles are blended, or the blends of two seams would meet."""


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _starts(size: int, *, tile: int, margin: int, multiple: int) -> list[tuple[int, int]]:
    """Equal windows `[start, end)` along one axis whose inner parts cover it."""
    length = _up(tile, multiple) + 2 * margin
    if length >= size:
        return [(0, size)]
    # The first window has its margin on one side only, so a window keeps length - margin there.
    count = 2 + max(0, -(-(size - 2 * (length - margin)) // (length - 2 * margin)))
    last = _up(size - length, multiple)  # the last window may be shorter than the rest by < multiple
    starts = sorted({min(last, _up(round(i * last / (count - 1)), multiple)) for i in range(count)})
    return [(start, min(size, start + length)) for start in starts]


def cut(images: Tensor, tiling: Tiling) -> Iterator[Tensor]:
    """The windows of `(N, C, H, W)`, as views `(N, C, h, w)`, in the order of `tiling.windows`."""
    for w in tiling.windows:
        yield images[..., w.top : w.bottom, w.left : w.right]


class Canvas:
    """Collects upscaled windows into whole pictures `(N, C, H * scale, W * scale)`."""

    def __init__(self, images: Tensor, tiling: Tiling, *, scale: int, over: Tensor | None = None) -> None:
        """Nothing is put yet.

        Args:
            images: Gives N, device and dtype; it is not read.
            tiling: How they are cut.
            scale: SR side over LR side.
            over: `(N, C, H * scale, W * scale)` of `images`' dtype: what stays where no window is put, for a
                tiling without overlap; not changed. None needs all windows.
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
        part = sr[..., top : top + len(down), left : left + len(across)]
        y, x = w.top * self._scale + top, w.left * self._scale + left
        target = self._out[..., y : y + len(down), x : x + len(across)]
        if self._tiling.overlap == 0:
            target.copy_(part)
        else:
            target.addcmul_(part, down[:, None] * across[None, :])

    def result(self) -> Tensor:
        """The pictures, once all windows were put."""
        return self._out

    def _weights(
        self, edges: list[tuple[int, int]], start: int, end: int, size: int, sr: Tensor
    ) -> tuple[int, Tensor]:
        """First SR pixel that a window contributes along one axis, and the weight of each from there on."""
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
    """LR position at which one window hands over to the next: the middle of what both have."""
    return (after[0] + before[1]) // 2


def _ramp(length: int, *, like: Tensor) -> Tensor:
    """Raised cosine from 0 to 1; `ramp + (1 - ramp)` is 1 everywhere, so flat areas stay flat."""
    phase = (torch.arange(length, dtype=torch.float32, device=like.device) + 0.5) / length
    return (0.5 - 0.5 * torch.cos(torch.pi * phase)).to(like.dtype)
