"""A generator as a list of 3x3 convolutions, which is the form that all kernels take it in.

A family of networks describes itself once, with `GraphBuilder`; each kernel reads the description and knows
no family. What is not a 3x3 convolution of one image (pixel unshuffle, padding, a bilinear skip) stays
outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IMAGE = 0
"""The value that the first convolution reads."""


@dataclass(frozen=True, slots=True)
class Residual:
    """Features that are added to the result of a convolution: `features + gain * result`."""

    value: int
    """Number of the value that holds the features."""
    gain: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Conv:
    """A 3x3 convolution with zeros beyond the border, and what happens before and after it.

    In this order: the inputs are concatenated and enlarged, then come the convolution, the bias, the PReLU,
    the residuals one after the other, and the pixel shuffle.
    """

    inputs: tuple[int, ...]
    """Values whose channels are concatenated. Value 0 is the image, value n the result of convolution n."""
    weight: Tensor
    """`(outputs, channels, 3, 3)` float32 on the host."""
    bias: Tensor
    """`(outputs,)`."""
    slopes: Tensor | None = None
    """`(outputs,)`: factor of negative results (PReLU, leaky ReLU, ReLU); None for no activation."""
    residuals: tuple[Residual, ...] = ()
    upsample: int = 1
    """Factor by which the nearest neighbour enlarges the inputs."""
    shuffle: int = 1
    """Side of the square of pixels that the channels of one become."""

    @property
    def channels(self) -> int:
        """Channels of the result, after the pixel shuffle."""
        return len(self.weight) // self.shuffle**2

    @property
    def slopes_or_ones(self) -> Tensor:
        """The slopes; ones, which change nothing, where there is no activation."""
        return torch.ones(len(self.bias)) if self.slopes is None else self.slopes


@dataclass(frozen=True, slots=True, eq=False)
class ConvGraph:
    """Convolutions in the order in which they are computed; the last one makes the result."""

    convs: tuple[Conv, ...]
    adds_image: bool = False
    """Whether the image, enlarged by the nearest neighbour, is added to the result."""

    @property
    def scale(self) -> int:
        """Side of the result over the side of the image."""
        return self.factor(len(self.convs))

    def channels(self, value: int) -> int:
        """Channels of a value."""
        return self.convs[0].weight.shape[1] if value == IMAGE else self.convs[value - 1].channels

    def factor(self, value: int) -> int:
        """Side of a value over the side of the image."""
        factor = 1
        while value != IMAGE:
            conv = self.convs[value - 1]
            factor *= conv.upsample * conv.shuffle
            value = conv.inputs[0]
        return factor

    def last_reader(self, value: int) -> int:
        """Number of the last convolution that reads a value, as an input or as a residual; 0 for none."""
        readers = [n for n, conv in enumerate(self.convs, 1) if value in read_by(conv)]
        return max(readers, default=0)

    @property
    def parameters(self) -> int:
        """Count of all weights, which is the count of multiplications per pixel where nothing is enlarged."""
        return sum(prod(conv.weight.shape) for conv in self.convs)


def read_by(conv: Conv) -> tuple[int, ...]:
    """Return the values that a convolution reads: inputs, then residuals."""
    return (*conv.inputs, *(residual.value for residual in conv.residuals))


class GraphBuilder:
    """Collects convolutions; `add` returns the number of the value that the next ones can read."""

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
        """Append a 3x3 `nn.Conv2d` with bias, stride 1 and padding 1; the other arguments are those of
        `Conv`.

        Args:
            slopes: A number stands for all outputs.
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
        """Return the graph of all that was added."""
        return ConvGraph(tuple(self._convs), adds_image)


def slopes_of(activation: nn.Module, outputs: int) -> Tensor:
    """Return `(outputs,)`: the factor of negative numbers of a PReLU, a leaky ReLU or a ReLU."""
    if isinstance(activation, nn.PReLU):
        return activation.weight.detach().float().expand(outputs)
    return torch.full((outputs,), float(getattr(activation, "negative_slope", 0.0)))


def evaluate(graph: ConvGraph, image: Tensor) -> list[Tensor]:
    """Compute all values with torch: the reference of every kernel.

    Args:
        image: `(N, C, H, W)` float32 on the host, with as many channels as the graph takes.

    Returns:
        Value 0, which is the image, to the last one, which is the result `(N, 3, H * scale, W * scale)`.
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
