"""Regions that do not change between frames are not computed again.

Exact, bit for bit: a tile is taken over only where every pixel that it depends on is the same as in the
picture before. That needs a network whose receptive field is known and small (Compact), and kernels that
give the same bits for each window as for the whole picture. Whether they do depends on the backend and the
machine, because a kernel may add up in another order where a row ends, and which kernel runs depends on the
processor and the size of the picture. oneDNN's convolutions in float32 were exact on an Intel Xeon with AMX,
and differ in the last bit on an AMD EPYC with AVX-512; those in bfloat16 differ on both. So float32 is tried
on noise before the first tile is taken over, and bfloat16 is not used for it at all.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from vsr.engine import tiles
from vsr.engine.upscaler import Launched, Upscaler

logger = logging.getLogger(__name__)

_TILE_OVER_RADIUS = 6
"""A tile's side over the receptive radius: larger tiles find less that stands still, smaller ones compute the
margins around them more often (1.8 times as many pixels)."""
_MOST = 0.6
"""Share of the whole picture's work above which the whole picture is computed."""


class StillParts:
    """`launch` of an upscaler, with what the picture before it can lend."""

    def __init__(self, upscaler: Upscaler, *, wholes: bool = False) -> None:
        """Nothing is known yet.

        Args:
            upscaler: Computes.
            wholes: Take over pictures that repeat as a whole too, in every number format. A file's are found
                earlier, by their planes (`pipeline.flow.duplicates`).
        """
        self._upscaler = upscaler
        self._wholes = wholes
        self._before: tuple[Tensor, Tensor] | None = None
        self._exact: dict[torch.Size, bool] = {}
        """By the pictures' shape: whether all windows give what the whole gives."""
        self.saved = 0.0
        """Pictures' worth of work that was not done."""

    def launch(self, images: Tensor) -> Launched:
        """As `Upscaler.launch`, with the same bits."""
        if self._wholes and self._before is not None and torch.equal(images, self._before[0]):
            self.saved += 1
            return Launched(
                self._before[1], torch.ones(1, dtype=torch.bool)
            )  # broken ones were repaired there
        if not self._suits(images):
            launched = self._upscaler.launch(images)
            self._before = (images, launched.images) if self._wholes and _is_one(images) else None
            return launched
        tiling = self._tiling(images)
        changed = self._changed(images, tiling)
        if changed is None or not self._is_exact(images, tiling):
            launched = self._upscaler.launch(images)
        else:
            launched = self._in_parts(images, tiling, changed)
            self.saved += 1 - len(changed) * _share(tiling)
        self._before = images, launched.images
        return launched

    def _suits(self, images: Tensor) -> bool:
        """One whole picture at a time, on the processor in float32, by a network whose tiles are exact."""
        upscaler = self._upscaler
        return (
            _is_one(images)
            and upscaler.scale.denominator == 1
            and 0 < upscaler.bit_radius <= tiles.MAX_HALO
            and upscaler.plan(*images.shape[-2:]).tile == 0
            and upscaler.is_network
            and upscaler.precision == "float32"
        )

    def _tiling(self, images: Tensor) -> tiles.Tiling:
        upscaler = self._upscaler
        height, width = images.shape[-2:]
        tile = _TILE_OVER_RADIUS * upscaler.radius
        return tiles.plan_tiles(height, width, tile=tile, radius=upscaler.bit_radius, multiple=upscaler.grid)

    def _changed(self, images: Tensor, tiling: tiles.Tiling) -> list[int] | None:
        """Numbers of the windows that differ from the picture before; None where too many do."""
        if self._before is None or self._before[0].shape != images.shape:
            return None
        most = int(_MOST / _share(tiling))
        changed: list[int] = []
        pairs = zip(tiles.cut(images, tiling), tiles.cut(self._before[0], tiling), strict=True)
        for index, (now, before) in enumerate(pairs):
            if not torch.equal(now, before):
                changed.append(index)
                if len(changed) > most:
                    return None
        return changed

    def _is_exact(self, images: Tensor, tiling: tiles.Tiling) -> bool:
        """Whether all windows of a picture of this size give what the whole gives; tried once for each size.

        A small picture comes first: most kernels that are not exact are found out by it in milliseconds.
        """
        if images.shape not in self._exact:
            height, width = _sides(tiling)
            small = images[..., : 2 * height, : 2 * width]
            self._exact[images.shape] = self._agree(small, self._tiling(small)) and (
                small.shape == images.shape or self._agree(images, tiling)
            )
            if not self._exact[images.shape]:
                logger.debug("windows differ from the whole picture here: no part is taken over")
        return self._exact[images.shape]

    def _agree(self, like: Tensor, tiling: tiles.Tiling) -> bool:
        """Whether noise of this shape gives the same bits as a whole and in windows."""
        noise = torch.rand(like.shape, generator=torch.Generator().manual_seed(0))
        whole = self._upscaler.launch(noise).images
        canvas = tiles.Canvas(noise, tiling, scale=int(self._upscaler.scale))
        for index, part in enumerate(tiles.cut(noise, tiling)):
            canvas.put(index, self._upscaler.launch(part).images)
        return torch.equal(canvas.result(), whole)

    def _in_parts(self, images: Tensor, tiling: tiles.Tiling, changed: list[int]) -> Launched:
        assert self._before is not None
        canvas = tiles.Canvas(images, tiling, scale=int(self._upscaler.scale), over=self._before[1])
        healthy = torch.ones(1, dtype=torch.bool)
        windows = list(tiles.cut(images, tiling))
        for index in changed:
            done = self._upscaler.launch(windows[index])
            healthy &= done.healthy
            canvas.put(index, done.images)
        return Launched(canvas.result(), healthy)


def _is_one(images: Tensor) -> bool:
    """A batch of one on the processor: it is compared without waiting, and repaired before the next."""
    return len(images) == 1 and images.device.type == "cpu"


def _sides(tiling: tiles.Tiling) -> tuple[int, int]:
    """Height and width of each window, LR pixels."""
    window = tiling.windows[0]
    return window.bottom - window.top, window.right - window.left


def _share(tiling: tiles.Tiling) -> float:
    """Of the whole picture's work that one window is."""
    height, width = _sides(tiling)
    return height * width / (tiling.height * tiling.width)
