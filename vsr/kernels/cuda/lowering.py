"""A `ConvGraph` as convolutions between buffers on a CUDA device.

Values that convolutions read together, as in a dense block, share one buffer: in each pixel the channels of
the first value come first, then those of the others. So concatenation copies nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import torch
from torch import Tensor

from vsr.kernels.conv_graph import IMAGE, Conv, ConvGraph, read_by
from vsr.kernels.cuda import layers
from vsr.kernels.cuda.halo import Packed
from vsr.kernels.cuda.operands import Operands, Residual
from vsr.kernels.cuda.program import Build, Program, Shape, Step, input_channels


@dataclass(frozen=True, slots=True)
class _Place:
    """The place of a value in memory: channels `begin` to `end` of a buffer."""

    buffer: int
    """Number of the first value in the buffer."""
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class _Placed:
    """A graph whose weights are on a device."""

    graph: ConvGraph
    layers: Sequence[Sequence[Packed]]
    """The layers of each convolution."""
    places: Mapping[int, _Place]
    """The place of each value except the image and the result."""
    widths: Mapping[int, int]
    """Channels of each buffer."""


def build(graph: ConvGraph, *, device: torch.device, dtype: torch.dtype) -> Build:
    """Move the weights of a graph that `limits.fits` accepts to a device.

    Returns:
        A function from a batch's shape to a program, which takes the image as `(N, C, H, W)` float32.
    """
    count = len(graph.convs)
    made = [layers.packed(graph, n, dtype=dtype, device=device) for n in range(1, count + 1)]
    places = _places(graph)
    widths: dict[int, int] = defaultdict(int)
    for place in places.values():
        widths[place.buffer] = max(widths[place.buffer], place.end)
    placed = _Placed(graph, made, places, widths)
    return lambda shape: _program(placed, shape)


def _places(graph: ConvGraph) -> dict[int, _Place]:
    found: dict[int, _Place] = {}
    for conv in graph.convs:
        first, *more = conv.inputs
        end = graph.channels(first)
        found.setdefault(first, _Place(first, 0, end))
        for value in more:
            found[value] = _Place(first, end, end + graph.channels(value))
            end = found[value].end
    return {value: place for value, place in found.items() if value != IMAGE}


def _program(placed: _Placed, shape: Shape) -> Program:
    graph = placed.graph
    input_features = shape.features(input_channels(graph.channels(IMAGE)))
    result, image = shape.planes(3, graph.scale), shape.planes(3) if graph.adds_image else None
    buffers = _buffers(placed, shape)
    views = {v: buffers[p.buffer][..., p.begin : p.end] for v, p in placed.places.items()}
    steps: list[Step] = []
    for n, (conv, made) in enumerate(zip(graph.convs, placed.layers, strict=True), 1):
        if conv.inputs == (IMAGE,):
            src = input_features
        else:
            src = buffers[placed.places[conv.inputs[0]].buffer][..., : conv.weight.shape[1]]
        if n < len(graph.convs):
            steps += _steps(conv, made, src, views[n], views)
        else:
            steps.append(Step(made[0], Operands(src, result.permute(0, 2, 3, 1), image=image)))
    return Program(input_features, steps, result, image)


def _buffers(placed: _Placed, shape: Shape) -> dict[int, Tensor]:
    """Allocate buffers; a buffer whose values are no longer read is reused."""
    graph, places = placed.graph, placed.places
    last_readers: dict[int, int] = defaultdict(int)
    for value, place in places.items():
        last_readers[place.buffer] = max(last_readers[place.buffer], graph.last_reader(value))
    free: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
    found: dict[int, Tensor] = {}
    for n, conv in enumerate(graph.convs[:-1], 1):
        if n in placed.widths:
            kind = placed.widths[n], graph.factor(n)
            found[n] = free[kind].pop() if free[kind] else shape.features(*kind)
        # Freed after the new buffer was chosen: a convolution must not write what it reads.
        for buffer in {places[value].buffer for value in read_by(conv) if value != IMAGE}:
            if last_readers[buffer] == n:
                free[placed.widths[buffer], graph.factor(buffer)].append(found[buffer])
    return found


def _steps(
    conv: Conv, made: Sequence[Packed], src: Tensor, dst: Tensor, views: Mapping[int, Tensor]
) -> Iterator[Step]:
    by = conv.shuffle * conv.upsample
    base, outer = [*_residuals(conv, views), None, None][:2]
    gain = prod(residual.gain for residual in conv.residuals)
    for layer, (row, column) in zip(made, product(range(by), range(by)), strict=True):
        yield Step(layer, Operands(src, dst[:, row::by, column::by], gain=gain, base=base, outer=outer))


def _residuals(conv: Conv, views: Mapping[int, Tensor]) -> list[Residual]:
    """Return the residuals, each with its gain: the product of the gains of those that are added after it."""
    found: list[Residual] = []
    gain = 1.0
    for residual in reversed(conv.residuals):
        found.insert(0, Residual(views[residual.value], gain))
        gain *= residual.gain
    return found
