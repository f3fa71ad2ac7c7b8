"""Which graphs the Winograd kernels support; nothing here needs `llvmlite`."""

from __future__ import annotations

from vsr.kernels.conv_graph import IMAGE, Conv, ConvGraph, has_one_extra, is_first, read_by

UNIT = 16
"""Channels of features in memory are a multiple of it."""
SOURCES = 5
"""Most inputs of a convolution."""


def fits(graph: ConvGraph) -> bool:
    """Return whether the kernels support a graph: only the first convolution reads the image, and only the
    last one makes the result.
    """
    first, *inner, last = graph.convs
    return (
        first is not last
        and is_first(first)
        and all(has_one_extra(conv) and _fits_inputs(conv) for conv in inner)
        and _fits_last(last)
        and (not graph.adds_image or graph.scale == last.shuffle)
    )


def _fits_last(conv: Conv) -> bool:
    plain = conv.upsample == 1 and conv.slopes is None and not conv.residuals
    return plain and conv.channels == 3 and _fits_inputs(conv)


def _fits_inputs(conv: Conv) -> bool:
    """Several inputs lie side by side in a matrix, so each of them must fill whole units of channels."""
    if IMAGE in read_by(conv) or len(conv.inputs) > SOURCES:
        return False
    return len(conv.inputs) == 1 or conv.weight.shape[1] % UNIT == len(conv.weight) % UNIT == 0
