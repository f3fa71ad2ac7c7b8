"""Detects copy protection that FFmpeg does not report: it decodes encrypted packets to garbage without an
error.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import BinaryIO

from vsr.media.remote.reader import open_bytes

_HEADER = uuid.UUID("75b22630-668e-11cf-a6d9-00aa0062ce6c")
_EXTENSION = uuid.UUID("5fbf03b5-a92e-11cf-8ee3-00c00c205365")
_PROTECTION = frozenset(
    {
        uuid.UUID("2211b3fb-bd23-11d2-b4b7-00a0c955fc6e"),
        uuid.UUID("298ae614-2622-4c17-b935-dae07ee9289c"),
        uuid.UUID("43058533-6981-49e6-9b74-ad12cb86d58c"),
    }
)
"""Content Encryption, Extended and Advanced Content Encryption (Advanced Systems Format, 3.14 to 3.16)."""
_HEAD = 24
"""Bytes of an object before its content: its identifier and its size."""
_HEADER_HEAD = 6
_EXTENSION_HEAD = 22
"""Bytes of the two container objects before the first object that they contain."""


_MOST_OBJECTS = 1000
"""The number of objects in a header after which a search stops."""
_SEARCHED = 1 << 22
"""The number of bytes at the beginning of a file in which scrambled packets are searched."""
_TS_PACKET, _TS_SYNC = 188, 0x47


def is_protected(path: str, kind: str, stream_id: int) -> bool:
    """Return whether a file states that the packets of its video are encrypted.

    Args:
        path: Path of a regular file.
        kind: FFmpeg's name of its demuxer.
        stream_id: Number of the video stream in the container: the PID in MPEG-TS.

    Raises:
        OSError: the file cannot be read.
    """
    with open_bytes(path) as file:
        if kind.startswith("asf"):
            return _is_protected_asf(file)
        if kind == "mpeg":
            return _is_scrambled(_pes_bits(file.read(_SEARCHED), stream_id))
        if kind == "mpegts":
            return _is_scrambled(_ts_bits(file.read(_SEARCHED), stream_id))
    return False


def _is_scrambled(bits: list[bool]) -> bool:
    """Return whether most packets are scrambled. A protected DVD leaves only some sectors clear."""
    return 2 * sum(bits) > len(bits)


def _pes_bits(data: bytes, stream_id: int) -> list[bool]:
    """Return whether each packet of a stream in a program stream is scrambled (ISO/IEC 13818-1, 2.4.3.7)."""
    start = b"\0\0\1" + bytes([stream_id & 0xFF])
    found, at = [], data.find(start)
    while 0 <= at < len(data) - 7:
        if data[at + 6] & 0xC0 == 0x80:
            found.append(bool(data[at + 6] & 0x30))
        at = data.find(start, at + len(start))
    return found


def _ts_bits(data: bytes, pid: int) -> list[bool]:
    """Return whether each packet of a stream in a transport stream is scrambled (ISO/IEC 13818-1,
    2.4.3.2).
    """
    start = next((n for n in range(_TS_PACKET) if data[n::_TS_PACKET][:5] == bytes([_TS_SYNC] * 5)), None)
    if start is None:
        return []
    heads = (data[at : at + 4] for at in range(start, len(data) - 3, _TS_PACKET))
    return [bool(head[3] & 0xC0) for head in heads if (head[1] & 0x1F) << 8 | head[2] == pid]


def _is_protected_asf(file: BinaryIO) -> bool:
    first = next(_objects(file, 0, _HEAD + 1), None)
    if first is None or first[0] != _HEADER:
        return False
    _, start, end = first
    found = list(_objects(file, start + _HEADER_HEAD, end))
    for kind, inside, stop in list(found):
        if kind == _EXTENSION:
            found += _objects(file, inside + _EXTENSION_HEAD, stop)
    return any(kind in _PROTECTION for kind, _, _ in found)


def _objects(file: BinaryIO, start: int, end: int) -> Iterator[tuple[uuid.UUID, int, int]]:
    """Yield the identifier of each object, and where its content begins and ends."""
    for _ in range(_MOST_OBJECTS):
        if start + _HEAD > end:
            return
        file.seek(start)
        head = file.read(_HEAD)
        size = int.from_bytes(head[16:], "little")
        if len(head) < _HEAD or size < _HEAD:
            return
        yield uuid.UUID(bytes_le=head[:16]), start + _HEAD, start + size
        start += size
