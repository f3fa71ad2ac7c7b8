"""Weights of convolutions as AMX tiles, and the code for all layers of a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import torch
from llvmlite import ir
from torch import Tensor

from vsr.kernels.amx import convolution, layer_fusion
from vsr.kernels.amx.convolution import BLOCK, DEPTH, Convolution, Features, Step, groups_in_block
from vsr.kernels.epilogues import Image, Residual
from vsr.kernels.llvm import Library

_TAPS = list(product(range(3), range(3)))
"""Rows and columns of the taps of a 3x3 convolution."""


@dataclass(frozen=True)
class Layer:
    """A convolution with its parameters, padded to whole tiles of channels."""

    shape: Convolution
    weights: Tensor
    """Tiles of bfloat16, in the order that `convolution.emit` reads."""
    bias: Tensor
    slopes: Tensor
    """Slopes of the PReLU after the convolution; float32, one for each output channel."""


def padded_channels(channels: int, unit: int = DEPTH) -> int:
    """Round channels up to whole tiles, which is what features have in memory."""
    return -(-channels // unit) * unit


def input_channels(channels: int) -> int:
    """Return the channels of an image in which each sample is two bfloat16; see `input_layer`."""
    return 8 if channels <= 4 else padded_channels(2 * channels)


def first(weight: Tensor, bias: Tensor, slopes: Tensor) -> Layer:
    """Return the layer of the convolution that reads the image, weight `(outputs, channels, 3, 3)`."""
    channels = input_channels(weight.shape[1])
    twice = torch.zeros(len(weight), channels, 3, 3)
    twice[:, : weight.shape[1]] = weight
    twice[:, channels // 2 :][:, : weight.shape[1]] = weight
    if channels != 8:
        return inner([twice], bias, Features(2 * padded_channels(len(weight))), slopes)
    # Four pixels fill a row of a tile: one product has three taps, and a fourth one with weights of zero.
    matrices = torch.zeros(3, 4, channels, padded_channels(len(weight)))
    matrices[:, :3, :, : len(weight)] = twice.permute(2, 3, 1, 0)
    steps = tuple(Step(0, row, 0) for row in range(3))
    outputs = padded_channels(len(weight))
    shape = Convolution(steps, (2 * channels, 0), outputs // BLOCK, Features(2 * outputs))
    return _layer(shape, matrices.flatten(1, 2), bias, slopes)


def inner(
    weights: Sequence[Tensor],
    bias: Tensor,
    epilogue: Features | Residual,
    slopes: Tensor,
    *,
    pixels: tuple[int, int] | None = None,
    rows: Sequence[int] = range(3),
    columns: Sequence[int] = range(3),
) -> Layer:
    """Return the layer of a convolution that reads features.

    Args:
        weights: `(outputs, channels, 3, 3)` for the first source, and for the second if there is one.
        pixels: Bytes of a pixel of each source, where a pixel has more channels than the weights read.
        rows: Rows of the weights that are not all zero.
        columns: Columns of the weights that are not all zero.
    """
    outputs = padded_channels(len(bias))
    sizes = pixels or (2 * padded_channels(weights[0].shape[1]), 0)
    steps, matrices = _steps(weights, outputs, sizes, list(product(rows, columns)))
    return _layer(Convolution(steps, sizes, outputs // BLOCK, epilogue), matrices, bias, slopes)


def last(weight: Tensor, bias: Tensor, image: Image) -> Layer:
    """Return the layer of the convolution before the pixel shuffle by `image.scale` that makes the result."""
    order = _image_order(image)
    weight, bias = _ordered(weight, order), _ordered(bias, order)
    sizes = (2 * padded_channels(weight.shape[1]), 0)
    steps, matrices = _steps([weight], len(order), sizes, _TAPS)
    shape = Convolution(steps, sizes, len(order) // BLOCK, image)
    return _layer(shape, matrices, bias, torch.zeros(len(order)))


def _layer(shape: Convolution, matrices: Tensor, bias: Tensor, slopes: Tensor) -> Layer:
    outputs = shape.blocks * BLOCK
    return Layer(shape, _tiles(matrices), _padded(bias, outputs), _padded(slopes, outputs))


def _steps(
    weights: Sequence[Tensor], outputs: int, pixels: tuple[int, int], taps: Sequence[tuple[int, int]]
) -> tuple[tuple[Step, ...], Tensor]:
    """Return a step for each tap, each 32 channels and each source, and the matrices `(steps, 32,
    outputs)`."""
    steps, matrices = [], []
    for source, weight in enumerate(weights):
        filled = torch.zeros(outputs, padded_channels(weight.shape[1]), 3, 3)
        filled[: len(weight), : weight.shape[1]] = weight
        for (row, column), begin in product(taps, range(0, filled.shape[1], DEPTH)):
            steps.append(Step(source, row, column * pixels[source] + 2 * begin))
            matrices.append(filled[:, begin : begin + DEPTH, row, column].T)
    return tuple(steps), torch.stack(matrices)


def _padded(values: Tensor, count: int) -> Tensor:
    return torch.cat((values, values.new_zeros(count - len(values)))).contiguous()


def _image_order(image: Image) -> list[int | None]:
    """Return for each output channel in the order of `Image` the channel of a pixel shuffle; None for
    padding."""
    order: list[int | None] = []
    for n, (plane, row) in enumerate(image.groups):
        if n and n % groups_in_block(image) == 0:
            order += [None] * (-len(order) % BLOCK)
        order += [(plane * image.scale + row) * image.scale + column for column in range(image.scale)]
    return order + [None] * (-len(order) % BLOCK)


def _ordered(values: Tensor, order: Sequence[int | None]) -> Tensor:
    zeros = torch.zeros_like(values[0])
    return torch.stack([zeros if n is None else values[n] for n in order])


def _tiles(matrices: Tensor) -> Tensor:
    """Arrange matrices `(steps, 32, outputs)` in the order that `convolution.emit` reads."""
    steps, _, outputs = matrices.shape
    blocks = matrices.reshape(steps, DEPTH // 2, 2, outputs // BLOCK, BLOCK).permute(0, 3, 1, 4, 2)
    by_pass = [blocks[:, first : first + n].flatten() for first, n in convolution.passes(outputs // BLOCK)]
    return torch.cat(by_pass).to(torch.bfloat16)


def library(layers: Iterable[Layer]) -> tuple[Library, dict[Convolution, int]]:
    """Compile the code of layers.

    Returns:
        The code, and the number of the row function for each shape of a layer.
    """
    shapes = tuple(dict.fromkeys(layer.shape for layer in layers))
    return _compiled(shapes), {shape: n for n, shape in enumerate(shapes)}


@lru_cache(maxsize=8)
def _compiled(shapes: tuple[Convolution, ...]) -> Library:
    module = ir.Module()
    names = [f"row{n}" for n in range(len(shapes))]
    for name, shape in zip(names, shapes, strict=True):
        convolution.emit(module, name, shape)
    layer_fusion.emit(module, names)
    return Library(module)
