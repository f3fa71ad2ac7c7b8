"""Reads the size of a picture, and what cannot be read of it, from its header, before anything is decoded."""

from __future__ import annotations

import struct

from vsr.media.files.tiff import READ_COMPRESSIONS
from vsr.media.pictures.exif import directory, order_of
from vsr.media.pictures.formats import jpeg, webp
from vsr.media.pictures.kinds import Kind

_PHOTOMETRIC = {0: "grey", 1: "grey", 2: "R'G'B'", 3: "palette"}
_OTHER_COLORS = {5: "CMYK", 6: "Y'CbCr", 8: "CIE L*a*b*", 9: "ICC L*a*b*", 32803: "raw sensor data"}
_UNSIGNED = 1
_MOST_SAMPLES = 4


def size_of(data: bytes, kind: Kind) -> tuple[int, int] | None:
    """Return width and height; None where only a decoder knows them."""
    try:
        return _SIZES[kind](data) if kind in _SIZES else None
    except (struct.error, ValueError, IndexError):
        return None


def fault_of(data: bytes, kind: Kind) -> str | None:
    """Return what an intact file is, if its colours or samples cannot be read; None if they can."""
    if kind == "jpeg" and jpeg.components_of(data) == 4:
        return "is a CMYK JPEG, whose colours depend on an ink profile. Save it as R'G'B' first"
    if kind == "tiff":
        try:
            return _tiff_fault(_tiff_numbers(data))
        except (struct.error, ValueError):
            return None
    return None


def has_associated_alpha(data: bytes, kind: Kind) -> bool:
    """Return whether the colours of a TIFF are multiplied by its alpha."""
    try:
        return kind == "tiff" and _tiff_numbers(data).get(338) == [1]
    except (struct.error, ValueError):
        return False


def is_palette(data: bytes) -> bool:
    """Return whether the samples of a TIFF are indices into a palette, whose colours are all opaque."""
    try:
        return _tiff_numbers(data).get(262) == [3]
    except (struct.error, ValueError):
        return False


def _tiff_fault(tags: dict[int, list[int]]) -> str | None:
    (color,) = tags.get(262, [1])[:1]
    if color not in _PHOTOMETRIC:
        return f"is TIFF in {_OTHER_COLORS.get(color, f'colour space {color}')}. Save it as R'G'B' first"
    (compression,) = tags.get(259, [1])[:1]
    if compression not in READ_COMPRESSIONS:
        return f"is TIFF with compression {compression}, which is not read (7 is JPEG). Save it as PNG"
    if any(value != _UNSIGNED for value in tags.get(339, [])):
        return "is TIFF with samples that are no whole numbers from 0 on. Save it with 16 bits"
    if any(bits > 16 for bits in tags.get(258, [])):
        return "is TIFF with more than 16 bits a sample. Save it with 16 bits"
    if tags.get(277, [1])[0] > _MOST_SAMPLES:
        return f"is TIFF with {tags[277][0]} samples a pixel. Save it with one alpha channel"
    return None


def _tiff_numbers(data: bytes) -> dict[int, list[int]]:
    """Return the tags of the first directory whose values are short or long whole numbers, up to 16 each."""
    order = order_of(data)
    entries, _ = directory(data, order, struct.unpack_from(order + "L", data, 4)[0])
    found = {}
    for entry in entries:
        letter = {3: "H", 4: "L"}.get(entry.type)
        if letter is not None and 0 < entry.count <= 16:
            found[entry.tag] = list(struct.unpack_from(f"{order}{entry.count}{letter}", data, entry.value))
    return found


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    for marker, content in jpeg.segments_of(data):
        if marker in jpeg.FRAMES:
            height, width = struct.unpack_from(">HH", content, 1)
            return width, height
    return None


def _png_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">LL", data, 16)
    return width, height


def _webp_size(data: bytes) -> tuple[int, int] | None:
    for name, content in webp.chunks_of(data):
        if name == b"VP8X":
            return 1 + int.from_bytes(content[4:7], "little"), 1 + int.from_bytes(content[7:10], "little")
        if name == b"VP8L":
            (bits,) = struct.unpack_from("<L", content, 1)
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        if name == b"VP8 ":
            width, height = struct.unpack_from("<HH", content, 6)
            return width & 0x3FFF, height & 0x3FFF
    return None


def _tiff_size(data: bytes) -> tuple[int, int]:
    tags = _tiff_numbers(data)
    return tags.get(256, [0])[0], tags.get(257, [0])[0]


_SIZES = {"jpeg": _jpeg_size, "png": _png_size, "webp": _webp_size, "tiff": _tiff_size}
