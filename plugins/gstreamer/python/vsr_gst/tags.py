"""Converts caps to the header of YUV4MPEG2 and to vsr's flags for colour tags."""

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
"""For each chroma-site of caps, vsr's name and the suffix in YUV4MPEG2 after 420 at 8 bits,
where it is required. Caps are read as text, because `GstVideo.VideoInfo` of 1.22 reports
centre for all caps without colorimetry."""
USUAL_SITE = _LEFT
"""Chroma location that players assume if caps do not give it."""
UNSPECIFIED = 2
"""Code points of H.273 for matrices, transfers and primaries."""
RANGES = {GstVideo.VideoColorRange(1): "full", GstVideo.VideoColorRange(2): "limited"}


def site_of(caps: Any) -> tuple[str, str]:
    """Return the chroma location as listed in `SITES`."""
    return SITES.get(caps.get_structure(0).get_string("chroma-site") or "", USUAL_SITE)


def header_of(info: Any, caps: Any) -> bytes:
    """Return the first line of YUV4MPEG2; its rate is only a label, because times do not pass through it."""
    rate = f"{info.fps_n}:{info.fps_d}" if info.fps_n else "25:1"
    space = FORMATS[info.finfo.name].space
    space += site_of(caps)[1] if space == "420" else ""
    return f"YUV4MPEG2 W{info.width} H{info.height} F{rate} Ip A0:0 C{space}\n".encode()


def color_of(info: Any, caps: Any) -> dict[str, str]:
    """Return the tags of caps with vsr's names and H.273's numbers.

    For caps without colorimetry, GStreamer's default applies, which `info` contains.
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
