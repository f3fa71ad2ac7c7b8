"""Reads and writes boxes of an MP4 or MOV track that PyAV does not support.

As in `matroska_track`, the title of the video track ends in a placeholder while the file is written. In the
finished file the title is cut, the missing boxes are inserted, and the rest becomes a box `free`. The index
keeps its length, so every offset into the file stays valid.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from functools import partial
from pathlib import Path

from vsr.frame import ContentLight, Crop, MasteringDisplay, Spherical, Stereo, VideoInfo
from vsr.media.formats.atoms import top_level_atoms
from vsr.media.formats.boxes import (
    MAX_BOX,
    box,
    edited,
    find_boxes,
    find_track,
    first_box,
    full_box,
    split_boxes,
)
from vsr.media.formats.matroska_track import PLACEHOLDER, projection_bounds
from vsr.media.metadata.hdr import CHROMATICITY_STEP, LUMINANCE_STEP
from vsr.media.remote.reader import open_bytes

_STSD = (b"mdia", b"minf", b"stbl", b"stsd")
_ENTRY_HEAD = 8 + 78
"""Bytes of a VisualSampleEntry before its boxes (ISO/IEC 14496-12, 12.1.3)."""
_TKHD_SIZES = 8
"""Bytes at the end of a tkhd: width and height, as 16.16 fixed point."""
_ST3D = {(0, False): 0, (2, False): 1, (1, False): 2}
"""Maps FFmpeg's AVStereo3DType and whether it is inverted to st3d's stereo_mode (Spherical Video V2), for the
values that FFmpeg reads."""


def finish_track(path: Path, info: VideoInfo, *, width: int, height: int) -> None:
    """Write the properties of the video that the muxer did not get into a finished file.

    Args:
        path: Path of a file with a video track whose title ends in `PLACEHOLDER`.
        info: The properties to write; its crop is in pixels of the output.
        width: Stored width of the frames.
        height: Stored height of the frames.

    Raises:
        ValueError: there is no such title, or not enough space.
    """
    with path.open("r+b") as file:
        size = path.stat().st_size
        for atom in top_level_atoms(file, size):
            if atom.kind == b"moov":
                file.seek(atom.start + 8)
                old = file.read(atom.length - 8)
                new = padded_to(_finished(old, info, width, height), len(old))
                file.seek(atom.start + 8)
                file.write(new)
                return
    raise ValueError("no index")


def stated_size(path: str, track: int) -> tuple[int, int] | None:
    """Return the width and height in the first sample entry of an MP4 or MOV file's track, or None.

    Args:
        path: Path of the file.
        track: Number of the track (track_ID).
    """
    entry = sample_entry(path, track)
    if len(entry) < _ENTRY_HEAD:
        return None
    width, height = struct.unpack_from(">HH", entry, 8 + 24)
    return width, height


def sample_entry(path: str, track: int) -> bytes:
    """Return the first sample entry of an MP4 or MOV file's track, from its size on; empty if there is none.

    Args:
        path: Path of the file.
        track: Number of the track (track_ID).
    """
    with open_bytes(path) as file:
        found = find_track(file, track)
        places = [] if found is None else list(find_boxes(file, *found, *_STSD))
        if not places:
            return b""
        start, end = places[0]
        file.seek(start)
        return file.read(min(end - start, MAX_BOX))[8:]


def dolby_config_of(entry: bytes) -> bytes | None:
    """Return the Dolby Vision configuration in a sample entry (Dolby Vision Streams within ISO BMFF, 3.2), or
    None.
    """
    boxes = (first_box(entry[_ENTRY_HEAD:], kind) for kind in (b"dvcC", b"dvvC", b"dvwC"))
    return next((found for found in boxes if found is not None), None)


def crop_of(entry: bytes) -> Crop | None:
    """Return the cropping by the clean aperture in a sample entry, or None."""
    clap = first_box(entry[_ENTRY_HEAD:], b"clap") if len(entry) > _ENTRY_HEAD else None
    if clap is None or len(clap) < 32:
        return None
    stored_width, stored_height = struct.unpack_from(">HH", entry, 8 + 24)
    numbers = struct.unpack(">IIIIiIiI", clap[:32])
    if 0 in numbers[1::2]:
        return None
    width, height, x, y = (Fraction(n, d) for n, d in zip(numbers[::2], numbers[1::2], strict=True))
    across, down = (stored_width - width) / 2, (stored_height - height) / 2
    crop = Crop(left=across + x, right=across - x, top=down + y, bottom=down - y)
    sides = (crop.left, crop.right, crop.top, crop.bottom)
    if min(sides) < 0 or width < 1 or height < 1 or crop == Crop():
        return None
    return crop


def _finished(moov: bytes, info: VideoInfo, width: int, height: int) -> bytes:
    parts, found = [], False
    boxes, rest = split_boxes(moov)
    for kind, content in boxes:
        name = first_box(content, b"udta", b"name") if kind == b"trak" else None
        if name is not None and name.endswith(PLACEHOLDER.encode()):
            found = True
            content = edited(content, _without_placeholder, b"udta")
            content = edited(content, partial(_with_size, info=info, width=width, height=height), b"tkhd")
            content = edited(content, partial(_described, info=info, width=width, height=height), *_STSD)
        parts.append(box(kind, content))
    if not found:
        raise ValueError("no title with a placeholder")
    return b"".join(parts) + rest


def padded_to(content: bytes, length: int) -> bytes:
    """Return `content`, extended to `length` bytes by a box `free`.

    Raises:
        ValueError: it is longer, or the rest is too short for a box.
    """
    left = length - len(content)
    if left and left < 8:
        raise ValueError("no room for the properties of the video")
    return content + (box(b"free", bytes(left - 8)) if left else b"")


def _without_placeholder(udta: bytes) -> bytes | None:
    """Return the user data of the track with the title cut; None if nothing else is in it."""

    def cut(name: bytes) -> bytes | None:
        return name.removesuffix(PLACEHOLDER.encode()) or None

    return edited(udta, cut, b"name") or None


def _with_size(tkhd: bytes, *, info: VideoInfo, width: int, height: int) -> bytes:
    """Return the tkhd with the size at which the track is shown, before the matrix (ISO/IEC 14496-12,
    8.3.2).
    """
    crop = info.crop or Crop()
    across = (width - crop.left - crop.right) * (info.sample_aspect_ratio or 1)
    down = height - crop.top - crop.bottom
    sizes = [min(round(side * 65536), 2**32 - 1) for side in (across, down)]
    return tkhd[:-_TKHD_SIZES] + struct.pack(">II", *sizes)


def _described(stsd: bytes, *, info: VideoInfo, width: int, height: int) -> bytes:
    """Return the stsd with the boxes that describe the video in its only sample entry."""
    added = _description(info, width, height)
    entry_size = int.from_bytes(stsd[8:12], "big")
    entry, rest = stsd[8 : 8 + entry_size], stsd[8 + entry_size :]
    boxes, tail = split_boxes(entry[_ENTRY_HEAD:])
    parts = [box(kind, inside) for kind, inside in boxes if kind not in added]
    parts += added.values()
    content = entry[8:_ENTRY_HEAD] + b"".join(parts) + tail
    return stsd[:8] + box(entry[4:8], content) + rest


def _description(info: VideoInfo, width: int, height: int) -> dict[bytes, bytes]:
    """Return complete boxes by their kind."""
    found = {
        b"clap": _clap(info.crop, width, height) if info.crop else b"",
        b"st3d": _st3d(info.stereo) if info.stereo else b"",
        b"sv3d": _sv3d(info.spherical) if info.spherical else b"",
        b"mdcv": _mdcv(info.mastering_display) if info.mastering_display else b"",
        b"clli": _clli(info.content_light) if info.content_light else b"",
    }
    return {kind: made for kind, made in found.items() if made}


def _clap(crop: Crop, width: int, height: int) -> bytes:
    """Return the clean aperture (ISO/IEC 14496-12, 12.1.4): its size, and the offset of its centre from the
    frame's.
    """
    sizes = (width - crop.left - crop.right, height - crop.top - crop.bottom)
    offsets = ((crop.left - crop.right) / 2, (crop.top - crop.bottom) / 2)
    numbers = [(f.numerator, f.denominator) for f in map(Fraction, (*sizes, *offsets))]
    return box(b"clap", b"".join(struct.pack(">iI", *pair) for pair in numbers))


def _st3d(stereo: Stereo) -> bytes:
    mode = _ST3D.get((stereo.kind, stereo.inverted))
    return b"" if mode is None else full_box(b"st3d", bytes([mode]))


def _sv3d(sphere: Spherical) -> bytes:
    """Return the box of Spherical Video V2: the writing program, the pose, and the projection."""
    if sphere.projection not in (0, 1, 2):
        return b""
    angles = (round(angle * 65536) for angle in (sphere.yaw, sphere.pitch, sphere.roll))
    head = full_box(b"svhd", b"vsr\0")
    pose = full_box(b"prhd", struct.pack(">3i", *angles))
    bounds = projection_bounds(sphere) or bytes(16)
    kind = b"cbmp" if sphere.projection == 1 else b"equi"
    return box(b"sv3d", head + box(b"proj", pose + full_box(kind, bounds)))


def _mdcv(display: MasteringDisplay) -> bytes:
    """Return SMPTE ST 2086 metadata in the units and order of H.265's message: green, blue, red."""
    points = (*display.green, *display.blue, *display.red, *display.white)
    steps = [round(value / CHROMATICITY_STEP) for value in points]
    lights = [round(value / LUMINANCE_STEP) for value in (display.max_luminance, display.min_luminance)]
    return box(b"mdcv", struct.pack(">8H2I", *steps, *lights))


def _clli(light: ContentLight) -> bytes:
    return box(b"clli", struct.pack(">2H", light.max_cll, light.max_fall))


def can_mark(stereo: Stereo) -> bool:
    """Return whether MP4 has a value for this arrangement of views."""
    return (stereo.kind, stereo.inverted) in _ST3D
