"""Checks Ogg files (RFC 3533): each page has a checksum, and the pages of each stream are numbered."""

from __future__ import annotations

import zlib

from vsr.media.files.file_bytes import FileBytes

_HEAD = 27
_FIRST, _LAST = 2, 4
"""Flags of a stream's first and last page."""
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
"""Each byte with its bits reversed: Ogg's CRC processes the highest bit first, zlib's the lowest."""


def walk_ogg(data: FileBytes) -> tuple[str | None, None]:
    """Return the first fault of an Ogg file, or None. The number of frames is not stated in Ogg."""
    numbers: dict[bytes, int] = {}
    last = bytearray()
    at = 0
    while at < len(data):
        head = data[at : at + _HEAD]
        if head[:4] != b"OggS" or len(head) < _HEAD:
            return f"there is no Ogg page at byte {at}", None
        lengths = data[at + _HEAD : at + _HEAD + head[26]]
        end = at + _HEAD + head[26] + sum(lengths)
        if end > len(data):
            return f"the file is cut off: its last page begins at byte {at} and ends at {end}", None
        if _checksum(data[at:end]) != int.from_bytes(head[22:26], "little"):
            return f"the Ogg page at byte {at} has a wrong checksum", None
        stream, number = head[14:18], int.from_bytes(head[18:22], "little")
        if not head[5] & _FIRST and number != numbers.get(stream, number - 1) + 1:
            return f"Ogg pages are missing before byte {at}", None
        numbers[stream] = number
        last += stream if head[5] & _LAST else b""
        at = end
    unfinished = any(stream not in bytes(last) for stream in numbers)
    return ("the file is cut off: a stream has no last page" if unfinished else None), None


def _checksum(page: bytes) -> int:
    """Return the CRC-32 of a page (polynomial 0x04C11DB7, start value 0, highest bit first), its own field
    set to zero.
    """
    clean = page[:22] + bytes(4) + page[26:]
    crc = zlib.crc32(clean.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)
