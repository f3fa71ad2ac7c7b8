"""Which graphs the CUDA kernels take; nothing here needs a compiler."""

from __future__ import annotations

from vsr.kernels.conv_graph import IMAGE, Conv, ConvGraph, read_by

UNIT = 16
"""Channels of values that share a buffer are a multiple of it."""


def fits(graph: ConvGraph) -> bool:
    """Whether the kernels take a graph: only the first convolution reads the image, and the last one makes
    it."""
    first, *inner, last = graph.convs
    return (
        first is not last
        and first.inputs == (IMAGE,)
        and first.upsample == first.shuffle == 1
        and not first.residuals
        and all(IMAGE not in read_by(conv) for conv in (*inner, last))
        and all(_fits_inputs(graph, conv) for conv in (*inner, last))
        and all(map(_fits_inner, inner))
        and last.channels == 3
        and last.upsample == 1
        and last.slopes is None
        and not last.residuals
        and (graph.scale == last.shuffle if graph.adds_image else last.shuffle == 1)
        and _places_agree(graph)
    )


def _fits_inner(conv: Conv) -> bool:
    extras = bool(conv.residuals), conv.upsample > 1, conv.shuffle > 1
    return sum(extras) <= 1 and conv.upsample <= 2 and len(conv.residuals) <= 2


def _fits_inputs(graph: ConvGraph, conv: Conv) -> bool:
    return len(conv.inputs) == 1 or all(graph.channels(value) % UNIT == 0 for value in conv.inputs)


def _places_agree(graph: ConvGraph) -> bool:
    """Whether one layout of buffers serves all convolutions: a value lies behind the same ones in all of
    them."""
    before: dict[int, tuple[int, ...]] = {}
    for conv in graph.convs:
        for n, value in enumerate(conv.inputs):
            if before.setdefault(value, conv.inputs[:n]) != conv.inputs[:n]:
                return False
    return True
