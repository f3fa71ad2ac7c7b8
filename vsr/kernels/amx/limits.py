"""Which graphs the AMX kernels take, and which of their convolutions advance together; nothing here needs
`llvmlite`."""

from __future__ import annotations

from dataclasses import dataclass

from vsr.kernels.conv_graph import IMAGE, Conv, ConvGraph, read_by

TILE = 32
"""Channels of features in a tile."""
_LARGEST_SHUFFLE = 8
"""A row of pixels of the result must fit into a block of 16 output channels."""


@dataclass(frozen=True)
class Chain:
    """Convolutions `first` to `last` that one worker computes line by line, keeping a few rows between them.

    All read the value `entry`, or each other; nothing outside reads what is between them.
    """

    first: int
    last: int
    entry: int
    dense: bool
    """Whether each reads the entry and all before it, as in a dense block; else each reads the one before
    it."""


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
    entry = convs[0].inputs[0]
    inside = range(first, last)
    private = all(graph.last_reader(value) <= last for value in inside)
    # A residual is read from memory as a whole, so it lies outside.
    outside = all(residual.value not in inside for conv in convs for residual in conv.residuals)
    if last > first and not (
        private and outside and all(conv.upsample == conv.shuffle == 1 for conv in convs[:-1])
    ):
        return None
    if all(conv.inputs == ((entry,) if n == 0 else (first + n - 1,)) for n, conv in enumerate(convs)):
        return Chain(first, last, entry, dense=False) if _one_size(convs, last == len(graph.convs)) else None
    if all(conv.inputs == (entry, *range(first, first + n)) for n, conv in enumerate(convs)):
        return Chain(first, last, entry, dense=True) if _one_size(convs, False) else None
    return None


def _one_size(convs: tuple[Conv, ...], is_end: bool) -> bool:
    """Enlarging convolutions stand alone; the pixel shuffle of the last one belongs to the result."""
    enlarging = convs[-1].upsample > 1 or (convs[-1].shuffle > 1 and not is_end)
    return len(convs) == 1 or not enlarging


def fits(graph: ConvGraph) -> bool:
    """Whether the kernels take a graph."""
    last = graph.convs[-1]
    return (
        len(graph.convs) > 1
        and graph.convs[0].inputs == (IMAGE,)
        and all(map(_fits, graph.convs[:-1]))
        and last.channels == 3
        and last.shuffle <= _LARGEST_SHUFFLE
        and last.upsample == 1
        and last.slopes is None
        and not last.residuals
        and (not graph.adds_image or graph.scale == last.shuffle)
        and all(IMAGE not in read_by(conv) for conv in graph.convs[1:])
        and all(_fits_inputs(graph, chain) for chain in chains(graph))
    )


def _fits(conv: Conv) -> bool:
    gains = {residual.gain for residual in conv.residuals}
    extras = bool(gains), conv.upsample > 1, conv.shuffle > 1
    return (
        sum(extras) <= 1
        and conv.upsample <= 2
        and len(conv.residuals) <= 2
        and (not gains or (len(gains) == 1 and conv.slopes is None))
    )


def _fits_inputs(graph: ConvGraph, chain: Chain) -> bool:
    """In a dense chain, several values lie side by side in memory, so each one fills whole tiles."""
    convs = graph.convs[chain.first - 1 : chain.last]
    if not chain.dense:
        return all(len(conv.inputs) == 1 for conv in convs)
    return all(
        graph.channels(value) % TILE == 0 for value in (chain.entry, *range(chain.first, chain.last + 1))
    )
