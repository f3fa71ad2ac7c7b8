"""Memory that a generator needs for an image, and the batch and tile that fit.

The estimate comes from a run of a tiny picture; what it gets wrong is repaired by the engine's retries on
out-of-memory, which remember what fitted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vsr.errors import DeviceMemoryError
from vsr.models.third_party import no_exit

_SHARE = 0.6  # of the free memory that a plan may use: the rest is for frames in flight and the encoder
_FRAGMENTATION = 1.5  # of the largest layer's input and output, for the allocator's rounding and workspaces
_ELEMENTS = 2**31 - 1  # cuDNN leaves its fast kernels when one tensor has more (pytorch issue 128936)
PROBE = 20
"""Side in pixels of the tiny picture; only ratios are taken from it. A multiple of 4, for pixel-unshuffle.

A real run costs milliseconds; torch's meta device would import its compiler first, seconds on a cold disk.
"""
MIN_TILE = 32
"""LR pixels; below, the halo costs more than the tile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a generator needs for each LR pixel."""

    bytes_per_pixel: float
    """Peak of activations, input and output together."""
    elements_per_pixel: float
    """Of its largest tensor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How pictures go through the generator."""

    batch: int
    """Pictures, or windows of one picture, at once."""
    tile: int
    """Side of a tile in LR pixels; 0 is the whole frame."""

    def smaller(self, height: int, width: int, *, smallest: int) -> Plan:
        """The next plan to try after out-of-memory: half the batch, then half the tile.

        Args:
            smallest: Tile below which nothing is gained; at least the picture's side where it cannot be cut.

        Raises:
            DeviceMemoryError: there is nothing smaller.
        """
        if self.batch > 1:
            return Plan(batch=self.batch // 2, tile=self.tile)
        side = self.tile or max(height, width)
        if side <= smallest:
            raise DeviceMemoryError(
                f"out of memory with one picture at a time and tiles of {side} pixels, the smallest;"
                " close other programs, use a smaller `model`, or `device='cpu'`"
            )
        return Plan(batch=1, tile=max(smallest, -(-side // 2)))


def measure_load(network: nn.Module, *, element_bytes: int) -> Load:
    """Run a tiny picture through a generator and look at every layer.

    Args:
        network: On the host, float32; maps `(N, 3, H, W)` to SR; not changed.
        element_bytes: Of a number in the format it will run in.
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
    """The largest plan that fits: the whole frame if it does, else the largest tile.

    Args:
        batch: Pictures at once at most.
        tile: The user's wish: a side in LR pixels, 0 for the whole frame, None to decide.
        margin: LR pixels around a tile that are computed as well.
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
