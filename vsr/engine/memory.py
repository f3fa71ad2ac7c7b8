"""Memory that a generator needs for an image, and the batch and tile that fit.

The estimate comes from a run on a tiny image. Where it is wrong, the engine retries after an out-of-memory
error and remembers what fitted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vsr.errors import DeviceMemoryError
from vsr.models.third_party import no_exit

_SHARE = 0.6  # of the free memory that a plan may use; the rest is for queued frames and the encoder
_FRAGMENTATION = 1.5  # times the largest layer's input and output: the allocator's rounding, and workspaces
_ELEMENTS = 2**31 - 1  # cuDNN uses slow kernels if a tensor has more elements (pytorch issue 128936)
PROBE = 20
"""Side of the tiny image in pixels, a multiple of 4 for pixel unshuffle. Only ratios are measured on it.

A real run takes milliseconds. torch's meta device would import torch's compiler first, which takes seconds on
a cold disk.
"""
MIN_TILE = 32
"""LR pixels; below, the halo costs more than the tile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Memory of a generator for each LR pixel."""

    bytes_per_pixel: float
    """Peak of activations, input and output together."""
    elements_per_pixel: float
    """Elements of its largest tensor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Batch and tile size for a generator."""

    batch: int
    """Images, or windows of one image, in a call."""
    tile: int
    """Side of a tile in LR pixels; 0 is the whole frame."""

    def smaller(self, height: int, width: int, *, smallest: int) -> Plan:
        """Return the next plan to try after out-of-memory: half the batch, then half the tile.

        Args:
            smallest: Smallest tile that may be tried; the image's larger side where tiles are impossible.

        Raises:
            DeviceMemoryError: the plan is the smallest already.
        """
        if self.batch > 1:
            return Plan(batch=self.batch // 2, tile=self.tile)
        side = self.tile or max(height, width)
        if side <= smallest:
            raise DeviceMemoryError(
                f"out of memory with one image at a time and tiles of {side} pixels, the smallest;"
                " close other programs, use a smaller `model`, or `device='cpu'`"
            )
        return Plan(batch=1, tile=max(smallest, -(-side // 2)))


def measure_load(network: nn.Module, *, element_bytes: int) -> Load:
    """Run a generator on a tiny image and record the sizes of all layers.

    Args:
        network: On the host, float32; maps `(N, 3, H, W)` to SR; not changed.
        element_bytes: Bytes of a number in the dtype that the generator will run in.
    """
    largest, pair = 3, 3

    def watch(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal largest, pair
        largest = max(largest, output.numel())
        pair = max(pair, output.numel() + sum(i.numel() for i in inputs if isinstance(i, Tensor)))

    leaves = [m for m in network.modules() if not list(m.children())]
    hooks = [module.register_forward_hook(watch) for module in leaves]
    try:
        with torch.inference_mode(), no_exit(network):
            out = network(torch.zeros(1, 3, PROBE, PROBE))
    finally:
        for hook in hooks:
            hook.remove()
    pixels = PROBE * PROBE
    whole = pair * _FRAGMENTATION * element_bytes + (3 * pixels + 2 * out.numel()) * 4
    return Load(bytes_per_pixel=whole / pixels, elements_per_pixel=max(largest, out.numel()) / pixels)


def fit(
    load: Load, *, height: int, width: int, free_bytes: int, batch: int, tile: int | None, margin: int
) -> Plan:
    """Return the largest plan that fits into memory: the whole image if possible, else the largest tile.

    Args:
        batch: Most images in a call.
        tile: The user's setting: a side in LR pixels, 0 for the whole image, None to decide by memory.
        margin: LR pixels around a tile that are computed, too.
    """
    if tile is not None:
        return Plan(batch=batch, tile=tile)
    budget = free_bytes * _SHARE
    frame_pixels = height * width
    by_memory = int(budget / (load.bytes_per_pixel * frame_pixels))
    by_elements = int(_ELEMENTS / (load.elements_per_pixel * frame_pixels))
    if by_memory >= 1 and by_elements >= 1:
        return Plan(batch=max(1, min(batch, by_memory, by_elements)), tile=0)
    pixels = min(budget / load.bytes_per_pixel, _ELEMENTS / load.elements_per_pixel)
    return Plan(batch=1, tile=max(MIN_TILE, int(pixels**0.5) - 2 * margin))
