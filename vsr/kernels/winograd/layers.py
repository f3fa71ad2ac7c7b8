"""Transformed weights of convolutions, and the code for all layers of a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import torch
from llvmlite import binding, ir
from torch import Tensor

from vsr.kernels.llvm import Library
from vsr.kernels.winograd import ends, entry, transform
from vsr.kernels.winograd.convolution import Convolution, Features, Picture, Residual
from vsr.kernels.winograd.entry import Entry
from vsr.kernels.winograd.limits import UNIT

_WIDEST = (("avx512f", 16), ("avx", 8))
"""Lanes of a vector register, by what a processor has; others have four."""


@dataclass(frozen=True)
class Layer:
    """A convolution, and what it is to be computed with."""

    shape: Convolution | Entry
    weights: Tensor
    """As `ends.emit` or `entry.emit` has them."""
    bias: Tensor
    slopes: Tensor
    """Of the PReLU behind it."""


def wide(channels: int) -> int:
    """Channels as they lie in memory."""
    return -(-channels // UNIT) * UNIT


def first(weight: Tensor, bias: Tensor, slopes: Tensor) -> Layer:
    """The convolution of a picture, `(outputs, channels, 3, 3)`."""
    outputs = wide(len(weight))
    taps = _padded(weight, outputs).permute(1, 2, 3, 0).contiguous()
    return Layer(Entry(weight.shape[1], outputs), taps, _padded(bias, outputs), _padded(slopes, outputs))


def inner(
    weights: Sequence[Tensor],
    bias: Tensor,
    slopes: Tensor,
    end: Features | Residual | Picture,
    *,
    doubled: bool = False,
) -> Layer:
    """One of features.

    Args:
        weights: `(outputs, channels, 3, 3)` for each source.
        doubled: Whether the nearest neighbour doubles the sources before it.
    """
    outputs, sources = wide(len(bias)), tuple(wide(weight.shape[1]) for weight in weights)
    shape = Convolution(sources, outputs, end, doubled)
    filled = [_padded(weight, outputs, channels) for weight, channels in zip(weights, sources, strict=True)]
    points = transform.weights(torch.cat(filled, 1))
    together = shape.vectors(lanes()) * lanes()
    groups = points.unflatten(2, (-1, together)).permute(2, 0, 1, 3).contiguous()
    return Layer(shape, groups, _padded(bias, outputs), _padded(slopes, outputs))


def _padded(values: Tensor, *sides: int) -> Tensor:
    """With zeros up to so many in the first dimensions."""
    filled = values.new_zeros(*sides, *values.shape[len(sides) :])
    filled[tuple(slice(side) for side in values.shape)] = values
    return filled


@cache
def lanes() -> int:
    """Numbers in the widest register of this processor."""
    found = binding.get_host_cpu_features()
    return next((wide for name, wide in _WIDEST if found.get(name)), 4)


def library(layers: Iterable[Layer]) -> tuple[Library, dict[Convolution | Entry, str]]:
    """The code for these layers, and the name of each kind of them in it."""
    shapes = tuple(dict.fromkeys(layer.shape for layer in layers))
    return _compiled(shapes, lanes()), {shape: f"layer{n}" for n, shape in enumerate(shapes)}


@lru_cache(maxsize=8)
def _compiled(shapes: tuple[Convolution | Entry, ...], lanes: int) -> Library:
    module = ir.Module()
    for n, shape in enumerate(shapes):
        if isinstance(shape, Entry):
            entry.emit(module, f"layer{n}", shape, lanes)
        else:
            ends.emit(module, f"layer{n}", shape, lanes)
    return Library(module)
