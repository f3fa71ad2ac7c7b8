"""Checks NUT files, whose index at the end states where each syncpoint lies."""

from __future__ import annotations

from vsr.media.files.file_bytes import FileBytes

_SYNC, _INDEX = bytes.fromhex("4e4be4adeeca4569"), bytes.fromhex("4e58dd672f23e64e")
_TAIL = 12
"""The index ends with its own length, in 8 bytes, and a checksum of 4 bytes."""
_LARGEST = 1 << 26
_CHECKED = 4096
"""A NUT packet of more bytes than this has a checksum of 4 bytes after its length."""
_UNIT = 16
"""The index states positions in units of this many bytes."""


def walk_nut(data: FileBytes) -> tuple[str | None, None]:
    """Return the first fault of a NUT file, or None. A stream without syncpoints, as in a pipe, states
    nothing to check.
    """
    if _SYNC not in data[: 1 << 16]:
        return None, None
    length = int.from_bytes(data[len(data) - _TAIL : len(data) - _TAIL + 8], "big")
    begin = len(data) - length
    if not 8 <= length <= min(len(data), _LARGEST) or data[begin : begin + 8] != _INDEX:
        return "the file is cut off, or damaged: it does not end with its index", None
    for place in _places(data[begin + 8 :]):
        if _SYNC not in data[place : place + _UNIT + 8]:
            return f"there is no syncpoint of NUT at byte {place}", None
    return None, None


def _places(index: bytes) -> list[int]:
    """Return the positions of syncpoints in bytes, exact to 16 bytes."""
    size, at = _number(index, 0)
    at += 4 if size > _CHECKED else 0
    _, at = _number(index, at)  # the last timestamp
    count, at = _number(index, at)
    places, place = [], 0
    for _ in range(count):
        if at >= len(index):
            break
        step, at = _number(index, at)
        place += step
        places.append(place * _UNIT)
    return places


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Read a variable-length number (7 bits in each byte; the last byte has its highest bit clear), and where
    it ends.
    """
    value = 0
    while at < len(data):
        value = value << 7 | data[at] & 0x7F
        at += 1
        if not data[at - 1] & 0x80:
            break
    return value, at
