"""An RRDB network in convolutions for Triton.

A dense block has one buffer: its input, and behind it in each pixel what its first four convolutions add. So
nothing is joined by copying, and each block writes its result into the buffer of the one after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
from torch import Tensor, nn

from vsr.kernels.cuda.convolution import Layer, layer
from vsr.kernels.cuda.program import Build, Program, Shape, Step, entry_channels, twice
from vsr.kernels.cuda.work import Residual, Work
from vsr.kernels.weights import behind_doubling, parameters
from vsr.models.archs.rrdb import RESIDUAL, RRDB, SLOPE

Place = Callable[..., Layer]
"""`convolution.layer` for a device and a dtype."""


@dataclass(frozen=True)
class _Placed:
    """A network's layers."""

    nf: int
    gc: int
    first: Layer
    blocks: list[list[list[Layer]]]
    """Of each block, of each of its three dense blocks, five."""
    body: Layer
    stages: list[tuple[int, list[Layer]]]
    """How much each enlarges, and its layers: one for each pixel of the square that a pixel becomes."""
    hr: Layer
    last: Layer


def build(rrdb: RRDB, *, device: torch.device, dtype: torch.dtype) -> Build:
    """Place its weights; the programs take the squares that `RRDB.squares` makes, and give whole pictures."""
    place = partial(layer, device=device, dtype=dtype)
    weight, bias = parameters(rrdb.conv_first)
    net = _Placed(
        nf=rrdb.config.nf,
        gc=rrdb.config.gc,
        first=place(twice(weight), bias, torch.ones(len(bias))),
        blocks=[[_dense(dense, place) for dense in block.children()] for block in rrdb.body],
        body=_layer(rrdb.conv_body, 1.0, place),
        stages=[(by, _stage(rrdb, conv, by, place)) for conv, by in rrdb.enlargements()],
        hr=_layer(rrdb.conv_hr, SLOPE, place),
        last=_layer(rrdb.conv_last, 1.0, partial(place, planes=True)),
    )
    return lambda shape: _program(net, shape, 3 * rrdb.multiple**2)


def _layer(conv: nn.Module, slope: float, place: Place) -> Layer:
    weight, bias = parameters(conv)
    return place(weight, bias, torch.full((len(bias),), slope))


def _dense(dense: nn.Module, place: Place) -> list[Layer]:
    *grow, end = dense.children()
    return [*(_layer(conv, SLOPE, place) for conv in grow), _layer(end, 1.0, place)]


def _stage(rrdb: RRDB, conv: nn.Module, by: int, place: Place) -> list[Layer]:
    one = _shuffled if rrdb.config.upsampler == "pixelshuffle" else _doubled
    return [one(conv, by, row, column, place) for row, column in product(range(by), range(by))]


def _shuffled(conv: nn.Module, by: int, row: int, column: int, place: Place) -> Layer:
    """Of a convolution before a pixel shuffle, the channels that become one pixel of each square."""
    weight, bias = (values[row * by + column :: by**2] for values in parameters(conv))
    return place(weight, bias, torch.full((len(bias),), SLOPE))


def _doubled(conv: nn.Module, by: int, row: int, column: int, place: Place) -> Layer:
    """Of a convolution behind the nearest neighbour: four taps instead of nine."""
    weight, bias = parameters(conv)
    folded, slopes = behind_doubling(weight, row, column), torch.full((len(bias),), SLOPE)
    return place(folded, bias, slopes, rows=(row, row + 2), columns=(column, column + 2))


def _program(net: _Placed, shape: Shape, channels: int) -> Program:
    entry, begun = shape.features(entry_channels(channels)), shape.features(net.nf)
    here, *spare = (shape.features(net.nf + 4 * net.gc) for _ in range(3))
    steps = [Step(net.first, Work(entry, goal)) for goal in (begun, here[..., : net.nf])]
    for block in net.blocks:
        steps += _block(block, [here, *spare], net)
        here, spare = spare[0], [here, spare[1]]
    out = spare[0][..., : net.nf]
    steps.append(Step(net.body, Work(here[..., : net.nf], out, base=Residual(begun, 1.0))))
    return Program(entry, *_enlarged(net, steps, out, shape))


def _block(block: list[list[Layer]], buffers: list[Tensor], net: _Placed) -> Iterator[Step]:
    """Three dense blocks: from the first buffer to the second, to the third, and to the second again."""
    begin, middle, end = buffers
    under = Residual(begin[..., : net.nf], 1.0)
    for layers, src, dst in zip(block, (begin, middle, end), (middle, end, middle), strict=True):
        *grow, last = layers
        for n, one in enumerate(grow):
            known = net.nf + n * net.gc
            yield Step(one, Work(src[..., :known], src[..., known : known + net.gc]))
        goal, own, outer = dst[..., : net.nf], src[..., : net.nf], src is end
        share = RESIDUAL if outer else 1.0
        base = Residual(own, share)
        work = Work(src, goal, gain=RESIDUAL * share, base=base, under=under if outer else None)
        yield Step(last, work)


def _enlarged(net: _Placed, steps: list[Step], src: Tensor, shape: Shape) -> tuple[list[Step], Tensor]:
    """All steps with those that make the picture, and the picture."""
    factor = 1
    for by, layers in net.stages:
        factor *= by
        grown = shape.features(net.nf, factor)
        goals = [grown[:, y::by, x::by] for y, x in product(range(by), range(by))]
        steps += [Step(one, Work(src, goal)) for one, goal in zip(layers, goals, strict=True)]
        src = grown
    fine, result = shape.features(net.nf, factor), shape.planes(3, factor)
    steps += [Step(net.hr, Work(src, fine)), Step(net.last, Work(fine, result.permute(0, 2, 3, 1)))]
    return steps, result
