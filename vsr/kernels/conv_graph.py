"""A generator as a list of 3x3 convolutions, the input of all kernels.

Each family of networks describes itself once, with `GraphBuilder`; the kernels read the description and know
no family. Operations that are not 3x3 convolutions of one image (pixel unshuffle, padding, a bilinear skip)
are not part of a graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IMAGE = 0
"""Number of the value that is the image."""


@dataclass(frozen=True, slots=True)
class Residual:
    """An addend of a convolution: its result becomes `features + gain * result`."""

    value: int
    """Number of the value with the features."""
    gain: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Conv:
    """A 3x3 convolution with zero padding, and the operations before and after it.

    Their order: concatenate the inputs, enlarge, convolve, add the bias, apply the PReLU, add the residuals
    one after the other, shuffle pixels.
    """

    inputs: tuple[int, ...]
    """Values whose channels are concatenated. Value 0 is the image; value n is the result of convolution
    n."""
    weight: Tensor
    """`(outputs, channels, 3, 3)` float32 on the host."""
    bias: Tensor
    """`(outputs,)`."""
    slopes: Tensor | None = None
    """`(outputs,)`: factors of negative results (PReLU, leaky ReLU, ReLU); None for no activation."""
    residuals: tuple[Residual, ...] = ()
    upsample: int = 1
    """Factor by which the nearest neighbour enlarges the inputs; 1 for no enlargement."""
    shuffle: int = 1
    """Factor of the pixel shuffle; 1 for none."""

    @property
    def channels(self) -> int:
        """Channels of the result, after the pixel shuffle."""
        return len(self.weight) // self.shuffle**2

    @property
    def slopes_or_ones(self) -> Tensor:
        """The slopes, or ones where there is no activation, which change nothing."""
        return torch.ones(len(self.bias)) if self.slopes is None else self.slopes


@dataclass(frozen=True, slots=True, eq=False)
class ConvGraph:
    """Convolutions in the order in which they are computed; the last one makes the result."""

    convs: tuple[Conv, ...]
    adds_image: bool = False
    """Whether the image, enlarged by the nearest neighbour, is added to the result."""

    @property
    def scale(self) -> int:
        """Width of the result divided by that of the image."""
        return self.factor(len(self.convs))

    def channels(self, value: int) -> int:
        """Return the number of channels of a value."""
        return self.convs[0].weight.shape[1] if value == IMAGE else self.convs[value - 1].channels

    def factor(self, value: int) -> int:
        """Return the width of a value divided by that of the image."""
        factor = 1
        while value != IMAGE:
            conv = self.convs[value - 1]
            factor *= conv.upsample * conv.shuffle
            value = conv.inputs[0]
        return factor

    def last_reader(self, value: int) -> int:
        """Return the number of the last convolution that reads a value, as an input or a residual; 0 if
        none.
        """
        readers = [n for n, conv in enumerate(self.convs, 1) if value in read_by(conv)]
        return max(readers, default=0)

    @property
    def parameters(self) -> int:
        """Number of weights. Without upsampling, this is also the number of multiplications per pixel."""
        return sum(prod(conv.weight.shape) for conv in self.convs)


def read_by(conv: Conv) -> tuple[int, ...]:
    """Return the values that a convolution reads: inputs, then residuals."""
    return (*conv.inputs, *(residual.value for residual in conv.residuals))


def is_first(conv: Conv) -> bool:
    """Return whether a convolution reads only the image, and only an activation follows it."""
    return conv.inputs == (IMAGE,) and conv.upsample == conv.shuffle == 1 and not conv.residuals


def has_one_extra(conv: Conv) -> bool:
    """Return whether a convolution does at most one of three things that CPU kernels support: it adds
    residuals (up to two, of one gain, without an activation), enlarges by 2, or shuffles pixels.
    """
    gains = {residual.gain for residual in conv.residuals}
    extras = bool(gains), conv.upsample > 1, conv.shuffle > 1
    return (
        sum(extras) <= 1
        and conv.upsample <= 2
        and len(conv.residuals) <= 2
        and (not gains or (len(gains) == 1 and conv.slopes is None))
    )


class GraphBuilder:
    """Collects the convolutions of a graph."""

    def __init__(self) -> None:
        self._convs: list[Conv] = []

    def add(
        self,
        conv: nn.Module,
        *inputs: int,
        slopes: Tensor | float | None = None,
        residuals: Sequence[Residual] = (),
        upsample: int = 1,
        shuffle: int = 1,
    ) -> int:
        """Append a 3x3 `nn.Conv2d` with bias, stride 1 and padding 1; see `Conv` for the other arguments.

        Args:
            slopes: One number for all outputs, or one for each.

        Returns:
            The number of its result, which later convolutions can read.
        """
        assert isinstance(conv, nn.Conv2d)
        assert conv.bias is not None
        assert conv.kernel_size == (3, 3)
        weight, bias = conv.weight.detach().float(), conv.bias.detach().float()
        if isinstance(slopes, float):
            slopes = torch.full((len(bias),), slopes)
        self._convs.append(Conv(inputs, weight, bias, slopes, tuple(residuals), upsample, shuffle))
        return len(self._convs)

    def build(self, *, adds_image: bool = False) -> ConvGraph:
        """Return the graph of all convolutions that were added."""
        return ConvGraph(tuple(self._convs), adds_image)


def slopes_of(activation: nn.Module, outputs: int) -> Tensor:
    """Return the factors `(outputs,)` by which a PReLU, leaky ReLU or ReLU multiplies negative numbers."""
    if isinstance(activation, nn.PReLU):
        return activation.weight.detach().float().expand(outputs)
    return torch.full((outputs,), float(getattr(activation, "negative_slope", 0.0)))


def evaluate(graph: ConvGraph, image: Tensor) -> list[Tensor]:
    """Compute all values of a graph with torch, as the reference for all kernels.

    Args:
        image: `(N, C, H, W)` float32 on the host, with as many channels as the graph takes.

    Returns:
        All values in order, from the image to the result `(N, 3, H * scale, W * scale)`.
    """
    values = [image]
    for conv in graph.convs:
        values.append(_evaluated(conv, values))
    if graph.adds_image:
        values[-1] = values[-1] + F.interpolate(image, scale_factor=graph.scale, mode="nearest")
    return values


def _evaluated(conv: Conv, values: Sequence[Tensor]) -> Tensor:
    h = torch.cat([values[n] for n in conv.inputs], 1)
    if conv.upsample > 1:
        h = F.interpolate(h, scale_factor=conv.upsample, mode="nearest")
    h = F.conv2d(h, conv.weight, conv.bias, padding=1)
    if conv.slopes is not None:
        h = F.prelu(h, conv.slopes)
    for residual in conv.residuals:
        h = torch.add(values[residual.value], h, alpha=residual.gain)
    return F.pixel_shuffle(h, conv.shuffle)
