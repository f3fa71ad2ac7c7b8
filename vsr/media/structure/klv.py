"""MXF (SMPTE ST 377-1): a chain of keys, lengths and values from the header to the footer."""

from __future__ import annotations

from collections import Counter

from vsr.media.files.file_bytes import FileBytes

_LABEL = b"\x06\x0e\x2b\x34"
_PARTITION, _INDEX = (
    bytes.fromhex("060e2b34020501010d0102010104"),
    bytes.fromhex("060e2b34020501010d010201011101"),
)
"""Beginnings of a footer partition's key, and of the random index pack's that ends a file."""
_ESSENCE = bytes.fromhex("060e2b34010201")
_ITEM = 12
_PICTURES = (0x05, 0x15)
"""Byte of an essence element's key that says what it is, and its values for pictures (ST 379-1)."""
_RUN_IN = 1 << 16


def walk_mxf(data: FileBytes) -> tuple[str | None, int | None]:
    """The first fault of an MXF file, and how many pictures its most frequent picture element has."""
    at = max(0, data[:_RUN_IN].find(_LABEL))
    pictures: Counter[bytes] = Counter()
    last = b""
    while at < len(data):
        key = data[at : at + 16]
        if key[:4] != _LABEL or len(key) < 16:
            return f"there is no MXF key at byte {at}", _most(pictures)
        if key[: len(_ESSENCE)] == _ESSENCE and key[_ITEM] in _PICTURES:
            pictures[key] += 1
        begin, length = _length(data, at + 16)
        if begin + length > len(data):
            return f"the file is cut off: the value at byte {begin} has {length} bytes", _most(pictures)
        at, last = begin + length, key
    ended = last.startswith((_PARTITION, _INDEX))
    return (None if ended else "the file is cut off: it has no footer"), _most(pictures)


def _length(data: FileBytes, at: int) -> tuple[int, int]:
    """Where a value begins and how long it is, by its BER length."""
    first = data.byte(at) if at < len(data) else 0
    if first < 0x80:
        return at + 1, first
    count = first & 0x7F
    return at + 1 + count, int.from_bytes(data[at + 1 : at + 1 + min(count, 8)], "big")


def _most(pictures: Counter[bytes]) -> int | None:
    """None where one value holds all pictures (clip wrapping)."""
    count = max(pictures.values(), default=0)
    return count if count > 1 else None
