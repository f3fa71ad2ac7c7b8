"""Reads the metadata of TIFF files, and writes TIFF files (TIFF 6.0, Adobe, 1992).

EXIF data is a TIFF structure. A file is therefore written as that structure, to which the image and a new
first directory are appended: everything stays where it was, so maker notes keep their meaning.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vsr.media.pictures.exif import Entry, directory, number_of, order_of
from vsr.media.pictures.metadata import Density, Metadata, Text

if TYPE_CHECKING:  # the command does not import numpy at its start
    import numpy as np
    from numpy.typing import NDArray

_SHORT, _LONG, _RATIONAL, _ASCII, _BYTE, _UNDEFINED = 3, 4, 5, 2, 1, 7
_DESCRIPTION, _X_DENSITY, _Y_DENSITY, _UNIT = 270, 282, 283, 296
_XMP, _IPTC, _PHOTOSHOP, _ICC = 700, 33723, 34377, 34675
_EXIF_IFD, _GPS_IFD, _INTEROP_IFD = 0x8769, 0x8825, 0xA005
_SUB_PICTURES, _LAYERS, _CREDENTIALS = 330, 37724, 52545
_STORAGE = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289, 290}
    | {
        291,
        292,
        293,
        301,
        317,
        320,
        321,
        322,
        323,
        324,
        325,
        326,
        327,
        328,
        330,
        332,
        333,
        334,
        336,
        338,
        339,
    }
    | {340, 341, 342, 347, *range(512, 533), 559}
)
"""Tags that describe how the samples are stored, which the result stores otherwise."""
_MAP = frozenset({33550, 33922, 34264, 34735, 34736, 34737, 33920})
"""Tags of GeoTIFF. They are true for the pixels of the source only."""
_UNITS = {1: "none", 2: "inch", 3: "centimetre"}
_IPTC_RESOURCE = b"8BIM\x04\x04\0\0"
_STRIP_BYTES = 1 << 20
MOST_BYTES = 2**32 - 2**24
"""The largest image, uncompressed, for which all positions in the file fit into 32 bits."""


@dataclass(frozen=True, slots=True)
class _Field:
    tag: int
    type: int
    count: int
    value: bytes


def read(data: bytes) -> Metadata:
    """Return the metadata of a TIFF file. Tags other than those of storage become EXIF data.

    Raises:
        ValueError: the file is damaged.
    """
    order = order_of(data)
    (start,) = struct.unpack_from(order + "L", data, 4)
    entries, link = directory(data, order, start)
    raw = {entry.tag: data[entry.value : entry.value + entry.length] for entry in entries}
    own = [_field(data, entry) for entry in entries if _is_metadata(entry.tag)]
    photoshop = raw.get(_PHOTOSHOP, b"")
    if _IPTC in raw and _IPTC_RESOURCE not in photoshop:
        iptc = raw[_IPTC]
        photoshop += _IPTC_RESOURCE + struct.pack(">L", len(iptc)) + iptc + bytes(len(iptc) % 2)
    return Metadata(
        exif=_structure(data, order, own, entries),
        icc=raw.get(_ICC, b""),
        xmp=raw.get(_XMP, b""),
        photoshop=photoshop,
        density=_density(data, order, entries),
        left_out=tuple(_left_out(data, order, raw, link)),
    )


def _is_metadata(tag: int) -> bool:
    others = (_XMP, _IPTC, _PHOTOSHOP, _ICC, _LAYERS, _CREDENTIALS, _EXIF_IFD, _GPS_IFD)
    return tag not in _STORAGE and tag not in _MAP and tag not in others


def _left_out(data: bytes, order: str, raw: dict[int, bytes], link: int) -> Iterator[str]:
    pages = _pages_after(data, order, link)
    if pages:
        yield f"{pages} further page{'s' if pages > 1 else ''}"
    if _SUB_PICTURES in raw:
        yield "reduced pictures"
    if _LAYERS in raw:
        yield "the layers of Photoshop"
    if _CREDENTIALS in raw:
        yield "content credentials (C2PA), which are signed for the source"
    if _MAP & raw.keys():
        yield "the place on the map (GeoTIFF), which is true for the source's pixels"


def _pages_after(data: bytes, order: str, link: int) -> int:
    seen: set[int] = set()
    while link + 4 <= len(data):
        (place,) = struct.unpack_from(order + "L", data, link)
        if not place or place in seen:
            break
        seen.add(place)
        try:
            _, link = directory(data, order, place)
        except ValueError:
            break
    return len(seen)


def _field(data: bytes, entry: Entry) -> _Field:
    return _Field(entry.tag, entry.type, entry.count, data[entry.value : entry.value + entry.length])


def _structure(data: bytes, order: str, own: list[_Field], entries: list[Entry]) -> bytes:
    """Return a TIFF structure with fields and EXIF's directories; empty if there are none."""
    inner = {tag: _inner(data, order, entries, tag) for tag in (_EXIF_IFD, _GPS_IFD)}
    if not own and not any(inner.values()):
        return b""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "L", 8)
    links = [tag for tag, fields in inner.items() if fields]
    at = 8 + _directory_bytes([*own, *(_Field(tag, _LONG, 1, bytes(4)) for tag in links)])
    places: list[_Field] = []
    tail = b""
    for tag in links:
        places.append(_Field(tag, _LONG, 1, struct.pack(order + "L", at + len(tail))))
        tail += _written(order, inner[tag], at + len(tail))
    return head + _written(order, [*own, *places], 8) + tail


