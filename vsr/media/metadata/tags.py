"""Reads colour, aspect and field tags of a decoded frame. Torch is not imported here.

PyAV exposes neither the chroma location nor the field order. FFmpeg's `showinfo` filter prints both for every
codec, so one frame is sent through it and its output is parsed (`details_of`).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from fractions import Fraction

import av
import av.filter

from vsr.color.spec import ChromaLocation, ColorSpec, Range
from vsr.frame import ContentLight, DolbyVision, FieldOrder, MasteringDisplay, Spherical, Stereo
from vsr.media.files.ffmpeg_log import log_level_info
from vsr.media.metadata.side_data import side_data

_SHOWN = re.compile(r"\bcl:(?P<place>\w+) .*\bi:(?P<field>[PTB])\b")
_PLACES = {
    "left": ChromaLocation.LEFT,
    "center": ChromaLocation.CENTER,
    "topleft": ChromaLocation.TOPLEFT,
    "top": ChromaLocation.TOP,
    "bottomleft": ChromaLocation.BOTTOMLEFT,
    "bottom": ChromaLocation.BOTTOM,
}
_FIELDS: dict[str, FieldOrder] = {"P": "progressive", "T": "top-first", "B": "bottom-first"}
_MASTERING = struct.Struct("=20i2i")
"""AVMasteringDisplayMetadata: 10 rationals (x and y of R, G, B and white; minimum and maximum luminance), two
flags."""
_LIGHT = struct.Struct("=2I")
"""AVContentLightMetadata: MaxCLL, MaxFALL."""
_MATRIX = struct.Struct("=9i")
_STEREO = struct.Struct("=2i")
"""The beginning of AVStereo3D: type, flags."""
_STEREO_INVERTED = 1
_STEREO_KINDS = frozenset({1, 2, 3, 4, 5, 6, 7})
"""Values of AVStereo3DType with both views in one frame, or in alternate frames."""
_SPHERICAL = struct.Struct("=4i5I")
"""AVSphericalMapping: projection, yaw, pitch, roll (16.16), left, top, right, bottom, padding."""
_OFFSET = struct.Struct("=Q")
_DOLBY_HEADER = 17
"""Bytes of AVDOVIRpuDataHeader up to its last flag; AVDOVIMetadata begins with the header's offset."""
_TWELVE_BITS = 12


@dataclass(frozen=True, slots=True)
class Details:
    """Facts of a frame that PyAV does not expose."""

    chroma_location: ChromaLocation
    field_order: FieldOrder


def details_of(frame: av.VideoFrame) -> Details:
    """Return the chroma location and field order of a frame.

    FFmpeg's log is captured while the frame passes `showinfo`. The log level of the process is restored
    afterwards.
    """
    with log_level_info(), av.logging.Capture() as lines:
        _show(frame)
    for _, _, message in lines:
        found = _SHOWN.search(message)
        if found:
            place = _PLACES.get(found["place"], ChromaLocation.UNSPECIFIED)
            return Details(place, _FIELDS[found["field"]])
    return Details(ChromaLocation.UNSPECIFIED, "top-first" if frame.interlaced_frame else "progressive")


def color_of(frame: av.VideoFrame, chroma_location: ChromaLocation) -> ColorSpec:
    """Return the colour tags of a frame. Numbers that H.273 reserves count as unspecified."""
    tags = ColorSpec.from_numbers(
        matrix=frame.colorspace,
        transfer=frame.color_trc,
        primaries=frame.color_primaries,
        range=frame.color_range,
        chroma_location=chroma_location,
    )
    if frame.format.name.startswith("yuvj"):  # FFmpeg's older notation for full range
        return tags.over(ColorSpec(range=Range.FULL))
    return tags


def display_matrix_of(frame: av.VideoFrame) -> tuple[int, ...] | None:
    """Return the matrix that rotates and mirrors the frame for display; None if it is shown as stored."""
    data = side_data(frame, "DISPLAYMATRIX")
    return None if data is None or len(data) < _MATRIX.size else _MATRIX.unpack_from(data)


