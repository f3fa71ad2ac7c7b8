"""Which graphs the AMX kernels support, and which of their convolutions advance together.

Nothing here needs `llvmlite`.
"""

from __future__ import annotations

from dataclasses import dataclass

from vsr.kernels.conv_graph import IMAGE, Conv, ConvGraph, has_one_extra, read_by

TILE = 32
"""Channels of features in a tile."""
_LARGEST_SHUFFLE = 8
"""Largest factor of the last pixel shuffle whose rows of SR pixels fit into blocks of 16 output channels."""


@dataclass(frozen=True)
class Chain:
    """Convolutions `first` to `last` that one thread computes row by row, with few rows kept between them.

    All of them read the value `source`, or results of each other. Nothing outside reads results between them.
    """

    first: int
    last: int
    source: int
    dense: bool
    """Whether each reads the source and all results before it, as in a dense block; else each reads only the
    result before it."""


def chains(graph: ConvGraph) -> list[Chain]:
    """Divide a graph into chains that are as long as possible."""
    found: list[Chain] = []
    while (first := found[-1].last + 1 if found else 1) <= len(graph.convs):
        longest = next(
            chain
            for last in range(len(graph.convs), first - 1, -1)
            if (chain := _chain(graph, first, last)) is not None
        )
        found.append(longest)
    return found


def _chain(graph: ConvGraph, first: int, last: int) -> Chain | None:
    convs = graph.convs[first - 1 : last]
    source = convs[0].inputs[0]
    inside = range(first, last)
    private = all(graph.last_reader(value) <= last for value in inside)
    # Residuals are read from whole buffers, so they must come from outside.
    outside = all(residual.value not in inside for conv in convs for residual in conv.residuals)
    if last > first and not (
        private and outside and all(conv.upsample == conv.shuffle == 1 for conv in convs[:-1])
    ):
        return None
    if all(conv.inputs == ((source,) if n == 0 else (first + n - 1,)) for n, conv in enumerate(convs)):
        return Chain(first, last, source, dense=False) if _one_size(convs, last == len(graph.convs)) else None
    if all(conv.inputs == (source, *range(first, first + n)) for n, conv in enumerate(convs)):
        return Chain(first, last, source, dense=True) if _one_size(convs, False) else None
    return None


def _one_size(convs: tuple[Conv, ...], makes_result: bool) -> bool:
    """Return whether all results have one size: a convolution that enlarges is a chain of its own. The last
    pixel shuffle of the graph does not count, because it makes the result.
    """
    enlarging = convs[-1].upsample > 1 or (convs[-1].shuffle > 1 and not makes_result)
    return len(convs) == 1 or not enlarging


def fits(graph: ConvGraph) -> bool:
    """Return whether the kernels support a graph."""
    last = graph.convs[-1]
    return (
        len(graph.convs) > 1
        and graph.convs[0].inputs == (IMAGE,)
        and all(map(has_one_extra, graph.convs[:-1]))
        and last.channels == 3
        and last.shuffle <= _LARGEST_SHUFFLE
        and last.upsample == 1
        and last.slopes is None
        and not last.residuals
        and (not graph.adds_image or graph.scale == last.shuffle)
        and all(IMAGE not in read_by(conv) for conv in graph.convs[1:])
        and all(_fits_inputs(graph, chain) for chain in chains(graph))
    )


def _fits_inputs(graph: ConvGraph, chain: Chain) -> bool:
    """Values of a dense chain lie side by side in memory, so each of them must fill whole tiles."""
    convs = graph.convs[chain.first - 1 : chain.last]
    if not chain.dense:
        return all(len(conv.inputs) == 1 for conv in convs)
    return all(
        graph.channels(value) % TILE == 0 for value in (chain.source, *range(chain.first, chain.last + 1))
    )
