"""Which graphs the Winograd kernels take; nothing here needs `llvmlite`."""

from __future__ import annotations

from vsr.kernels.conv_graph import IMAGE, Conv, ConvGraph, read_by

UNIT = 16
"""Channels of features in memory are a multiple of it."""
SOURCES = 5
"""Inputs that a convolution may have."""


def fits(graph: ConvGraph) -> bool:
    """Whether the kernels take a graph: only the first convolution reads the image, and the last one makes
    it."""
    first, *inner, last = graph.convs
    return (
        first is not last
        and _fits_first(first)
        and all(map(_fits_inner, inner))
        and _fits_last(last)
        and (not graph.adds_image or graph.scale == last.shuffle)
    )


def _fits_first(conv: Conv) -> bool:
    return conv.inputs == (IMAGE,) and conv.upsample == conv.shuffle == 1 and not conv.residuals


def _fits_inner(conv: Conv) -> bool:
    """At most one of three: residuals (two of one gain, without activation), enlargement by 2, pixel
    shuffle."""
    gains = {residual.gain for residual in conv.residuals}
    extras = bool(gains), conv.upsample > 1, conv.shuffle > 1
    return (
        _fits_inputs(conv)
        and sum(extras) <= 1
        and conv.upsample <= 2
        and len(conv.residuals) <= 2
        and (not gains or (len(gains) == 1 and conv.slopes is None))
    )


def _fits_last(conv: Conv) -> bool:
    plain = conv.upsample == 1 and conv.slopes is None and not conv.residuals
    return plain and conv.channels == 3 and _fits_inputs(conv)


def _fits_inputs(conv: Conv) -> bool:
    """The channels of several inputs lie behind one another in a matrix, so each input fills whole units."""
    if IMAGE in read_by(conv) or len(conv.inputs) > SOURCES:
        return False
    return len(conv.inputs) == 1 or conv.weight.shape[1] % UNIT == len(conv.weight) % UNIT == 0