def stereo_of(frame: av.VideoFrame) -> Stereo | None:
    """Return the arrangement of both eyes' views in the frame, from the container or stream; None for one
    view.
    """
    data = side_data(frame, "STEREO3D")
    if data is None or len(data) < _STEREO.size:
        return None
    kind, flags = _STEREO.unpack_from(data)
    return Stereo(kind=kind, inverted=bool(flags & _STEREO_INVERTED)) if kind in _STEREO_KINDS else None


def spherical_of(frame: av.VideoFrame) -> Spherical | None:
    """Return the frame's projection on a sphere; None for a flat frame."""
    data = side_data(frame, "SPHERICAL")
    if data is None or len(data) < _SPHERICAL.size:
        return None
    projection, *angles, left, top, right, bottom, padding = _SPHERICAL.unpack_from(data)
    yaw, pitch, roll = (Fraction(angle, 65536) for angle in angles)
    bounds = (left, top, right, bottom)
    return Spherical(projection=projection, yaw=yaw, pitch=pitch, roll=roll, bounds=bounds, padding=padding)


def dolby_vision_of(frame: av.VideoFrame, codec: str) -> DolbyVision | None:
    """Return the Dolby Vision profile of the frame's metadata; None if there is no such metadata.

    The metadata does not name a profile. It is derived from the header, in which profiles differ (ETSI GS CCM
    001, 5.3).
    """
    data = side_data(frame, "DOVI_METADATA")
    if data is None or len(data) < _OFFSET.size:
        return None
    (start,) = _OFFSET.unpack_from(data)
    header = data[start : start + _DOLBY_HEADER]
    if len(header) < _DOLBY_HEADER:
        return None
    layout, full_range, signal_bits, el_half, no_residual = (header[n] for n in (4, 10, 13, 15, 16))
    ipt = layout == 0 and bool(full_range)
    if codec == "av1":
        profile = 10
    elif layout == 0:
        profile = 5 if full_range else 0
    elif el_half and not no_residual:
        profile = 7 if signal_bits == _TWELVE_BITS else 4
    else:
        profile = 9 if codec == "h264" else 8
    return DolbyVision(profile=profile, viewable=not ipt)


def mastering_display_of(frame: av.VideoFrame) -> MasteringDisplay | None:
    """Return SMPTE ST 2086 metadata, if the frame has it completely."""
    data = side_data(frame, "MASTERING_DISPLAY_METADATA")
    if data is None or len(data) < _MASTERING.size:
        return None
    *numbers, has_primaries, has_luminance = _MASTERING.unpack_from(data)
    if not (has_primaries and has_luminance) or 0 in numbers[1::2]:
        return None
    values = [Fraction(n, d) for n, d in zip(numbers[::2], numbers[1::2], strict=True)]
    red, green, blue, white = ((values[i], values[i + 1]) for i in range(0, 8, 2))
    return MasteringDisplay(
        red=red, green=green, blue=blue, white=white, min_luminance=values[8], max_luminance=values[9]
    )


def content_light_of(frame: av.VideoFrame) -> ContentLight | None:
    """Return CTA-861.3 metadata, if the frame has it."""
    data = side_data(frame, "CONTENT_LIGHT_LEVEL")
    if data is None or len(data) < _LIGHT.size:
        return None
    max_cll, max_fall = _LIGHT.unpack_from(data)
    return ContentLight(max_cll=max_cll, max_fall=max_fall)


def buffer_arguments(frame: av.VideoFrame) -> str:
    """Return the arguments of a filter graph's source for frames like this one.

    Numbers of colour that H.273 reserves, as damage may leave them, become unspecified in the frame, because
    the filter refuses them.
    """
    known = ColorSpec.from_numbers(matrix=frame.colorspace, range=frame.color_range)
    frame.colorspace, frame.color_range = int(known.matrix), int(known.range)
    return (
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1000"
        f":colorspace={int(known.matrix)}:range={int(known.range)}"
    )


def _show(frame: av.VideoFrame) -> None:
    graph = av.filter.Graph()
    source = graph.add("buffer", buffer_arguments(frame))
    sink = graph.add("buffersink")
    graph.link_nodes(source, graph.add("showinfo", "checksum=0"), sink).configure()
    source.push(frame)
    sink.pull()
