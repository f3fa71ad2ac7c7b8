"""Reads and writes elements of a Matroska track that PyAV does not support.

PyAV cannot give the muxer the pixel aspect ratio, cropping, 360 degree projections or HDR metadata. Therefore
the title of the video track ends in `PLACEHOLDER` while the file is written. In the finished file the title
is cut, and the missing elements are written into the space that becomes free. Element IDs are those of RFC
9559, 5.1.4.1.28.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from vsr.frame import ContentLight, Crop, MasteringDisplay, Spherical, Stereo, VideoInfo
from vsr.media.formats.matroska import (
    TRACK_ENTRY,
    TRACKS,
    Element,
    children,
    segment_of,
    span,
    text_of,
    uint_of,
    walk,
)
from vsr.media.remote.reader import open_bytes

PLACEHOLDER = "-" * 600
"""Appended to the title of the video track while the file is written: space for `finish_track`, which needs
330 bytes."""

NAME = 0x536E
TRACK_TYPE = 0x83
VIDEO_TRACK = 1
VIDEO = 0xE0
STEREO_MODE = 0x53B8
CROPS = {"left": 0x54CC, "top": 0x54BB, "right": 0x54DD, "bottom": 0x54AA}
PIXEL_SIZE = (0xB0, 0xBA)
DISPLAY_WIDTH = 0x54B0
DISPLAY_HEIGHT = 0x54BA
DISPLAY_UNIT = 0x54B2
_DISPLAY = frozenset({DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT})
ASPECT_RATIO = 3
"""A value of DisplayUnit: the other two values are a ratio, not pixels."""
COLOUR = 0x55B0
MAX_CLL = 0x55BC
MAX_FALL = 0x55BD
MASTERING = 0x55D0
MASTERING_VALUES = (0x55D1, 0x55D2, 0x55D3, 0x55D4, 0x55D5, 0x55D6, 0x55D7, 0x55D8, 0x55D9, 0x55DA)
"""x and y of red, green, blue and white, then maximum and minimum luminance."""
PROJECTION = 0x7670
PROJECTION_TYPE = 0x7671
PROJECTION_PRIVATE = 0x7672
POSE = (0x7673, 0x7674, 0x7675)
"""Yaw, pitch and roll in degrees."""
ADDITION_MAPPING = 0x41E4
ADDITION_TYPE = 0x41E7
ADDITION_DATA = 0x41ED
VOID = 0xEC
_MOST_OF_AN_ENTRY = 1 << 22
"""The largest number of bytes in a track entry that is read. Real ones have a few hundred, or a few thousand
with the codec's own data."""
_SEARCHED = 10_000
"""The number of elements in a file among which its tracks are searched; they are among the first."""

_PROJECTION_TYPES = {0: 1, 1: 2, 2: 1}
"""Maps FFmpeg's AVSphericalProjection to ProjectionType: a part of an equirectangular frame is one with
bounds."""
_EYES = dict.fromkeys((1, 8, 9, 11), (2, 1)) | dict.fromkeys((2, 3, 6, 7), (1, 2))
"""Maps StereoMode to the number of views beside and above each other; DisplayWidth and DisplayHeight are for
one view."""
_STEREO_MODES = {
    (1, False): "left_right",
    (1, True): "right_left",
    (2, False): "top_bottom",
    (2, True): "bottom_top",
    (3, False): "block_lr",
    (3, True): "block_rl",
    (4, False): "checkerboard_lr",
    (4, True): "checkerboard_rl",
    (6, False): "row_interleaved_lr",
    (6, True): "row_interleaved_rl",
    (7, False): "col_interleaved_lr",
    (7, True): "col_interleaved_rl",
}
"""Maps FFmpeg's AVStereo3DType and whether it is inverted to the tag from which FFmpeg's muxer makes
StereoMode."""


def finish_track(path: Path, info: VideoInfo, *, width: int, height: int, whole_pixels: bool) -> None:
    """Write the properties of the video that the muxer did not get into a finished file.

    Args:
        path: Path of a file with a video track whose title ends in `PLACEHOLDER`.
        info: The properties to write; its crop is in pixels of the output.
        width: Stored width of the frames.
        height: Stored height of the frames.
        whole_pixels: Whether display sizes must be pixels, as in WebM; otherwise proportions that are not
            whole pixels are written as a ratio.

    Raises:
        ValueError: there is no such title.
    """
    with path.open("r+b") as file:
        for part in children(file, *span(segment_of(file))):
            for entry in walk(file, part, TRACK_ENTRY) if part.id == TRACKS else ():
                if any(text_of(file, name).endswith(PLACEHOLDER) for name in walk(file, entry, NAME)):
                    content = _content(file, entry)
                    file.seek(entry.start)
                    file.write(_finished(content, info, width, height, whole_pixels))
                    return
    raise ValueError("no title with a placeholder")


