"""A `ConvGraph` as layers for the emitted code, with a buffer for each value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import product

from torch import Tensor

from vsr.kernels.conv_graph import IMAGE, Conv, ConvGraph, read_by
from vsr.kernels.winograd import layers
from vsr.kernels.winograd.convolution import Features, Picture, Residual
from vsr.kernels.winograd.program import Buffer, Network, Work


def network(graph: ConvGraph) -> Network:
    """Lower a graph that `limits.fits`."""
    buffers = _buffers(graph)
    works = [work for n, conv in enumerate(graph.convs, 1) for work in _works(graph, n, conv, buffers)]
    return Network(graph.channels(IMAGE), graph.scale, works)


def _buffers(graph: ConvGraph) -> dict[int, Buffer]:
    """Assign a buffer to each value but the image and the result; values that are no longer read share
    theirs."""
    free: dict[tuple[int, int], list[Buffer]] = defaultdict(list)
    found: dict[int, Buffer] = {}
    for n, conv in enumerate(graph.convs[:-1], 1):
        kind = layers.wide(conv.channels), graph.factor(n)
        found[n] = free[kind].pop() if free[kind] else Buffer(f"value {n}", *kind)
        for value in set(read_by(conv)) - {IMAGE}:  # only now: a convolution never writes what it reads
            if graph.last_reader(value) == n:
                free[found[value].channels, found[value].factor].append(found[value])
    return found


def _works(graph: ConvGraph, n: int, conv: Conv, buffers: dict[int, Buffer]) -> Iterator[Work]:
    if conv.inputs == (IMAGE,):
        yield Work(layers.first(conv.weight, conv.bias, conv.slopes_or_ones), dst=buffers[n])
        return
    sources = tuple(buffers[value] for value in conv.inputs)
    weights = _split(conv.weight, [graph.channels(value) for value in conv.inputs])
    if n == len(graph.convs):
        end = Picture(conv.shuffle, based=graph.adds_image)
        yield Work(layers.inner(weights, conv.bias, conv.bias, end), sources)
    elif conv.shuffle > 1:
        yield from _shuffled(conv, weights, sources, buffers[n])
    else:
        yield _plain(conv, weights, sources, buffers[n], [buffers[r.value] for r in conv.residuals])


def _plain(
    conv: Conv, weights: list[Tensor], sources: tuple[Buffer, ...], dst: Buffer, residuals: list[Buffer]
) -> Work:
    end: Features | Residual = Features(dst.channels)
    if residuals:
        end = Residual(dst.channels, conv.residuals[0].gain, twice=len(residuals) == 2)
    layer = layers.inner(weights, conv.bias, conv.slopes_or_ones, end, doubled=conv.upsample == 2)
    base, under = [*residuals, None, None][:2]
    return Work(layer, sources, dst, base=base, under=under)


def _shuffled(conv: Conv, weights: list[Tensor], sources: tuple[Buffer, ...], dst: Buffer) -> Iterator[Work]:
    """One layer for each pixel of the square that a pixel becomes, from those channels that become it."""
    by, slopes = conv.shuffle, conv.slopes_or_ones
    for row, column in product(range(by), range(by)):
        each = slice(row * by + column, None, by**2)
        part, end = [weight[each] for weight in weights], Features(dst.channels, by)
        layer = layers.inner(part, conv.bias[each], slopes[each], end)
        yield Work(layer, sources, dst, phase=(row, column))


def _split(weight: Tensor, channels: list[int]) -> list[Tensor]:
    """By the input that is read."""
    return list(weight.split(channels, 1))
