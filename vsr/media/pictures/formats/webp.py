"""Reads and writes the chunks of WebP files (WebP Container Specification)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from vsr.media.pictures import exif
from vsr.media.pictures.formats.behind import behind
from vsr.media.pictures.metadata import Metadata

_ICC_FLAG, _ALPHA_FLAG, _EXIF_FLAG, _XMP_FLAG = 0x20, 0x10, 0x08, 0x04
_KNOWN = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP ")
MOST_SIDE = 16383
"""The largest side of a WebP in pixels."""


def chunks_of(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of the chunks."""
    at, end = 12, min(len(data), _end_of(data))
    while at + 8 <= end:
        name, length = struct.unpack_from("<4sL", data, at)
        yield name, data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _end_of(data: bytes) -> int:
    """Return where the WebP in a file ends."""
    return 8 + int(struct.unpack_from("<L", data, 4)[0])


def is_lossless(data: bytes) -> bool:
    """Return whether the image is stored without loss."""
    return any(name == b"VP8L" for name, _ in chunks_of(data))


def has_alpha(data: bytes) -> bool:
    """Return whether the file states that it has transparent pixels."""
    for name, content in chunks_of(data):
        if name == b"VP8X" and content:
            return bool(content[0] & _ALPHA_FLAG)
        if name == b"VP8L" and len(content) >= 5:  # a bit after signature, width and height
            return bool(content[4] & 0x10)
    return False


def read(data: bytes) -> Metadata:
    """Return the metadata of a WebP file."""
    found: dict[bytes, bytes] = {}
    gone: dict[str, None] = {}
    for name, content in chunks_of(data):
        found.setdefault(name, content)
        if name not in _KNOWN:
            credentials = "content credentials (C2PA), which are signed for the source"
            gone[credentials if name == b"C2PA" else f"the chunk {name.decode('latin-1')}"] = None
    gone |= dict.fromkeys(behind(data, _end_of(data)))
    return Metadata(
        exif=found.get(b"EXIF", b"").removeprefix(exif.MARK),
        icc=found.get(b"ICCP", b""),
        xmp=found.get(b"XMP ", b""),
        left_out=tuple(gone),
    )


def written(picture: bytes, metadata: Metadata, *, width: int, height: int, alpha: bool) -> bytes:
    """Return a WebP with metadata.

    Args:
        picture: A WebP with one image, of whose chunks only those of the image are used.
        metadata: Colour profile, EXIF and XMP are used.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        alpha: Whether the image has alpha.
    """
    image = [(name, content) for name, content in chunks_of(picture) if name in (b"VP8 ", b"VP8L", b"ALPH")]
    icc = [(b"ICCP", metadata.icc)] if metadata.icc else []
    others = [(b"EXIF", metadata.exif)] if metadata.exif else []
    others += [(b"XMP ", metadata.xmp)] if metadata.xmp else []
    flags = _ICC_FLAG * bool(icc) | _ALPHA_FLAG * alpha
    flags |= _EXIF_FLAG * bool(metadata.exif) | _XMP_FLAG * bool(metadata.xmp)
    head = struct.pack("<L", flags) + _three(width - 1) + _three(height - 1)
    body = b"".join(_chunk(*part) for part in [(b"VP8X", head), *icc, *image, *others])
    return b"RIFF" + struct.pack("<L", len(body) + 4) + b"WEBP" + body


def _three(value: int) -> bytes:
    return struct.pack("<L", value)[:3]


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<L", len(content)) + content + bytes(len(content) % 2)