def _inner(data: bytes, order: str, entries: list[Entry], tag: int) -> list[_Field]:
    for entry in entries:
        place = number_of(data, order, entry) if entry.tag == tag else None
        if place is not None:
            found, _ = directory(data, order, place)
            return [_field(data, one) for one in found if one.tag != _INTEROP_IFD]
    return []


def _directory_bytes(fields: Iterable[_Field]) -> int:
    sizes = [
        12 + (len(field.value) + len(field.value) % 2 if len(field.value) > 4 else 0) for field in fields
    ]
    return 6 + sum(sizes)


def _written(order: str, fields: Iterable[_Field], at: int) -> bytes:
    """Return a directory that begins at `at`, with its values behind it."""
    ordered = sorted(fields, key=lambda field: field.tag)
    place = at + 6 + 12 * len(ordered)
    entries, values = b"", b""
    for field in ordered:
        inline = field.value.ljust(4, b"\0")
        if len(field.value) > 4:
            inline = struct.pack(order + "L", place + len(values))
            values += field.value + bytes(len(field.value) % 2)
        entries += struct.pack(order + "HHL", field.tag, field.type, field.count) + inline
    return struct.pack(order + "H", len(ordered)) + entries + bytes(4) + values


def _density(data: bytes, order: str, entries: list[Entry]) -> Density | None:
    found = {entry.tag: entry for entry in entries}
    values = []
    for tag in (_X_DENSITY, _Y_DENSITY):
        entry = found.get(tag)
        if entry is None or entry.type != _RATIONAL or entry.value + 8 > len(data):
            return None
        above, below = struct.unpack_from(order + "LL", data, entry.value)
        values.append(above / below if below else 0.0)
    unit = number_of(data, order, found[_UNIT]) if _UNIT in found else 2
    return Density(x=values[0], y=values[1], unit=_UNITS.get(unit or 2, "none")) if all(values) else None


