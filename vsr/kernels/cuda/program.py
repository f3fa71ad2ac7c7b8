"""A network as steps between buffers, for batches of one shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vsr.kernels.cuda import halo
from vsr.kernels.cuda.halo import CHUNK, Packed
from vsr.kernels.cuda.work import Work


@dataclass(frozen=True, slots=True)
class Step:
    """A convolution from buffer to buffer."""

    layer: Packed
    work: Work

    def run(self) -> None:
        halo.launch(self.layer, self.work)


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a batch, and where and in what it is computed."""

    images: int
    height: int
    width: int
    device: torch.device
    dtype: torch.dtype
    """Of features."""

    def features(self, channels: int, factor: int = 1) -> Tensor:
        """A buffer `(N, H * factor, W * factor, channels)`; zeros, for not all channels are written."""
        size = (self.images, self.height * factor, self.width * factor, channels)
        return torch.zeros(size, dtype=self.dtype, device=self.device)

    def planes(self, channels: int, factor: int = 1) -> Tensor:
        """A buffer `(N, channels, H * factor, W * factor)`, float32."""
        size = (self.images, channels, self.height * factor, self.width * factor)
        return torch.empty(size, dtype=torch.float32, device=self.device)


@dataclass(frozen=True, slots=True)
class Program:
    """What a network does with a batch of one shape."""

    entry: Tensor
    """`(N, H, W, entry_channels)`."""
    steps: list[Step]
    result: Tensor
    """`(N, channels, H * factor, W * factor)` float32; written over by the next batch."""
    picture: Tensor | None = None
    """`(N, 3, H, W)` float32, where the last step puts its details on top of the batch itself."""

    def __call__(self, batch: Tensor) -> Tensor:
        """Start it all; `(N, C, H, W)` float32."""
        enter(batch, self.entry)
        if self.picture is not None:
            self.picture.copy_(batch)
        for step in self.steps:
            step.run()
        return self.result


Build = Callable[[Shape], Program]
"""Of a network whose weights lie on the device."""


def entry_channels(channels: int) -> int:
    """Of a picture as `enter` writes it."""
    return -(-2 * channels // CHUNK) * CHUNK


def enter(batch: Tensor, entry: Tensor) -> None:
    """Write pictures as two numbers a sample, what 16 bits hold of it and the rest, so that steps of 10-bit
    video, which bfloat16 does not know, are seen by the first convolution.

    Args:
        batch: `(N, C, H, W)` float32.
        entry: `(N, H, W, entry_channels(C))` in 16 bits; changed.
    """
    channels, picture = batch.shape[1], batch.permute(0, 2, 3, 1)
    coarse = entry[..., :channels].copy_(picture)
    entry[..., channels : 2 * channels].copy_(picture - coarse)


def twice(weight: Tensor) -> Tensor:
    """The first convolution's weight, `(outputs, channels, 3, 3)`, for such pictures: `(outputs,
    entry_channels(channels), 3, 3)`."""
    outputs, channels, *taps = weight.shape
    left = entry_channels(channels) - 2 * channels
    return torch.cat((weight, weight, weight.new_zeros(outputs, left, *taps)), 1)


def elements(build: Build, shape: Shape) -> int:
    """Of the largest buffer of such a program; nothing is computed."""
    program = build(replace(shape, device=torch.device("meta")))
    return max(buffer.numel() for step in program.steps for buffer in (step.work.src, step.work.dst))
