"""What caps say of pictures, in the words of YUV4MPEG2 and of vsr's flags."""

from __future__ import annotations

from typing import Any

from gi.repository import GstVideo

from vsr_gst.layout import FORMATS

_CENTER, _LEFT, _TOPLEFT = ("center", "jpeg"), ("left", "mpeg2"), ("topleft", "paldv")
SITES = {
    "jpeg": _CENTER,
    "none": _CENTER,
    "mpeg2": _LEFT,
    "h-cosited": _LEFT,
    "cosited": _TOPLEFT,
    "dv": _TOPLEFT,
}
"""Of caps, to vsr's words, and to what YUV4MPEG2 puts behind 420 at 8 bits, where it always says one. The
words of the caps: `GstVideo.VideoInfo` of 1.22 has centre for all that have no colorimetry beside them."""
USUAL_SITE = _LEFT
"""Of what players show, for caps that do not say."""
UNSPECIFIED = 2
"""Of H.273's matrices, transfers and primaries."""
RANGES = {GstVideo.VideoColorRange(1): "full", GstVideo.VideoColorRange(2): "limited"}


def site_of(caps: Any) -> tuple[str, str]:
    """Where chroma samples lie, as `SITES` says it."""
    return SITES.get(caps.get_structure(0).get_string("chroma-site") or "", USUAL_SITE)


def header_of(info: Any, caps: Any) -> bytes:
    """First line of YUV4MPEG2; the rate is a label, as times do not go through it."""
    rate = f"{info.fps_n}:{info.fps_d}" if info.fps_n else "25:1"
    space = FORMATS[info.finfo.name].space
    space += site_of(caps)[1] if space == "420" else ""
    return f"YUV4MPEG2 W{info.width} H{info.height} F{rate} Ip A0:0 C{space}\n".encode()


def color_of(info: Any, caps: Any) -> dict[str, str]:
    """Tags of caps in vsr's words and H.273's numbers.

    Where caps have no colorimetry, GStreamer's rule for that is meant, and `info` has it.
    """
    tags, chroma = info.colorimetry, FORMATS[info.finfo.name].chroma
    numbers = {
        "matrix": GstVideo.VideoColorMatrix.to_iso(tags.matrix) if chroma is not None else UNSPECIFIED,
        "transfer": GstVideo.VideoTransferFunction.to_iso(tags.transfer),
        "primaries": GstVideo.VideoColorPrimaries.to_iso(tags.primaries),
    }
    words = {tag: str(number) for tag, number in numbers.items() if number != UNSPECIFIED}
    if tags.range in RANGES:
        words["range"] = RANGES[tags.range]
    return words | ({"chroma_location": site_of(caps)[0]} if chroma == (1, 1) else {})
