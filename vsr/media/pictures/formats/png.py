"""Reads and writes the chunks of PNG files (W3C PNG, third edition)."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress

from vsr.media.pictures.formats.behind import behind
from vsr.media.pictures.metadata import Density, Metadata, Text

SIGNATURE = b"\x89PNG\r\n\x1a\n"
Chunk = tuple[bytes, bytes]
"""Type and content."""
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_XMP = "XML:com.adobe.xmp"
_KEPT = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"tIME", b"sTER")
"""Chunks that are true for a result of another size."""
_REBUILT = (b"IHDR", b"IDAT", b"IEND", b"PLTE", b"tRNS", b"pHYs", b"iCCP", b"eXIf", *_TEXTS)
_ANIMATION = (b"acTL", b"fcTL", b"fdAT")
_MOST_TEXT = 1 << 24
"""Bytes to which a compressed text or profile may expand."""
_METRES = 1
_RAW_PROFILE = re.compile(r"\s*(\w+)\s+(\d+)\s+([0-9a-fA-F\s]*)")


def chunks_of(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a PNG up to its end; checksums are not compared."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">L4s", data, at)
        yield name, data[at + 8 : at + 8 + length]
        at += 12 + length
        if name == b"IEND":
            return


def _end_of(data: bytes) -> int:
    """Return where the PNG in a file ends."""
    return len(SIGNATURE) + sum(12 + len(content) for _, content in chunks_of(data))


def chunk(name: bytes, content: bytes) -> bytes:
    """Return the bytes of a chunk, with its length and checksum."""
    return struct.pack(">L", len(content)) + name + content + struct.pack(">L", zlib.crc32(name + content))


def read(data: bytes) -> Metadata:
    """Return the metadata of a PNG file."""
    texts: list[Text] = []
    found: dict[bytes, bytes] = {}
    kept: list[Chunk] = []
    gone: dict[str, None] = {}
    for name, content in chunks_of(data):
        if name in _TEXTS:
            text = _text(name, content)
            texts += [] if text is None else [text]
        elif name in (b"pHYs", b"iCCP", b"eXIf"):
            found.setdefault(name, content)
        elif name in _KEPT or (name not in (*_REBUILT, *_ANIMATION) and name[3:].islower()):
            kept.append((name, content))
        elif name == b"caBX":
            gone["content credentials (C2PA), which are signed for the source"] = None
        elif name not in (*_REBUILT, *_ANIMATION):
            gone[f"the chunk {name.decode('latin-1')}"] = None
    gone |= dict.fromkeys(behind(data, _end_of(data)))
    profiles = {text.keyword: _raw_profile(text.text) for text in texts if _is_profile(text)}
    return Metadata(
        exif=found.get(b"eXIf", b"") or _exif_in(profiles),
        icc=_inflated(found.get(b"iCCP", b"").partition(b"\0")[2][1:]),
        xmp=next((text.text.encode() for text in texts if text.keyword == _XMP), b"")
        or profiles.get("Raw profile type xmp", b""),
        photoshop=profiles.get("Raw profile type iptc", b""),
        texts=tuple(text for text in texts if text.keyword != _XMP and not _is_profile(text)),
        density=_density(found.get(b"pHYs", b"")),
        chunks=tuple(kept),
        left_out=tuple(gone),
    )


def written(picture: bytes, metadata: Metadata) -> bytes:
    """Return a PNG with metadata.

    Args:
        picture: A PNG of whose chunks only header and image data are used.
        metadata: What goes into the other chunks.
    """
    parts = list(chunks_of(picture))
    head = [chunk(name, content) for name, content in parts if name == b"IHDR"]
    body = [chunk(name, content) for name, content in parts if name == b"IDAT"]
    before, after = _chunks_for(metadata)
    return b"".join([SIGNATURE, *head, *before, *body, *after, chunk(b"IEND", b"")])


def _chunks_for(metadata: Metadata) -> tuple[list[bytes], list[bytes]]:
    """Return the chunks before and after the image data."""
    before = [chunk(name, content) for name, content in metadata.chunks]
    if metadata.icc:
        before.append(chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc)))
    if metadata.density is not None:
        x, y = metadata.density.per_metre()
        unit = 0 if metadata.density.unit == "none" else _METRES
        before.append(chunk(b"pHYs", struct.pack(">LLB", x, y, unit)))
    if metadata.exif:
        before.append(chunk(b"eXIf", metadata.exif))
    if metadata.xmp:
        before.append(chunk(b"iTXt", _XMP.encode() + b"\0\0\0\0\0" + metadata.xmp))
    if metadata.photoshop:
        before.append(chunk(b"zTXt", _as_raw_profile("iptc", metadata.photoshop)))
    return before, [chunk(*_chunk_of(text)) for text in metadata.texts]


def _chunk_of(text: Text) -> Chunk:
    if text.chunk is not None:
        return text.chunk
    keyword = (text.keyword or "Comment").encode("latin-1", "replace")[:79]
    try:
        return b"tEXt", keyword + b"\0" + text.text.encode("latin-1")
    except UnicodeEncodeError:
        return b"iTXt", keyword + b"\0\0\0\0\0" + text.text.encode()


def _text(name: bytes, content: bytes) -> Text | None:
    """Return a text; None if it is damaged."""
    with suppress(ValueError, IndexError, zlib.error):
        keyword, _, rest = content.partition(b"\0")
        if name == b"tEXt":
            text = rest.decode("latin-1")
        elif name == b"zTXt":
            text = _inflated(rest[1:]).decode("latin-1")
        else:
            _, _, value = rest[2:].split(b"\0", 2)
            text = (_inflated(value) if rest[0] else value).decode("utf-8", "replace")
        return Text(keyword=keyword.decode("latin-1"), text=text, chunk=(name, content))
    return None


def _inflated(data: bytes) -> bytes:
    """Return decompressed bytes; none if they are damaged or too many."""
    with suppress(zlib.error):
        plain = zlib.decompressobj().decompress(data, _MOST_TEXT)
        return plain if len(plain) < _MOST_TEXT else b""
    return b""


def _density(content: bytes) -> Density | None:
    if len(content) != 9:
        return None
    x, y, unit = struct.unpack(">LLB", content)
    if not x or not y or (unit != _METRES and x == y):  # it says nothing
        return None
    return Density(x=x, y=y, unit="metre" if unit == _METRES else "none")


def _is_profile(text: Text) -> bool:
    return text.keyword in {f"Raw profile type {name}" for name in ("exif", "APP1", "iptc", "xmp")}


def _raw_profile(text: str) -> bytes:
    """Return the bytes of a profile that ImageMagick wrote as a text: its name, its length, and digits."""
    found = _RAW_PROFILE.match(text)
    with suppress(ValueError):
        return bytes.fromhex(found[3]) if found else b""
    return b""


def _as_raw_profile(name: str, data: bytes) -> bytes:
    digits = data.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    text = f"\n{name}\n{len(data):8d}\n{lines}\n"
    return f"Raw profile type {name}".encode() + b"\0\0" + zlib.compress(text.encode("latin-1"))


def _exif_in(profiles: dict[str, bytes]) -> bytes:
    for name in ("Raw profile type exif", "Raw profile type APP1"):
        data = profiles.get(name, b"")
        if data.startswith(b"Exif\0\0"):
            return data[6:]
    return b""
