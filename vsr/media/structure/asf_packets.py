"""Checks ASF (WMV) files: objects with lengths, and a stated number of packets of equal size."""

from __future__ import annotations

from vsr.media.files.file_bytes import FileBytes

_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_DATA_HEAD, _FILE_HEAD = 50, 104
_BROADCAST = 1
"""Flag in the file properties of a live stream, whose numbers have no meaning."""
_CORRECTION = b"\x82\x00\x00"
"""The first bytes of a packet with error correction data, which nearly all packets have."""


def walk_asf(data: FileBytes) -> tuple[str | None, None]:
    """Return the first fault of an ASF file, or None. The number of frames is not stated in ASF."""
    place = data[: 1 << 16].find(_FILE)
    properties = data[max(0, place) : max(0, place) + _FILE_HEAD]
    if place < 0 or len(properties) < _FILE_HEAD:
        return "the file properties of ASF are damaged", None
    size = int.from_bytes(properties[40:48], "little")
    if properties[88] & _BROADCAST:
        return None, None
    if size != len(data):
        return f"the file has {len(data)} bytes, but states {size}", None
    at = int.from_bytes(data[16:24], "little")
    if data[:16] != _HEADER or data[at : at + 16] != _DATA:
        return f"there is no data object at byte {at}", None
    return _walk_packets(data, at, int.from_bytes(properties[92:96], "little")), None


def _walk_packets(data: FileBytes, at: int, size: int) -> str | None:
    count = int.from_bytes(data[at + 40 : at + 48], "little")
    begin = at + _DATA_HEAD
    if not size or begin + count * size > len(data):
        return f"the file states {count} packets of {size} bytes, more than it has"
    if data[begin : begin + 3] != _CORRECTION:
        return None
    for place in range(begin, begin + count * size, size):
        if data[place : place + 3] != _CORRECTION:
            return f"there is no ASF packet at byte {place}"
    return None
