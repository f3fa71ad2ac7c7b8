"""Transformed weights of convolutions, and the code for all layers of a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import torch
from llvmlite import binding, ir
from torch import Tensor

from vsr.kernels.epilogues import Image, Residual
from vsr.kernels.llvm import Library
from vsr.kernels.winograd import epilogue, input_layer, transform
from vsr.kernels.winograd.convolution import Convolution, Features
from vsr.kernels.winograd.input_layer import InputLayer
from vsr.kernels.winograd.limits import UNIT

_LANES = (("avx512f", 16), ("avx", 8))
"""float32 lanes of a vector register, by the feature that a CPU has; other CPUs have four."""


@dataclass(frozen=True)
class Layer:
    """A convolution with its parameters, padded to whole units of channels."""

    shape: Convolution | InputLayer
    weights: Tensor
    """Weights in the order that `epilogue.emit` or `input_layer.emit` reads."""
    bias: Tensor
    slopes: Tensor
    """Slopes of the PReLU after the convolution."""


def padded_channels(channels: int) -> int:
    """Round channels up to those that features have in memory."""
    return -(-channels // UNIT) * UNIT


def first(weight: Tensor, bias: Tensor, slopes: Tensor) -> Layer:
    """Return the layer of the convolution that reads the image, weight `(outputs, channels, 3, 3)`."""
    outputs = padded_channels(len(weight))
    taps = _padded(weight, outputs).permute(1, 2, 3, 0).contiguous()
    return Layer(InputLayer(weight.shape[1], outputs), taps, _padded(bias, outputs), _padded(slopes, outputs))


def inner(
    weights: Sequence[Tensor],
    bias: Tensor,
    slopes: Tensor,
    epilogue: Features | Residual | Image,
    *,
    doubled: bool = False,
) -> Layer:
    """Return the layer of a convolution that reads features.

    Args:
        weights: `(outputs, channels, 3, 3)` for each source.
        doubled: Whether the nearest neighbour enlarges the sources by 2 before the convolution.
    """
    outputs, sources = padded_channels(len(bias)), tuple(padded_channels(w.shape[1]) for w in weights)
    shape = Convolution(sources, outputs, epilogue, doubled)
    filled = [_padded(weight, outputs, channels) for weight, channels in zip(weights, sources, strict=True)]
    points = transform.weights(torch.cat(filled, 1))
    together = shape.vectors(lanes()) * lanes()
    groups = points.unflatten(2, (-1, together)).permute(2, 0, 1, 3).contiguous()
    return Layer(shape, groups, _padded(bias, outputs), _padded(slopes, outputs))


def _padded(values: Tensor, *sides: int) -> Tensor:
    """Extend the first dimensions with zeros to the given sides."""
    filled = values.new_zeros(*sides, *values.shape[len(sides) :])
    filled[tuple(slice(side) for side in values.shape)] = values
    return filled


@cache
def lanes() -> int:
    """Return the float32 lanes of the widest vector register of this CPU."""
    found = binding.get_host_cpu_features()
    return next((lanes for name, lanes in _LANES if found.get(name)), 4)


def library(layers: Iterable[Layer]) -> tuple[Library, dict[Convolution | InputLayer, str]]:
    """Compile the code of layers.

    Returns:
        The code, and the name of the function for each shape of a layer.
    """
    shapes = tuple(dict.fromkeys(layer.shape for layer in layers))
    return _compiled(shapes, lanes()), {shape: f"layer{n}" for n, shape in enumerate(shapes)}


@lru_cache(maxsize=8)
def _compiled(shapes: tuple[Convolution | InputLayer, ...], lanes: int) -> Library:
    module = ir.Module()
    for n, shape in enumerate(shapes):
        if isinstance(shape, InputLayer):
            input_layer.emit(module, f"layer{n}", shape, lanes)
        else:
            epilogue.emit(module, f"layer{n}", shape, lanes)
    return Library(module)