def written(image: NDArray[np.uint8] | NDArray[np.uint16], metadata: Metadata) -> bytes:
    """Return a TIFF file, compressed without loss (Deflate with horizontal differences).

    Args:
        image: `(H, W, C)` of 8 or 16 bits; C is 1 for grey and 3 for R'G'B', and one more with alpha.
        metadata: What the file contains besides.
    """
    base = metadata.exif or b"II*\0\x08\0\0\0"
    order = order_of(base)
    parts = [base + bytes(len(base) % 2)]
    at = len(parts[0])
    rows = max(1, _STRIP_BYTES // (image.shape[1] * image.shape[2] * image.itemsize))
    places, lengths = [], []
    for top in range(0, len(image), rows):
        strip = zlib.compress(_differences(image[top : top + rows], order))
        places.append(at)
        lengths.append(len(strip))
        parts.append(strip + bytes(len(strip) % 2))
        at += len(parts[-1])
    fields = _image_fields(image, order, rows, places, lengths)
    parts.append(_first_directory(base, order, fields, _other_fields(metadata, order), at))
    parts[0] = parts[0][:4] + struct.pack(order + "L", at) + parts[0][8:]
    return b"".join(parts)


def texts_fit(metadata: Metadata) -> bool:
    """Return whether texts can be kept: their only place is the description, which EXIF data may have."""
    return not metadata.texts or _DESCRIPTION not in _tags(metadata.exif)


def _first_directory(base: bytes, order: str, fields: list[_Field], others: list[_Field], at: int) -> bytes:
    """Return the new first directory: the entries of EXIF data, which keep their values, and those of the
    image.
    """
    known = _entries(base, order)
    new = {field.tag: field for field in others if field.tag not in known or field.tag in (_XMP, _ICC)}
    new |= {field.tag: field for field in fields}
    kept = {tag: entry for tag, entry in known.items() if tag not in new and tag not in _STORAGE}
    place = at + 6 + 12 * (len(new) + len(kept))
    entries, values = b"", b""
    for tag in sorted({*new, *kept}):
        if tag in kept:
            entries += base[kept[tag].at : kept[tag].at + 12]
            continue
        field = new[tag]
        inline = field.value.ljust(4, b"\0")
        if len(field.value) > 4:
            inline = struct.pack(order + "L", place + len(values))
            values += field.value + bytes(len(field.value) % 2)
        entries += struct.pack(order + "HHL", field.tag, field.type, field.count) + inline
    return struct.pack(order + "H", len(new) + len(kept)) + entries + bytes(4) + values


def _entries(base: bytes, order: str) -> dict[int, Entry]:
    (start,) = struct.unpack_from(order + "L", base, 4)
    if start >= len(base):
        return {}
    return {entry.tag: entry for entry in directory(base, order, start)[0]}


def _tags(exif: bytes) -> set[int]:
    return set(_entries(exif, order_of(exif))) if exif else set()


def _differences(rows: NDArray[np.uint8] | NDArray[np.uint16], order: str) -> bytes:
    """Return each sample minus the one of the pixel before (predictor 2), in the file's byte order."""
    out = rows.copy()
    out[:, 1:] -= rows[:, :-1]
    return out.astype(out.dtype.newbyteorder("<" if order == "<" else ">"), copy=False).tobytes()


def _image_fields(
    image: NDArray[np.uint8] | NDArray[np.uint16],
    order: str,
    rows: int,
    places: list[int],
    lengths: list[int],
) -> list[_Field]:
    height, width, samples = image.shape
    alpha = samples in (2, 4)
    fields = [
        _longs(order, 256, width),
        _longs(order, 257, height),
        _shorts(order, 258, *[8 * image.itemsize] * samples),
        _shorts(order, 259, 8),  # Deflate
        _shorts(order, 262, 2 if samples > 2 else 1),  # R'G'B', or grey where 0 is black
        _longs(order, 273, *places),
        _shorts(order, 277, samples),
        _longs(order, 278, rows),
        _longs(order, 279, *lengths),
        _shorts(order, 284, 1),  # samples of a pixel are neighbours
        _shorts(order, 317, 2),
    ]
    return fields + ([_shorts(order, 338, 2)] if alpha else [])  # alpha that colours are not multiplied by


def _other_fields(metadata: Metadata, order: str) -> list[_Field]:
    fields = []
    if metadata.density is not None:
        x, y, unit = metadata.density.x, metadata.density.y, metadata.density.unit
        if unit == "metre":
            (x, y), unit = metadata.density.per_inch(), "inch"
        number = {name: number for number, name in _UNITS.items()}[unit]
        fields += [_rational(order, _X_DENSITY, x), _rational(order, _Y_DENSITY, y)]
        fields.append(_shorts(order, _UNIT, number))
    if metadata.texts:
        fields.append(_Field(_DESCRIPTION, _ASCII, 0, _description(metadata.texts)))
    for tag, kind, value in (
        (_XMP, _BYTE, metadata.xmp),
        (_PHOTOSHOP, _BYTE, metadata.photoshop),
        (_IPTC, _UNDEFINED, _iptc_in(metadata.photoshop)),
        (_ICC, _UNDEFINED, metadata.icc),
    ):
        fields += [_Field(tag, kind, 0, value)] if value else []
    return [_Field(one.tag, one.type, one.count or len(one.value), one.value) for one in fields]


def _description(texts: Iterable[Text]) -> bytes:
    lines = (f"{text.keyword}: {text.text}" if text.keyword else text.text for text in texts)
    return "\n".join(lines).encode() + b"\0"


def _iptc_in(resources: bytes) -> bytes:
    """Return the IPTC data among image resources of Photoshop; empty if there is none."""
    at = resources.find(_IPTC_RESOURCE)
    if at < 0 or at + 12 > len(resources):
        return b""
    (length,) = struct.unpack_from(">L", resources, at + 8)
    return resources[at + 12 : at + 12 + length]


def _shorts(order: str, tag: int, *values: int) -> _Field:
    return _Field(tag, _SHORT, len(values), struct.pack(f"{order}{len(values)}H", *values))


def _longs(order: str, tag: int, *values: int) -> _Field:
    return _Field(tag, _LONG, len(values), struct.pack(f"{order}{len(values)}L", *values))


def _rational(order: str, tag: int, value: float) -> _Field:
    return _Field(tag, _RATIONAL, 1, struct.pack(order + "LL", round(value * 10000), 10000))
