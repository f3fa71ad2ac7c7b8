"""A network as steps between buffers, for batches of one shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vsr.kernels.cuda import halo
from vsr.kernels.cuda.halo import CHUNK, Packed
from vsr.kernels.cuda.operands import Operands


@dataclass(frozen=True, slots=True)
class Step:
    """A layer and the tensors that it computes with."""

    layer: Packed
    operands: Operands

    def run(self) -> None:
        """Start the layer on torch's current stream."""
        halo.launch(self.layer, self.operands)


@dataclass(frozen=True, slots=True)
class Shape:
    """Shape of a batch, and the device and dtype of its features."""

    images: int
    height: int
    width: int
    device: torch.device
    dtype: torch.dtype

    def features(self, channels: int, factor: int = 1) -> Tensor:
        """Allocate `(N, H * factor, W * factor, channels)` with zeros, because no layer writes the padding
        channels."""
        size = (self.images, self.height * factor, self.width * factor, channels)
        return torch.zeros(size, dtype=self.dtype, device=self.device)

    def planes(self, channels: int, factor: int = 1) -> Tensor:
        """Allocate `(N, channels, H * factor, W * factor)` float32."""
        size = (self.images, channels, self.height * factor, self.width * factor)
        return torch.empty(size, dtype=torch.float32, device=self.device)


@dataclass(frozen=True, slots=True)
class Program:
    """A network for batches of one shape, with its buffers."""

    features: Tensor
    """`(N, H, W, input_channels)`."""
    steps: list[Step]
    result: Tensor
    """`(N, channels, H * factor, W * factor)` float32; the next batch overwrites it."""
    image: Tensor | None = None
    """`(N, 3, H, W)` float32, a copy of the batch where the last step adds the image."""

    def __call__(self, batch: Tensor) -> Tensor:
        """Start all steps for a batch `(N, C, H, W)` float32, and return `result`."""
        split(batch, self.features)
        if self.image is not None:
            self.image.copy_(batch)
        for step in self.steps:
            step.run()
        return self.result


Build = Callable[[Shape], Program]
"""Makes the program of a network, whose weights are on the device, for a shape."""


def input_channels(channels: int) -> int:
    """Return the channels of an image as `split` writes it."""
    return -(-2 * channels // CHUNK) * CHUNK


def split(batch: Tensor, features: Tensor) -> None:
    """Write each sample as two numbers of 16 bits: the sample rounded, and the rounding error.

    bfloat16 alone cannot represent the steps of 10-bit video; the first convolution gets both numbers.

    Args:
        batch: `(N, C, H, W)` float32.
        features: `(N, H, W, input_channels(C))` in 16 bits; changed.
    """
    channels, samples = batch.shape[1], batch.permute(0, 2, 3, 1)
    coarse = features[..., :channels].copy_(samples)
    features[..., channels : 2 * channels].copy_(samples - coarse)


def duplicated(weight: Tensor) -> Tensor:
    """Extend the first convolution's weight `(outputs, channels, 3, 3)` for images that `split` wrote.

    Returns:
        `(outputs, input_channels(channels), 3, 3)`.
    """
    outputs, channels, *taps = weight.shape
    left = input_channels(channels) - 2 * channels
    return torch.cat((weight, weight, weight.new_zeros(outputs, left, *taps)), 1)


def elements(build: Build, shape: Shape) -> int:
    """Return the elements of the largest buffer of a program, without computing anything."""
    program = build(replace(shape, device=torch.device("meta")))
    operands = [step.operands for step in program.steps]
    return max(buffer.numel() for each in operands for buffer in (each.src, each.dst))
