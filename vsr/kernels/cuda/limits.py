"""Which graphs the CUDA kernel supports; nothing here needs a compiler or a device."""

from __future__ import annotations

from vsr.kernels.conv_graph import IMAGE, Conv, ConvGraph, is_first, read_by
from vsr.kernels.cuda import halo


def fits(graph: ConvGraph) -> bool:
    """Return whether the kernel supports a graph: channels in multiples of 32 (`halo.CHUNK`), and weights
    that fit into shared memory.

    Only the first convolution may read the image, and only the last one may make the result.
    """
    first, *inner, last = graph.convs
    return (
        first is not last
        and is_first(first)
        and _has_shape(len(first.weight), halo.CHUNK)
        and all(map(_fits_inner, inner))
        and _fits_last(last)
        and (graph.scale == last.shuffle if graph.adds_image else last.shuffle == 1)
        and _places_agree(graph)
    )


def _fits_inner(conv: Conv) -> bool:
    """Return whether the kernel supports a convolution between the first and the last: it does at most one of
    three things, which are up to two residuals, enlargement by 2, and a pixel shuffle.
    """
    extras = bool(conv.residuals), conv.upsample > 1, conv.shuffle > 1
    return (
        IMAGE not in read_by(conv)
        and sum(extras) <= 1
        and conv.upsample <= 2
        and len(conv.residuals) <= 2
        and conv.channels % halo.CHUNK == 0
        and _has_shape(conv.channels, conv.weight.shape[1], taps=3 if conv.upsample == 1 else 2)
    )


def _fits_last(conv: Conv) -> bool:
    plain = IMAGE not in read_by(conv) and conv.upsample == 1 and conv.slopes is None and not conv.residuals
    channels = conv.weight.shape[1]
    return plain and conv.channels == 3 and _has_shape(len(conv.weight), channels, shuffle=conv.shuffle)


def _has_shape(outputs: int, channels: int, *, taps: int = 3, shuffle: int | None = None) -> bool:
    shape = halo.shape_for(
        outputs,
        channels,
        rows=taps,
        columns=taps,
        planes=shuffle is not None,
        half=False,
        shuffle=shuffle or 1,
    )
    return shape is not None


def _places_agree(graph: ConvGraph) -> bool:
    """Return whether one layout of buffers serves all convolutions: the values before a value are the same in
    the inputs of all of them.
    """
    before: dict[int, tuple[int, ...]] = {}
    for conv in graph.convs:
        for n, value in enumerate(conv.inputs):
            if before.setdefault(value, conv.inputs[:n]) != conv.inputs[:n]:
                return False
    return True
