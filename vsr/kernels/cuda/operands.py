"""The source, destination and residuals of one convolution on a CUDA device."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Residual:
    """Features that are added to a result."""

    features: Tensor
    """`(N, H, W, outputs)`, the last dimension contiguous."""
    gain: float


@dataclass(frozen=True, slots=True)
class Operands:
    """The tensors of `dst = gain * activation(layer(src)) + base + outer`, each residual times its gain."""

    src: Tensor
    """`(N, H, W, channels)`, rows adjacent, channels contiguous; padded with zeros by the kernel."""
    dst: Tensor
    """`(N, H, W, outputs)` with any strides, not overlapping `src`. With `image` its SR pixels instead."""
    gain: float = 1.0
    base: Residual | None = None
    outer: Residual | None = None
    image: Tensor | None = None
    """`(N, 3, H, W)` float32, contiguous: it is enlarged by the nearest neighbour, and the results, after a
    pixel shuffle, are added."""
