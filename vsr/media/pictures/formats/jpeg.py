"""Reads and writes the segments of JPEG files (ITU-T T.81, T.871)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from vsr.media.pictures import exif
from vsr.media.pictures.formats.behind import behind_jpeg
from vsr.media.pictures.metadata import Density, Metadata, Text

Segment = tuple[int, bytes]
"""Marker, and content without its length."""
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of frame headers."""
_APP0, _APP1, _APP2, _APP11, _APP13, _APP14, _COM = 0xE0, 0xE1, 0xE2, 0xEB, 0xED, 0xEE, 0xFE
_SCAN, _END = 0xDA, 0xD9
_XMP, _MORE_XMP = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
_ICC, _MPF, _PHOTOSHOP, _JFIF = b"ICC_PROFILE\0", b"MPF\0", b"Photoshop 3.0\0", b"JFIF\0"
_GAIN_MAP = b"urn:iso:std:iso:ts:21496:-1\0"
"""Says how the gain map of the file is applied (ISO 21496-1), or that there is one."""
_THUMBNAILS = (0x0409, 0x040C)
"""Photoshop's image resources that contain a thumbnail."""
_MOST = 65533
"""Bytes that a segment can contain."""
_UNITS = {1: "inch", 2: "centimetre"}


def segments_of(data: bytes) -> Iterator[Segment]:
    """Yield the segments before the first scan."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill bytes may precede a marker
            at += 1
            continue
        if marker in (_SCAN, _END):
            return
        (length,) = struct.unpack_from(">H", data, at + 2)
        yield marker, data[at + 4 : at + 2 + length]
        at += 2 + length


def components_of(data: bytes) -> int:
    """Return the number of colour components; 0 if there is no frame header."""
    for marker, content in segments_of(data):
        if marker in FRAMES and len(content) > 5:
            return content[5]
    return 0


def read(data: bytes) -> Metadata:
    """Return the metadata of a JPEG file."""
    parts = list(segments_of(data))
    gone = dict.fromkeys(_left_out(parts, data))
    photoshop = b"".join(
        content[len(_PHOTOSHOP) :]
        for marker, content in parts
        if marker == _APP13 and content.startswith(_PHOTOSHOP)
    )
    resources, had_thumbnail = without_thumbnails(photoshop)
    if had_thumbnail:
        gone["the thumbnail"] = None
    return Metadata(
        exif=_first(parts, _APP1, exif.MARK),
        icc=_profile(parts),
        xmp=_first(parts, _APP1, _XMP),
        photoshop=resources,
        texts=tuple(
            Text(keyword="", text=content.decode("utf-8", "replace").rstrip("\0"))
            for marker, content in parts
            if marker == _COM
        ),
        density=_density(_first(parts, _APP0, _JFIF)),
        segments=tuple((marker, content) for marker, content in parts if _is_kept(marker, content)),
        left_out=tuple(gone),
    )


def written(picture: bytes, metadata: Metadata) -> bytes:
    """Return a JPEG with metadata.

    Args:
        picture: A JPEG of whose segments only those of the image are used.
        metadata: What goes into the other segments; each part fits, see `too_long`.
    """
    parts = [(_APP0, _jfif(metadata.density))]
    if metadata.exif:
        parts.append((_APP1, exif.MARK + metadata.exif))
    if metadata.xmp:
        parts.append((_APP1, _XMP + metadata.xmp))
    room = _MOST - len(_PHOTOSHOP)
    parts += [(_APP13, _PHOTOSHOP + part) for part in _pieces(metadata.photoshop, room)]
    profile = _pieces(metadata.icc, _MOST - len(_ICC) - 2)
    parts += [(_APP2, _ICC + bytes([number, len(profile)]) + part) for number, part in enumerate(profile, 1)]
    parts += metadata.segments
    parts += [(_COM, _comment(text)) for text in metadata.texts]
    head = b"".join(_segment(marker, content) for marker, content in parts)
    return b"\xff\xd8" + head + picture[_image_at(picture) :]


def too_long(metadata: Metadata) -> list[str]:
    """Return the fields of metadata that segments of JPEG cannot hold."""
    lengths = {
        "exif": len(metadata.exif) + len(exif.MARK),
        "xmp": len(metadata.xmp) + len(_XMP),
        "texts": max((len(_comment(text)) for text in metadata.texts), default=0),
        "icc": len(metadata.icc) // 255 + len(_ICC) + 2,
    }
    return [name for name, length in lengths.items() if length > _MOST]


def without_thumbnails(resources: bytes) -> tuple[bytes, bool]:
    """Return image resources of Photoshop without thumbnails, and whether there were any.

    Resources that cannot be read to their end are left out.
    """
    at, kept, had = 0, [], False
    while resources[at : at + 4] == b"8BIM" and at + 12 <= len(resources):
        (number,) = struct.unpack_from(">H", resources, at + 4)
        name = 1 + resources[at + 6] + (1 + resources[at + 6]) % 2
        begin = at + 6 + name
        if begin + 4 > len(resources):
            break
        (length,) = struct.unpack_from(">L", resources, begin)
        end = begin + 4 + length + length % 2
        if number in _THUMBNAILS:
            had = True
        else:
            kept.append(resources[at:end])
        at = end
    return b"".join(kept), had


def _is_kept(marker: int, content: bytes) -> bool:
    """Return whether a segment has to do with neither the samples nor anything that `Metadata` names."""
    if marker == _APP1:
        return content.startswith(_MORE_XMP)
    if marker == _APP2:
        return not content.startswith((_ICC, _MPF, _GAIN_MAP))
    known = marker in (_APP0, _APP11, _APP14) or (marker == _APP13 and content.startswith(_PHOTOSHOP))
    return 0xE0 <= marker <= 0xEF and not known


def _left_out(parts: list[Segment], data: bytes) -> Iterator[str]:
    has_index = any(marker == _APP2 and content.startswith(_MPF) for marker, content in parts)
    yield from behind_jpeg(data, has_index=has_index)
    if any(marker == _APP11 for marker, _ in parts):
        yield "content credentials (C2PA), which are signed for the source"
    jfif = _first(parts, _APP0, _JFIF)
    if jfif[7:9] not in (b"", b"\0\0") or any(content.startswith(b"JFXX") for _, content in parts):
        yield "the thumbnail"


def _first(parts: list[Segment], marker: int, beginning: bytes) -> bytes:
    """Return the content after `beginning` of the first such segment; empty if there is none."""
    return next(
        (
            content[len(beginning) :]
            for found, content in parts
            if found == marker and content.startswith(beginning)
        ),
        b"",
    )


def _profile(parts: list[Segment]) -> bytes:
    """Return the colour profile, put together in the order of its numbers."""
    pieces = [
        content[len(_ICC) :] for marker, content in parts if marker == _APP2 and content.startswith(_ICC)
    ]
    return b"".join(piece[2:] for piece in sorted(pieces, key=lambda piece: piece[:1]))


def _density(jfif: bytes) -> Density | None:
    if len(jfif) < 7:
        return None
    unit, x, y = struct.unpack(">BHH", jfif[2:7])
    if (unit, x, y) == (0, 1, 1) or not x or not y:
        return None
    return Density(x=x, y=y, unit=_UNITS.get(unit, "none"))


def _jfif(density: Density | None) -> bytes:
    unit, x, y = 0, 1, 1
    if density is not None and density.unit != "none":
        unit, (x, y) = 1, (round(value) for value in density.per_inch())
    elif density is not None:
        x, y = round(density.x), round(density.y)
    if density is not None and density.unit == "centimetre":
        unit, x, y = 2, round(density.x), round(density.y)
    return _JFIF + struct.pack(">HBHHBB", 0x0102, unit, min(x, 65535), min(y, 65535), 0, 0)


def _comment(text: Text) -> bytes:
    return (f"{text.keyword}: {text.text}" if text.keyword else text.text).encode()


def _pieces(data: bytes, most: int) -> list[bytes]:
    return [data[at : at + most] for at in range(0, len(data), most)]


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _image_at(picture: bytes) -> int:
    """Return where the segments of the image begin, after those of applications and comments."""
    at = 2
    while 0xE0 <= picture[at + 1] <= 0xEF or picture[at + 1] == _COM:
        at += 2 + int(struct.unpack_from(">H", picture, at + 2)[0])
    return at
