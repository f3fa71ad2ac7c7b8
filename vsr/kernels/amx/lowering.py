"""A `ConvGraph` as groups of layers for the emitted code.

The convolutions of a chain advance together, and only a few rows of the results between them are kept. What
other chains read is in whole buffers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, product

import torch
from torch import Tensor

from vsr.kernels.amx import layers, program
from vsr.kernels.amx.convolution import Features
from vsr.kernels.amx.layers import Layer
from vsr.kernels.amx.limits import Chain, chains
from vsr.kernels.amx.program import INPUT, RESULT, Buffer, Group, LayerCall, Network
from vsr.kernels.conv_graph import IMAGE, Conv, ConvGraph, read_by
from vsr.kernels.epilogues import Image, Residual
from vsr.kernels.weights import after_doubling

_RING_ROWS = 3
"""Rows that a convolution reads."""
_ROWS_PER_LAYER = 4
"""Least rows of a region per layer of a group: neighbouring regions compute rows between them twice, and this
limits their share."""

Made = dict[tuple[int, int], Layer]
"""Layers by the number of their convolution and the phase, counted row by row, of the pixels that they
make."""


def network(graph: ConvGraph) -> Network:
    """Lower a graph that `limits.fits` accepts."""
    made = {key: layer for chain in chains(graph) for key, layer in _layers(graph, chain)}

    def groups(height: int, width: int) -> list[Group]:
        pieces = [piece for chain in chains(graph) for piece in _pieces(graph, chain, height, width)]
        buffers = _buffers(graph, pieces)
        return [_group(graph, piece, made, buffers) for piece in pieces]

    return Network(graph.channels(IMAGE), graph.scale, list(made.values()), groups)


def _padded_channels(graph: ConvGraph, value: int) -> int:
    channels = graph.channels(value)
    return layers.input_channels(channels) if value == IMAGE else layers.padded_channels(channels)


def _pieces(graph: ConvGraph, chain: Chain, height: int, width: int) -> Iterator[Chain]:
    """Split a chain so that the rows and weights of each piece fit into the L2 cache; dense chains stay
    whole."""
    count = chain.last - chain.first + 1
    if chain.dense or count == 1:
        yield chain
        return
    widest = max(layers.padded_channels(graph.channels(n)) for n in range(chain.first, chain.last))
    pieces = -(-count // _depth(widest, height, width))
    edges = [chain.first - 1 + count * i // pieces for i in range(pieces + 1)]
    for begin, end in pairwise(edges):
        source = chain.source if begin + 1 == chain.first else begin
        yield Chain(begin + 1, end, source, dense=False)


def _depth(channels: int, height: int, width: int) -> int:
    """Return how many layers fit into the L2 cache with their rows and weights."""
    rows, weights = _RING_ROWS * (width + 32) * 2 * channels, 9 * 2 * channels**2
    return max(1, min(program.CACHE // (rows + weights), height // _ROWS_PER_LAYER))


def _buffers(graph: ConvGraph, pieces: Sequence[Chain]) -> dict[int, Buffer]:
    """Assign buffers to the image, the result, and the values between pieces; a value reuses the buffer of
    one that is no longer read."""
    free: dict[tuple[int, int], list[Buffer]] = defaultdict(list)
    found = {IMAGE: Buffer(INPUT, _padded_channels(graph, IMAGE)), len(graph.convs): Buffer(RESULT, 3)}
    read = {
        piece.last: {value for conv in _convs(graph, piece) for value in read_by(conv)} for piece in pieces
    }
    for piece in pieces[:-1]:
        kind = _padded_channels(graph, piece.last), graph.factor(piece.last)
        found[piece.last] = free[kind].pop() if free[kind] else Buffer(f"value {piece.last}", kind[0])
        # Freed after the new buffer was chosen: a piece must not write what it reads.
        for value in read[piece.last] & set(found) - {IMAGE}:
            if graph.last_reader(value) <= piece.last:
                free[_padded_channels(graph, value), graph.factor(value)].append(found[value])
    return found


def _convs(graph: ConvGraph, chain: Chain) -> Sequence[Conv]:
    return graph.convs[chain.first - 1 : chain.last]


def _layers(graph: ConvGraph, chain: Chain) -> Iterator[tuple[tuple[int, int], Layer]]:
    """Yield the layers of a chain with their keys of `Made`."""
    sizes = 2 * _padded_channels(graph, chain.source), 2 * _inner_channels(graph, chain)
    for n, conv in enumerate(_convs(graph, chain), chain.first):
        if n == len(graph.convs):
            image = Image(conv.shuffle, adds_image=graph.adds_image)
            yield (n, 0), layers.last(conv.weight, conv.bias, image)
        elif conv.inputs == (IMAGE,):
            yield (n, 0), layers.first(conv.weight, conv.bias, conv.slopes_or_ones)
        elif conv.shuffle > 1 or conv.upsample > 1:
            by = conv.shuffle * conv.upsample
            for place, phase in enumerate(product(range(by), range(by))):
                kind = _shuffled if conv.shuffle > 1 else _nearest
                yield (n, place), kind(conv, phase, 2 * _padded_channels(graph, n) * by)
        elif chain.dense:
            yield (n, 0), _dense(graph, chain, n, conv, sizes)
        else:
            epilogue = _epilogue(conv, 2 * _padded_channels(graph, n))
            yield (n, 0), layers.inner([conv.weight], conv.bias, epilogue, _slopes(conv))


def _inner_channels(graph: ConvGraph, chain: Chain) -> int:
    """Return the channels of all results of a dense chain except the last one."""
    return sum(graph.channels(n) for n in range(chain.first, chain.last))


def _dense(graph: ConvGraph, chain: Chain, n: int, conv: Conv, sizes: tuple[int, int]) -> Layer:
    """Return a layer of a dense chain: its first source is the chain's source, its second the results so
    far."""
    own = graph.channels(chain.source)
    weights = [conv.weight[:, :own], conv.weight[:, own:]]
    pixel = 2 * _padded_channels(graph, n) if n == chain.last else sizes[1]
    if n == chain.first:
        weights = weights[:1]
    return layers.inner(weights, conv.bias, _epilogue(conv, pixel), _slopes(conv), pixels=sizes)


def _epilogue(conv: Conv, pixel: int) -> Features | Residual:
    if not conv.residuals:
        return Features(pixel)
    return Residual(pixel, conv.residuals[0].gain, twice=len(conv.residuals) == 2)


def _slopes(conv: Conv) -> Tensor:
    return torch.zeros(len(conv.bias)) if conv.residuals else conv.slopes_or_ones


def _shuffled(conv: Conv, phase: tuple[int, int], pixel: int) -> Layer:
    """Return the layer of a convolution before a pixel shuffle for one phase of its pixels."""
    each = slice(phase[0] * conv.shuffle + phase[1], None, conv.shuffle**2)
    return layers.inner([conv.weight[each]], conv.bias[each], Features(pixel), conv.slopes_or_ones[each])


def _nearest(conv: Conv, phase: tuple[int, int], pixel: int) -> Layer:
    """Return the layer of a convolution after nearest-neighbour enlargement by 2 for one phase of its pixels:
    it has four taps instead of nine."""
    row, column = phase
    folded = after_doubling(conv.weight, row, column)
    rows, columns = (row, row + 1), (column, column + 1)
    return layers.inner([folded], conv.bias, Features(pixel), conv.slopes_or_ones, rows=rows, columns=columns)


def _group(graph: ConvGraph, chain: Chain, made: Made, buffers: dict[int, Buffer]) -> Group:
    factor = graph.factor(chain.source)
    conv = graph.convs[chain.last - 1]
    if chain.last < len(graph.convs) and conv.shuffle * conv.upsample > 1:
        return Group(list(_enlarging(chain, conv, made, buffers)), factor=factor)
    ring_rows = chain.last - chain.first + 2 if chain.dense else _RING_ROWS
    calls = [_layer_call(graph, chain, n, made, buffers) for n in range(chain.first, chain.last + 1)]
    return Group(calls, ring_rows, factor)


def _enlarging(chain: Chain, conv: Conv, made: Made, buffers: dict[int, Buffer]) -> Iterator[LayerCall]:
    """Yield the layers of a convolution that enlarges, one for each phase of its pixels."""
    by = conv.shuffle * conv.upsample
    for place, phase in enumerate(product(range(by), range(by))):
        dst = replace(buffers[chain.last], phase=phase, factor=by)
        yield LayerCall(made[chain.last, place], buffers[chain.source], dst)


def _layer_call(graph: ConvGraph, chain: Chain, n: int, made: Made, buffers: dict[int, Buffer]) -> LayerCall:
    halo = chain.last - n
    base, outer = [*(buffers[r.value] for r in graph.convs[n - 1].residuals), None, None][:2]
    if not chain.dense:
        src, dst = (_plain_buffer(graph, chain, value, buffers) for value in (n - 1, n))
        return LayerCall(made[n, 0], src, dst, base=base, outer=outer, halo=halo)
    inner = Buffer("inner", _inner_channels(graph, chain), ring=True)
    byte = 2 * sum(graph.channels(value) for value in range(chain.first, n))
    dst = buffers[n] if n == chain.last else replace(inner, byte=byte)
    return LayerCall(made[n, 0], buffers[chain.source], dst, second=inner, base=base, outer=outer, halo=halo)


def _plain_buffer(graph: ConvGraph, chain: Chain, value: int, buffers: dict[int, Buffer]) -> Buffer:
    """Return the buffer of a value of a plain chain: its source, its result, or a ring buffer between
    them."""
    if value < chain.first:
        return buffers[chain.source]
    if value == chain.last:
        return buffers[value]
    return Buffer(f"ring {value}", _padded_channels(graph, value), ring=True)
