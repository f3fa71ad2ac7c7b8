"""Checks MXF files (SMPTE ST 377-1): a chain of keys, lengths and values from the header to the footer."""

from __future__ import annotations

from collections import Counter

from vsr.media.files.file_bytes import FileBytes

_LABEL = b"\x06\x0e\x2b\x34"
_PARTITION, _INDEX = (
    bytes.fromhex("060e2b34020501010d0102010104"),
    bytes.fromhex("060e2b34020501010d010201011101"),
)
"""The first bytes of the key of a footer partition, and of the random index pack that ends a file."""
_ESSENCE = bytes.fromhex("060e2b34010201")
_ITEM = 12
_FRAME_ELEMENTS = (0x05, 0x15)
"""Values of byte `_ITEM` of an essence element's key that mark video (SMPTE ST 379-1)."""
_RUN_IN = 1 << 16


def walk_mxf(data: FileBytes) -> tuple[str | None, int | None]:
    """Return the first fault of an MXF file, or None, and how many frames its most frequent video element
    has.
    """
    at = max(0, data[:_RUN_IN].find(_LABEL))
    frames: Counter[bytes] = Counter()
    last = b""
    while at < len(data):
        key = data[at : at + 16]
        if key[:4] != _LABEL or len(key) < 16:
            return f"there is no MXF key at byte {at}", _most(frames)
        if key[: len(_ESSENCE)] == _ESSENCE and key[_ITEM] in _FRAME_ELEMENTS:
            frames[key] += 1
        begin, length = _length(data, at + 16)
        if begin + length > len(data):
            return f"the file is cut off: the value at byte {begin} has {length} bytes", _most(frames)
        at, last = begin + length, key
    ended = last.startswith((_PARTITION, _INDEX))
    return (None if ended else "the file is cut off: it has no footer"), _most(frames)


def _length(data: FileBytes, at: int) -> tuple[int, int]:
    """Return where a value begins and its length, from its BER length."""
    first = data.byte(at) if at < len(data) else 0
    if first < 0x80:
        return at + 1, first
    count = first & 0x7F
    return at + 1 + count, int.from_bytes(data[at + 1 : at + 1 + min(count, 8)], "big")


def _most(frames: Counter[bytes]) -> int | None:
    """Return the largest count; None where one value holds all frames (clip wrapping)."""
    count = max(frames.values(), default=0)
    return count if count > 1 else None
