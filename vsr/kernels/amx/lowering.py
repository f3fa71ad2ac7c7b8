"""A `ConvGraph` as groups of layers for the emitted code.

The convolutions of a chain advance together: only a few rows are kept of what is between them. What other
chains read lies in memory as a whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, product

import torch
from torch import Tensor

from vsr.kernels.amx import layers, program
from vsr.kernels.amx.convolution import Features, Picture, Residual
from vsr.kernels.amx.layers import Layer
from vsr.kernels.amx.limits import Chain, chains
from vsr.kernels.amx.program import ENTRY, PICTURE, Buffer, Group, Network, Work
from vsr.kernels.conv_graph import IMAGE, Conv, ConvGraph, read_by
from vsr.kernels.weights import behind_doubling

_KEPT = 3
"""Rows that a convolution reads."""
_ROWS_A_LAYER = 4
"""Rows of a part for each layer that advances with others: what two parts compute twice is to stay little."""

Made = dict[tuple[int, int], Layer]
"""Layers by the number of their convolution and the pixel of the square that they make."""


def network(graph: ConvGraph) -> Network:
    """Lower a graph that `limits.fits`."""
    made = {key: layer for chain in chains(graph) for key, layer in _layers(graph, chain)}

    def groups(height: int, width: int) -> list[Group]:
        pieces = [piece for chain in chains(graph) for piece in _pieces(graph, chain, height, width)]
        buffers = _buffers(graph, pieces)
        return [_group(graph, piece, made, buffers) for piece in pieces]

    return Network(graph.channels(IMAGE), graph.scale, list(made.values()), groups)


def _wide(graph: ConvGraph, value: int) -> int:
    return (
        layers.entry_channels(graph.channels(value)) if value == IMAGE else layers.wide(graph.channels(value))
    )


def _pieces(graph: ConvGraph, chain: Chain, height: int, width: int) -> Iterator[Chain]:
    """A chain in pieces whose rows and weights fit into the cache of a core; dense ones stay whole."""
    count = chain.last - chain.first + 1
    if chain.dense or count == 1:
        yield chain
        return
    depth = _depth(max(layers.wide(graph.channels(n)) for n in range(chain.first, chain.last)), height, width)
    number = -(-count // depth)
    edges = [chain.first - 1 + count * i // number for i in range(number + 1)]
    for begin, end in pairwise(edges):
        entry = chain.entry if begin + 1 == chain.first else begin
        yield Chain(begin + 1, end, entry, dense=False)


def _depth(channels: int, height: int, width: int) -> int:
    """How many layers fit into the cache of a core, with their rows and weights."""
    rows, weights = _KEPT * (width + 32) * 2 * channels, 9 * 2 * channels**2
    return max(1, min(program.CACHE // (rows + weights), height // _ROWS_A_LAYER))


def _buffers(graph: ConvGraph, pieces: Sequence[Chain]) -> dict[int, Buffer]:
    """Buffers for the image, the result, and what pieces read of each other; unread values share theirs."""
    free: dict[tuple[int, int], list[Buffer]] = defaultdict(list)
    found = {IMAGE: Buffer(ENTRY, _wide(graph, IMAGE)), len(graph.convs): Buffer(PICTURE, 3)}
    read = {
        piece.last: {value for conv in _convs(graph, piece) for value in read_by(conv)} for piece in pieces
    }
    for piece in pieces[:-1]:
        kind = _wide(graph, piece.last), graph.factor(piece.last)
        found[piece.last] = free[kind].pop() if free[kind] else Buffer(f"value {piece.last}", kind[0])
        for value in read[piece.last] & set(found) - {IMAGE}:  # only now: a piece never writes what it reads
            if graph.last_reader(value) <= piece.last:
                free[_wide(graph, value), graph.factor(value)].append(found[value])
    return found


def _convs(graph: ConvGraph, chain: Chain) -> Sequence[Conv]:
    return graph.convs[chain.first - 1 : chain.last]


def _layers(graph: ConvGraph, chain: Chain) -> Iterator[tuple[tuple[int, int], Layer]]:
    sizes = 2 * _wide(graph, chain.entry), 2 * _inside(graph, chain)
    for n, conv in enumerate(_convs(graph, chain), chain.first):
        if n == len(graph.convs):
            yield (n, 0), layers.last(conv.weight, conv.bias, Picture(conv.shuffle, based=graph.adds_image))
        elif conv.inputs == (IMAGE,):
            yield (n, 0), layers.entry(conv.weight, conv.bias, conv.slopes_or_ones)
        elif conv.shuffle > 1 or conv.upsample > 1:
            by = conv.shuffle * conv.upsample
            for place, phase in enumerate(product(range(by), range(by))):
                kind = _shuffled if conv.shuffle > 1 else _nearest
                yield (n, place), kind(conv, phase, 2 * _wide(graph, n) * by)
        elif chain.dense:
            yield (n, 0), _dense(graph, chain, n, conv, sizes)
        else:
            end = _end(conv, 2 * _wide(graph, n))
            yield (n, 0), layers.inner([conv.weight], conv.bias, end, _slopes(conv))


def _inside(graph: ConvGraph, chain: Chain) -> int:
    """Channels of all that a dense chain makes but its result."""
    return sum(graph.channels(n) for n in range(chain.first, chain.last))


def _dense(graph: ConvGraph, chain: Chain, n: int, conv: Conv, sizes: tuple[int, int]) -> Layer:
    own = graph.channels(chain.entry)
    parts = [conv.weight[:, :own], conv.weight[:, own:]]  # of the entry, and of what was made of it
    pixel = 2 * _wide(graph, n) if n == chain.last else sizes[1]
    weights = parts if n > chain.first else parts[:1]
    return layers.inner(weights, conv.bias, _end(conv, pixel), _slopes(conv), pixels=sizes)


def _end(conv: Conv, pixel: int) -> Features | Residual:
    if not conv.residuals:
        return Features(pixel)
    return Residual(pixel, conv.residuals[0].gain, twice=len(conv.residuals) == 2)


def _slopes(conv: Conv) -> Tensor:
    return torch.zeros(len(conv.bias)) if conv.residuals else conv.slopes_or_ones


def _shuffled(conv: Conv, phase: tuple[int, int], pixel: int) -> Layer:
    """Of a convolution before a pixel shuffle, the channels that become one pixel of each square."""
    each = slice(phase[0] * conv.shuffle + phase[1], None, conv.shuffle**2)
    return layers.inner([conv.weight[each]], conv.bias[each], Features(pixel), conv.slopes_or_ones[each])


def _nearest(conv: Conv, phase: tuple[int, int], pixel: int) -> Layer:
    """Of a convolution after the nearest neighbour doubled the image: four taps where it would be nine."""
    row, column = phase
    folded = behind_doubling(conv.weight, row, column)
    rows, columns = (row, row + 1), (column, column + 1)
    return layers.inner([folded], conv.bias, Features(pixel), conv.slopes_or_ones, rows=rows, columns=columns)


def _group(graph: ConvGraph, chain: Chain, made: Made, buffers: dict[int, Buffer]) -> Group:
    factor = graph.factor(chain.entry)
    conv = graph.convs[chain.last - 1]
    if chain.last < len(graph.convs) and conv.shuffle * conv.upsample > 1:
        return Group(list(_enlarging(chain, conv, made, buffers)), factor=factor)
    kept = chain.last - chain.first + 2 if chain.dense else _KEPT
    return Group(
        [_work(graph, chain, n, made, buffers) for n in range(chain.first, chain.last + 1)], kept, factor
    )


def _enlarging(chain: Chain, conv: Conv, made: Made, buffers: dict[int, Buffer]) -> Iterator[Work]:
    by = conv.shuffle * conv.upsample
    for place, phase in enumerate(product(range(by), range(by))):
        dst = replace(buffers[chain.last], phase=phase, factor=by)
        yield Work(made[chain.last, place], buffers[chain.entry], dst)


def _work(graph: ConvGraph, chain: Chain, n: int, made: Made, buffers: dict[int, Buffer]) -> Work:
    halo = chain.last - n
    base, under = [*(buffers[r.value] for r in graph.convs[n - 1].residuals), None, None][:2]
    if not chain.dense:
        src, dst = (_between(graph, chain, value, buffers) for value in (n - 1, n))
        return Work(made[n, 0], src, dst, base=base, under=under, halo=halo)
    inside = Buffer("inside", _inside(graph, chain), ring=True)
    byte = 2 * sum(graph.channels(value) for value in range(chain.first, n))
    dst = buffers[n] if n == chain.last else replace(inside, byte=byte)
    return Work(made[n, 0], buffers[chain.entry], dst, more=inside, base=base, under=under, halo=halo)


def _between(graph: ConvGraph, chain: Chain, value: int, buffers: dict[int, Buffer]) -> Buffer:
    """A value of a plain chain: its entry, its result, or a few rows in between."""
    if value < chain.first:
        return buffers[chain.entry]
    return buffers[value] if value == chain.last else Buffer(f"ring {value}", _wide(graph, value), ring=True)
