"""Finds the field order of a stream: from its frames, or from the container alone."""

from __future__ import annotations

from vsr.frame import FieldOrder

_MARKED = frozenset(
    {"mpeg1video", "mpeg2video", "mpeg4", "h264", "vc1", "wmv3", "cavs", "avs2", "avs3", "dvvideo"}
    | {"prores", "prores_raw", "dnxhd", "cfhd", "vvc", "av1", "vp8", "vp9", "theora", "h261", "h263", "flv1"}
)
"""FFmpeg's names of codecs whose frames say whether they are interlaced, or which can only be progressive."""
_ORDERS: dict[int, FieldOrder] = {
    2: "top-first",
    3: "bottom-first",
    4: "bottom-first",  # coded top field first, shown bottom field first
    5: "top-first",
}
"""FFmpeg's AVFieldOrder; 0 is unknown, 1 progressive."""


def field_order_of(codec: str, frame: FieldOrder, container: int) -> tuple[FieldOrder, bool]:
    """Return the field order of a stream, and whether only the container states it.

    Args:
        codec: FFmpeg's name of the codec.
        frame: Field order of the first frame.
        container: FFmpeg's AVFieldOrder of the stream.
    """
    if frame in ("top-first", "bottom-first"):
        # FFmpeg flags frames of H.265 only if each frame is a single field.
        return ("single fields" if codec == "hevc" else frame), False
    order = _ORDERS.get(container)
    if order is None or codec in _MARKED:
        return frame, False
    return order, True
