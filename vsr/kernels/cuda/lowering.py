"""A `ConvGraph` as convolutions between buffers on a CUDA device.

Values that convolutions read together, as in a dense block, lie in one buffer: the first value, and behind it
in each pixel those that join it. So nothing is copied to be concatenated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor

from vsr.kernels.conv_graph import IMAGE, Conv, ConvGraph, read_by
from vsr.kernels.cuda.convolution import Layer, layer
from vsr.kernels.cuda.program import Build, Program, Shape, Step, entry_channels, twice
from vsr.kernels.cuda.work import Residual, Work
from vsr.kernels.weights import behind_doubling


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value lies: channels `begin` to `end` of a buffer."""

    buffer: int
    begin: int
    end: int


def build(graph: ConvGraph, *, device: torch.device, dtype: torch.dtype) -> Build:
    """Place the weights of a graph that `limits.fits` on a device.

    The programs take what the first convolution reads, as `(N, C, H, W)` float32.
    """
    place = partial(layer, device=device, dtype=dtype)
    made = [_layers(graph, n, conv, place) for n, conv in enumerate(graph.convs, 1)]
    places = _places(graph)
    widths = _widths(graph, made, places)
    return lambda shape: _program(graph, made, places, widths, shape)


def _layers(graph: ConvGraph, n: int, conv: Conv, place: Any) -> list[Layer]:
    """The layers of a convolution: several where it enlarges, one for each pixel that a pixel becomes."""
    slopes = conv.slopes_or_ones
    if n == len(graph.convs):
        return [place(conv.weight, conv.bias, slopes, planes=True, shuffle=conv.shuffle)]
    if conv.inputs == (IMAGE,):
        return [place(twice(conv.weight), conv.bias, slopes)]
    by = conv.shuffle * conv.upsample
    kind = _shuffled if conv.shuffle > 1 else _doubled
    return (
        [place(conv.weight, conv.bias, slopes)]
        if by == 1
        else [kind(conv, row, column, place) for row, column in product(range(by), range(by))]
    )


def _shuffled(conv: Conv, row: int, column: int, place: Any) -> Layer:
    """Of a convolution before a pixel shuffle, the channels that become one pixel of each square."""
    each = slice(row * conv.shuffle + column, None, conv.shuffle**2)
    return place(conv.weight[each], conv.bias[each], conv.slopes_or_ones[each])


def _doubled(conv: Conv, row: int, column: int, place: Any) -> Layer:
    """Of a convolution behind the nearest neighbour: four taps instead of nine."""
    folded = behind_doubling(conv.weight, row, column)
    rows, columns = (row, row + 2), (column, column + 2)
    return place(folded, conv.bias, conv.slopes_or_ones, rows=rows, columns=columns)


def _places(graph: ConvGraph) -> dict[int, _Place]:
    """Where each value but the image and the result lies; a buffer has the number of its first value."""
    found: dict[int, _Place] = {}
    for conv in graph.convs:
        first, *more = conv.inputs
        end = graph.channels(first)
        found.setdefault(first, _Place(first, 0, end))
        for value in more:
            found[value] = _Place(first, end, end + graph.channels(value))
            end = found[value].end
    return {value: place for value, place in found.items() if value != IMAGE}


def _widths(
    graph: ConvGraph, made: Sequence[Sequence[Layer]], places: Mapping[int, _Place]
) -> dict[int, int]:
    """Channels of each buffer: those of its values, and as many as a layer that reads it alone is filled up
    to."""
    widths: dict[int, int] = defaultdict(int)
    for place in places.values():
        widths[place.buffer] = max(widths[place.buffer], place.end)
    for conv, layers in zip(graph.convs, made, strict=True):
        if len(conv.inputs) == 1 and conv.inputs != (IMAGE,):
            buffer = places[conv.inputs[0]].buffer
            widths[buffer] = max(widths[buffer], layers[0].channels)
    return dict(widths)


def _program(
    graph: ConvGraph,
    made: Sequence[Sequence[Layer]],
    places: Mapping[int, _Place],
    widths: Mapping[int, int],
    shape: Shape,
) -> Program:
    last = graph.convs[-1]
    on_image = graph.adds_image and made[-1][0].packed is not None
    entry = shape.features(entry_channels(graph.channels(IMAGE)))
    fine = graph.scale // last.shuffle * (last.shuffle if on_image else 1)
    result = shape.planes(3 if on_image else len(last.weight), fine)
    image = shape.planes(3) if on_image else None
    buffers = _buffers(graph, places, widths, shape)
    views = {value: buffers[place.buffer][..., place.begin : place.end] for value, place in places.items()}
    steps = []
    for n, (conv, layers) in enumerate(zip(graph.convs, made, strict=True), 1):
        src = entry if conv.inputs == (IMAGE,) else _source(conv, layers[0], buffers, places)
        if n == len(graph.convs):
            work = Work(src, result.permute(0, 2, 3, 1), picture=image)
            steps.append(Step(layers[0], work))
        else:
            steps += _steps(conv, layers, src, views[n], views)
    return Program(entry, steps, result, image)


def _buffers(
    graph: ConvGraph, places: Mapping[int, _Place], widths: Mapping[int, int], shape: Shape
) -> dict[int, Tensor]:
    """Allocate buffers; those whose values are no longer read share their memory."""
    ends: dict[int, int] = defaultdict(int)
    used: dict[int, int] = defaultdict(int)
    for value, place in places.items():
        ends[place.buffer] = max(ends[place.buffer], graph.last_reader(value))
        used[place.buffer] = max(used[place.buffer], place.end)
    free: dict[tuple[int, int, int], list[Tensor]] = defaultdict(list)
    found: dict[int, Tensor] = {}
    for n, conv in enumerate(graph.convs[:-1], 1):
        if n in widths:
            kind = widths[n], used[n], graph.factor(n)  # channels that nobody writes stay zero
            found[n] = free[kind].pop() if free[kind] else shape.features(widths[n], graph.factor(n))
        for buffer in {places[value].buffer for value in read_by(conv) if value != IMAGE}:
            if ends[buffer] == n:  # only now: a convolution never writes what it reads
                free[widths[buffer], used[buffer], graph.factor(buffer)].append(found[buffer])
    return found


def _source(conv: Conv, one: Layer, buffers: Mapping[int, Tensor], places: Mapping[int, _Place]) -> Tensor:
    """All channels that a convolution reads; a single input with those that fill it up."""
    buffer = buffers[places[conv.inputs[0]].buffer]
    return buffer[..., : one.channels if len(conv.inputs) == 1 else conv.weight.shape[1]]


def _steps(
    conv: Conv, layers: Sequence[Layer], src: Tensor, dst: Tensor, views: Mapping[int, Tensor]
) -> Iterator[Step]:
    by = conv.shuffle * conv.upsample
    if by > 1:
        for one, (row, column) in zip(layers, product(range(by), range(by)), strict=True):
            yield Step(one, Work(src, dst[:, row::by, column::by]))
        return
    base, under = [*_residuals(conv, views), None, None][:2]
    gain = 1.0
    for residual in conv.residuals:
        gain *= residual.gain
    yield Step(layers[0], Work(src, dst, gain=gain, base=base, under=under))


def _residuals(conv: Conv, views: Mapping[int, Tensor]) -> list[Residual]:
    """Each one times the gains of those that are added after it."""
    found: list[Residual] = []
    gain = 1.0
    for residual in reversed(conv.residuals):
        found.insert(0, Residual(views[residual.value], gain))
        gain *= residual.gain
    return found
