"""Weights of convolutions as AMX tiles, and the code for all layers of a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import torch
from llvmlite import ir
from torch import Tensor

from vsr.kernels.amx import convolution, rolling
from vsr.kernels.amx.convolution import BLOCK, DEPTH, Convolution, Features, Picture, Residual, Step
from vsr.kernels.llvm import Library

_ALL = list(product(range(3), range(3)))
"""Rows and columns of a 3x3 convolution's taps."""


@dataclass(frozen=True)
class Layer:
    """A convolution, and what it is to be computed with."""

    shape: Convolution
    weights: Tensor
    """Tiles, bfloat16, in the order of `convolution.emit`."""
    bias: Tensor
    slopes: Tensor
    """Of the PReLU behind it; float32, one for each output channel."""


def wide(channels: int, unit: int = DEPTH) -> int:
    """Channels as they lie in memory: whole tiles of them."""
    return -(-channels // unit) * unit


def entry_channels(channels: int) -> int:
    """Of a picture as `entry` reads it: each sample is the sum of two bfloat16, in halves of a pixel."""
    return 8 if channels <= 4 else wide(2 * channels)


def entry(weight: Tensor, bias: Tensor, slopes: Tensor) -> Layer:
    """The first convolution, `(outputs, channels, 3, 3)`, of a picture in two bfloat16 a sample."""
    channels = entry_channels(weight.shape[1])
    twice = torch.zeros(len(weight), channels, 3, 3)
    twice[:, : weight.shape[1]] = weight
    twice[:, channels // 2 :][:, : weight.shape[1]] = weight
    if channels != 8:
        return inner([twice], bias, Features(2 * wide(len(weight))), slopes)
    # Four pixels fill a tile's row: three taps in one product, and a fourth that counts for nothing.
    matrices = torch.zeros(3, 4, channels, wide(len(weight)))
    matrices[:, :3, :, : len(weight)] = twice.permute(2, 3, 1, 0)
    steps = tuple(Step(0, row, 0) for row in range(3))
    shape = Convolution(steps, (2 * channels, 0), wide(len(weight)) // BLOCK, Features(2 * wide(len(weight))))
    return _layer(shape, matrices.flatten(1, 2), bias, slopes)


def inner(
    weights: Sequence[Tensor],
    bias: Tensor,
    end: Features | Residual,
    slopes: Tensor,
    *,
    pixels: tuple[int, int] | None = None,
    rows: Sequence[int] = range(3),
    columns: Sequence[int] = range(3),
) -> Layer:
    """A convolution of features.

    Args:
        weights: `(outputs, channels, 3, 3)` for the first source, and for the second if there is one.
        pixels: Bytes of a pixel of each source, where they are more than these channels.
        rows: Those of the weights that are not all zero.
        columns: Likewise.
    """
    outputs = wide(len(bias))
    sizes = pixels or (2 * wide(weights[0].shape[1]), 0)
    steps, matrices = _steps(weights, outputs, sizes, list(product(rows, columns)))
    return _layer(Convolution(steps, sizes, outputs // BLOCK, end), matrices, bias, slopes)


def last(weight: Tensor, bias: Tensor, end: Picture) -> Layer:
    """The last convolution, whose output channels are those of a pixel shuffle by `end.scale`."""
    order = _picture_order(end)
    weight, bias = _ordered(weight, order), _ordered(bias, order)
    sizes = (2 * wide(weight.shape[1]), 0)
    steps, matrices = _steps([weight], len(order), sizes, _ALL)
    shape = Convolution(steps, sizes, len(order) // BLOCK, end)
    return _layer(shape, matrices, bias, torch.zeros(len(order)))


def _layer(shape: Convolution, matrices: Tensor, bias: Tensor, slopes: Tensor) -> Layer:
    outputs = shape.blocks * BLOCK
    return Layer(shape, _tiles(matrices), _padded(bias, outputs), _padded(slopes, outputs))


def _steps(
    weights: Sequence[Tensor], outputs: int, pixels: tuple[int, int], taps: Sequence[tuple[int, int]]
) -> tuple[tuple[Step, ...], Tensor]:
    """A step for each tap of each 32 channels of each source, and its matrix, `(32, outputs)`."""
    steps, matrices = [], []
    for source, weight in enumerate(weights):
        filled = torch.zeros(outputs, wide(weight.shape[1]), 3, 3)
        filled[: len(weight), : weight.shape[1]] = weight
        for (row, column), begin in product(taps, range(0, filled.shape[1], DEPTH)):
            steps.append(Step(source, row, column * pixels[source] + 2 * begin))
            matrices.append(filled[:, begin : begin + DEPTH, row, column].T)
    return tuple(steps), torch.stack(matrices)


def _padded(values: Tensor, count: int) -> Tensor:
    return torch.cat((values, values.new_zeros(count - len(values)))).contiguous()


def _picture_order(end: Picture) -> list[int | None]:
    """Which output channel of a pixel shuffle each of `Picture`'s is."""
    order: list[int | None] = []
    for n, (plane, row) in enumerate(end.groups):
        if n and n % end.in_block == 0:
            order += [None] * (-len(order) % BLOCK)
        order += [(plane * end.scale + row) * end.scale + column for column in range(end.scale)]
    return order + [None] * (-len(order) % BLOCK)


def _ordered(values: Tensor, order: Sequence[int | None]) -> Tensor:
    nothing = torch.zeros_like(values[0])
    return torch.stack([nothing if n is None else values[n] for n in order])


def _tiles(matrices: Tensor) -> Tensor:
    """`(steps, 32, outputs)` in the order of `convolution.emit`."""
    steps, _, outputs = matrices.shape
    blocks = matrices.reshape(steps, DEPTH // 2, 2, outputs // BLOCK, BLOCK).permute(0, 3, 1, 4, 2)
    parts = [blocks[:, first : first + n].flatten() for first, n in convolution.passes(outputs // BLOCK)]
    return torch.cat(parts).to(torch.bfloat16)


def library(layers: Iterable[Layer]) -> tuple[Library, dict[Convolution, int]]:
    """The code for these layers, and the number of each kind of them in it."""
    shapes = tuple(dict.fromkeys(layer.shape for layer in layers))
    return _compiled(shapes), {shape: n for n, shape in enumerate(shapes)}


@lru_cache(maxsize=8)
def _compiled(shapes: tuple[Convolution, ...]) -> Library:
    module = ir.Module()
    names = [f"row{n}" for n in range(len(shapes))]
    for name, shape in zip(names, shapes, strict=True):
        convolution.emit(module, name, shape)
    rolling.emit(module, names)
    return Library(module)