def stereo_mode(stereo: Stereo | None) -> str | None:
    """Return the value of the tag "stereo_mode" for FFmpeg's muxer; None where Matroska has no value for
    it.
    """
    return None if stereo is None else _STEREO_MODES.get((stereo.kind, stereo.inverted))


NOT_IN_WEBM = frozenset({"block_lr", "block_rl", "anaglyph_green_magenta"})
"""Values of that tag that the WebM muxer refuses."""


def can_project(sphere: Spherical) -> bool:
    """Return whether containers have a value for the projection."""
    return sphere.projection in _PROJECTION_TYPES


def track_entry(path: str, number: int) -> bytes:
    """Return the entry of a Matroska file's video track `number`, counted from 0; empty if there is none."""
    with open_bytes(path) as file:
        entry = _video_entry(file, number)
        return b"" if entry is None or entry.size > _MOST_OF_AN_ENTRY else _content(file, entry)


def dolby_config_of(entry: bytes) -> bytes | None:
    """Return the Dolby Vision configuration in a track entry (RFC 9559, 5.1.4.1.17), or None."""
    for id_, mapping, _ in elements_of(entry):
        if id_ == ADDITION_MAPPING:
            fields = {inner: content for inner, content, _ in elements_of(mapping)}
            if fields.get(ADDITION_TYPE) in (b"dvcC", b"dvvC", b"dvwC"):
                return fields.get(ADDITION_DATA)
    return None


def crop_of(entry: bytes) -> Crop | None:
    """Return the cropping in a track entry, or None."""
    video = next((content for id_, content, _ in elements_of(entry) if id_ == VIDEO), b"")
    values = {id_: Fraction(int.from_bytes(content, "big")) for id_, content, _ in elements_of(video)}
    crop = Crop(**{side: values[id_] for side, id_ in CROPS.items() if id_ in values})
    return None if crop == Crop() else crop


def stated_size(path: str, number: int) -> tuple[int, int] | None:
    """Return the width and height that a Matroska file states for its video track `number`, counted from
    0.
    """
    with open_bytes(path) as file:
        entry = _video_entry(file, number)
        if entry is None:
            return None
        sides = [[uint_of(file, e) for e in walk(file, entry, VIDEO, side)] for side in PIXEL_SIZE]
    return (sides[0][0], sides[1][0]) if all(sides) else None


def _video_entry(file: BinaryIO, number: int) -> Element | None:
    parts = islice(children(file, *span(segment_of(file))), _SEARCHED)
    tracks = next((part for part in parts if part.id == TRACKS), None)
    entries = [] if tracks is None else list(walk(file, tracks, TRACK_ENTRY))
    videos = (e for e in entries if [uint_of(file, t) for t in walk(file, e, TRACK_TYPE)] == [VIDEO_TRACK])
    return next(islice(videos, number, None), None)


def _content(file: BinaryIO, element: Element) -> bytes:
    file.seek(element.start)
    return file.read(element.size)


def _finished(entry: bytes, info: VideoInfo, width: int, height: int, whole_pixels: bool) -> bytes:
    """Return the content of a track entry with the same length: title cut, video described, the rest void."""
    parts = []
    for id_, content, raw in elements_of(entry):
        if id_ == NAME:
            title = content.rstrip(b"\0").removesuffix(PLACEHOLDER.encode())
            parts.append(element_of(NAME, title) if title else b"")
        elif id_ == VIDEO:
            parts.append(element_of(VIDEO, _video(content, info, width, height, whole_pixels)))
        else:
            parts.append(raw)
    made = b"".join(parts)
    return made + void_of(len(entry) - len(made))


def elements_of(content: bytes) -> list[tuple[int, bytes, bytes]]:
    """Return the ID, the content and all bytes of each element."""
    found, begin = [], 0
    for element in children(io.BytesIO(content), 0, len(content)):
        end = element.start + element.size
        found.append((element.id, content[element.start : end], content[begin:end]))
        begin = end
    return found


def _video(content: bytes, info: VideoInfo, width: int, height: int, whole_pixels: bool) -> bytes:
    """Return the content of the element Video with the added elements, each once."""
    old = elements_of(content)
    added = _crop(info.crop) | _hdr(old, info.mastering_display, info.content_light)
    added |= _projection(info.spherical)
    mode = next((int.from_bytes(inside, "big") for id_, inside, _ in old if id_ == STEREO_MODE), 0)
    if info.crop or mode or info.sample_aspect_ratio not in (None, 0, 1):
        added |= _display(info, width, height, _EYES.get(mode, (1, 1)), whole_pixels)
    gone = set(added) | (_DISPLAY if _DISPLAY & set(added) else set())
    kept = [raw for id_, _, raw in old if id_ not in gone]
    return b"".join(kept) + b"".join(element_of(id_, inside) for id_, inside in added.items())


