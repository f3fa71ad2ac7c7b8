"""A `ConvGraph` as layers for the emitted code, with a buffer for each value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import product

from torch import Tensor

from vsr.kernels.conv_graph import IMAGE, Conv, ConvGraph, read_by
from vsr.kernels.epilogues import Image, Residual
from vsr.kernels.winograd import layers
from vsr.kernels.winograd.convolution import Features
from vsr.kernels.winograd.program import Buffer, LayerCall, Network


def network(graph: ConvGraph) -> Network:
    """Lower a graph that `limits.fits` accepts."""
    buffers = _buffers(graph)
    calls = [call for n, conv in enumerate(graph.convs, 1) for call in _layer_calls(graph, n, conv, buffers)]
    return Network(graph.channels(IMAGE), graph.scale, calls)


def _buffers(graph: ConvGraph) -> dict[int, Buffer]:
    """Assign a buffer to each value except the image and the result; a value reuses the buffer of one that is
    no longer read."""
    free: dict[tuple[int, int], list[Buffer]] = defaultdict(list)
    found: dict[int, Buffer] = {}
    for n, conv in enumerate(graph.convs[:-1], 1):
        kind = layers.padded_channels(conv.channels), graph.factor(n)
        found[n] = free[kind].pop() if free[kind] else Buffer(f"value {n}", *kind)
        # Freed after the new buffer was chosen: a convolution must not write what it reads.
        for value in set(read_by(conv)) - {IMAGE}:
            if graph.last_reader(value) == n:
                free[found[value].channels, found[value].factor].append(found[value])
    return found


def _layer_calls(graph: ConvGraph, n: int, conv: Conv, buffers: dict[int, Buffer]) -> Iterator[LayerCall]:
    if conv.inputs == (IMAGE,):
        yield LayerCall(layers.first(conv.weight, conv.bias, conv.slopes_or_ones), dst=buffers[n])
        return
    sources = tuple(buffers[value] for value in conv.inputs)
    weights = list(conv.weight.split([graph.channels(value) for value in conv.inputs], 1))
    if n == len(graph.convs):
        image = Image(conv.shuffle, adds_image=graph.adds_image)
        yield LayerCall(layers.inner(weights, conv.bias, conv.bias, image), sources)
    elif conv.shuffle > 1:
        yield from _shuffled(conv, weights, sources, buffers[n])
    else:
        yield _plain(conv, weights, sources, buffers[n], [buffers[r.value] for r in conv.residuals])


def _plain(
    conv: Conv, weights: list[Tensor], sources: tuple[Buffer, ...], dst: Buffer, residuals: list[Buffer]
) -> LayerCall:
    epilogue: Features | Residual = Features(dst.channels)
    if residuals:
        epilogue = Residual(dst.channels, conv.residuals[0].gain, twice=len(residuals) == 2)
    layer = layers.inner(weights, conv.bias, conv.slopes_or_ones, epilogue, doubled=conv.upsample == 2)
    base, outer = [*residuals, None, None][:2]
    return LayerCall(layer, sources, dst, base=base, outer=outer)


def _shuffled(
    conv: Conv, weights: list[Tensor], sources: tuple[Buffer, ...], dst: Buffer
) -> Iterator[LayerCall]:
    """Yield one layer for each phase of a pixel shuffle, from the output channels that become its pixels."""
    by, slopes = conv.shuffle, conv.slopes_or_ones
    for row, column in product(range(by), range(by)):
        each = slice(row * by + column, None, by**2)
        chosen, epilogue = [weight[each] for weight in weights], Features(dst.channels, by)
        layer = layers.inner(chosen, conv.bias[each], slopes[each], epilogue)
        yield LayerCall(layer, sources, dst, phase=(row, column))
