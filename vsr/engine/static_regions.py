"""Regions that do not change between frames are not computed again.

The result stays the same to the bit: a tile is reused only if every pixel that it depends on is the same as
in the frame before. This needs a network with a small, known receptive field (Compact), and kernels that give
the same bits for a window as for the whole image. Whether they do depends on the backend and the machine,
because a kernel may sum in another order at the end of a row, and the choice of the kernel depends on the CPU
and the size of the image. oneDNN's convolutions in float32 were exact on an Intel Xeon with AMX and differ in
the last bit on an AMD EPYC with AVX-512; those in bfloat16 differ on both. So float32 is tested on noise
before the first tile is reused, and bfloat16 never reuses tiles.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from vsr.engine import tiles
from vsr.engine.upscaler import Launched, Upscaler

logger = logging.getLogger(__name__)

_TILE_OVER_RADIUS = 6
"""Side of a tile over the receptive radius: larger tiles are static less often; smaller ones compute more
pixels in their margins (1.8 times as many as without margins)."""
_MOST = 0.6
"""Share of changed windows, measured by their pixels, above which the whole image is computed."""


class StaticRegions:
    """`Upscaler.launch` that reuses the static regions of the frame before."""

    def __init__(self, upscaler: Upscaler, *, wholes: bool = False) -> None:
        """Start without a frame before.

        Args:
            upscaler: Computes what has changed.
            wholes: Whether frames that repeat as a whole are reused, too, in every dtype. In files they are
                found earlier, by their planes (`pipeline.flow.duplicates`).
        """
        self._upscaler = upscaler
        self._wholes = wholes
        self._before: tuple[Tensor, Tensor] | None = None
        self._exact: dict[torch.Size, bool] = {}
        """For each shape of images, whether all windows give the same bits as the whole image."""
        self.saved = 0.0
        """Work that was saved, in frames."""

    def launch(self, images: Tensor) -> Launched:
        """Return the same bits as `Upscaler.launch`."""
        if self._wholes and self._before is not None and torch.equal(images, self._before[0]):
            self.saved += 1
            # Healthy, because the frame before was repaired.
            return Launched(self._before[1], torch.ones(1, dtype=torch.bool))
        if not self._can_reuse(images):
            launched = self._upscaler.launch(images)
            self._before = (images, launched.images) if self._wholes and _is_one(images) else None
            return launched
        tiling = self._tiling(images)
        changed = self._changed(images, tiling)
        if changed is None or not self._is_exact(images, tiling):
            launched = self._upscaler.launch(images)
        else:
            launched = self._launch_changed(images, tiling, changed)
            self.saved += 1 - len(changed) * _share(tiling)
        self._before = images, launched.images
        return launched

    def _can_reuse(self, images: Tensor) -> bool:
        """Return whether it is one whole image on the CPU in float32, and a network whose tiles are exact."""
        upscaler = self._upscaler
        return (
            _is_one(images)
            and upscaler.device.type == "cpu"  # an Apple GPU takes images on the host, too
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
        """Return the numbers of the windows that differ from the frame before; None if too many differ."""
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
        """Return whether all windows of an image of this size give the same bits as the whole, tested once
        per size.

        A small image is tested first, which reveals most kernels that are not exact within milliseconds.
        """
        if images.shape not in self._exact:
            height, width = _sides(tiling)
            small = images[..., : 2 * height, : 2 * width]
            self._exact[images.shape] = self._agree(small, self._tiling(small)) and (
                small.shape == images.shape or self._agree(images, tiling)
            )
            if not self._exact[images.shape]:
                logger.debug("windows differ from the whole image on this machine: no region is reused")
        return self._exact[images.shape]

    def _agree(self, like: Tensor, tiling: tiles.Tiling) -> bool:
        """Return whether noise of a shape gives the same bits as a whole and in windows."""
        noise = torch.rand(like.shape, generator=torch.Generator().manual_seed(0))
        whole = self._upscaler.launch(noise).images
        canvas = tiles.Canvas(noise, tiling, scale=int(self._upscaler.scale))
        for index, window in enumerate(tiles.cut(noise, tiling)):
            canvas.put(index, self._upscaler.launch(window).images)
        return torch.equal(canvas.result(), whole)

    def _launch_changed(self, images: Tensor, tiling: tiles.Tiling, changed: list[int]) -> Launched:
        """Compute the changed windows and put them over the result of the frame before."""
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
    """Return whether the batch is one image on the CPU: it can be compared at once, without a wait for a GPU,
    and its result is then repaired before the next image is computed.
    """
    return len(images) == 1 and images.device.type == "cpu"


def _sides(tiling: tiles.Tiling) -> tuple[int, int]:
    """Return the height and width of each window in LR pixels."""
    window = tiling.windows[0]
    return window.bottom - window.top, window.right - window.left


def _share(tiling: tiles.Tiling) -> float:
    """Return the share of a window in the work of the whole image."""
    height, width = _sides(tiling)
    return height * width / (tiling.height * tiling.width)