def _display(
    info: VideoInfo, width: int, height: int, eyes: tuple[int, int], whole_pixels: bool
) -> dict[int, bytes]:
    """Return the display size, or proportions, of the uncropped part of one eye's view."""
    crop = info.crop or Crop()
    across = Fraction(width - crop.left - crop.right) * (info.sample_aspect_ratio or 1) / eyes[0]
    down = Fraction(height - crop.top - crop.bottom) / eyes[1]
    if whole_pixels or across.denominator == down.denominator == 1:
        return {DISPLAY_WIDTH: _whole(round(across)), DISPLAY_HEIGHT: _whole(round(down))}
    ratio = across / down
    return {
        DISPLAY_WIDTH: _whole(ratio.numerator),
        DISPLAY_HEIGHT: _whole(ratio.denominator),
        DISPLAY_UNIT: _whole(ASPECT_RATIO),
    }


def _crop(crop: Crop | None) -> dict[int, bytes]:
    sides = {} if crop is None else {id_: getattr(crop, side) for side, id_ in CROPS.items()}
    return {id_: _whole(int(pixels)) for id_, pixels in sides.items() if pixels}


def _hdr(
    old: list[tuple[int, bytes, bytes]], display: MasteringDisplay | None, light: ContentLight | None
) -> dict[int, bytes]:
    """Return the element Colour with mastering metadata and light level added; empty if there is neither."""
    added: dict[int, bytes] = {}
    if light is not None:
        added |= {MAX_CLL: _whole(light.max_cll), MAX_FALL: _whole(light.max_fall)}
    if display is not None:
        points = [*display.red, *display.green, *display.blue, *display.white]
        values = [*points, display.max_luminance, display.min_luminance]
        pairs = zip(MASTERING_VALUES, values, strict=True)
        added[MASTERING] = b"".join(element_of(id_, struct.pack(">d", value)) for id_, value in pairs)
    if not added:
        return {}
    before = next((inside for id_, inside, _ in old if id_ == COLOUR), b"")
    kept = [raw for id_, _, raw in elements_of(before) if id_ not in added]
    return {COLOUR: b"".join([*kept, *(element_of(id_, inside) for id_, inside in added.items())])}


def _projection(sphere: Spherical | None) -> dict[int, bytes]:
    if sphere is None or sphere.projection not in _PROJECTION_TYPES:
        return {}
    parts = [element_of(PROJECTION_TYPE, _whole(_PROJECTION_TYPES[sphere.projection]))]
    private = projection_bounds(sphere)
    if private is not None:
        parts.append(element_of(PROJECTION_PRIVATE, bytes(4) + private))
    angles = zip(POSE, (sphere.yaw, sphere.pitch, sphere.roll), strict=True)
    parts += [element_of(id_, struct.pack(">d", angle)) for id_, angle in angles if angle]
    return {PROJECTION: b"".join(parts)}


def projection_bounds(sphere: Spherical) -> bytes | None:
    """Return the content of the box "equi" or "cbmp" after its version (Spherical Video V2); None for a full
    projection.
    """
    if sphere.projection == 1:
        return struct.pack(">2I", 0, sphere.padding)
    left, top, right, bottom = sphere.bounds
    return struct.pack(">4I", top, bottom, left, right) if any(sphere.bounds) else None


def needs_finishing(info: VideoInfo) -> bool:
    """Return whether a video has properties that the muxers do not get."""
    marks: Iterable[object] = (
        info.crop,
        info.stereo,
        info.spherical,
        info.mastering_display,
        info.content_light,
    )
    return any(marks) or info.sample_aspect_ratio not in (None, 0, 1)


def element_of(id_: int, content: bytes) -> bytes:
    """Return an element with its length in two bytes, or in eight where two are not enough."""
    width = 2 if len(content) < (1 << 14) - 1 else 8
    length = (len(content) | 1 << 7 * width).to_bytes(width, "big")
    return _whole(id_) + length + content


def void_of(length: int) -> bytes:
    """Return a Void element of exactly `length` bytes, or of none if `length` is 0."""
    if length < 2:
        raise ValueError("no room for the properties of the video")
    if length < 10:
        return _whole(VOID) + bytes([0x80 | length - 2]) + bytes(length - 2)
    return _whole(VOID) + (length - 9 | 1 << 56).to_bytes(8, "big") + bytes(length - 9)


def _whole(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8 or 1, "big")
