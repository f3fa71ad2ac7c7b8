"""Changes EXIF data in place, so that it is true for the result (CIPA DC-008, Exif 3.0).

No byte moves: maker notes refer to others by their distance from the start of the data, and would point at
nothing after a rewrite.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_ORIENTATION, _EXIF_IFD, _GPS_IFD = 0x0112, 0x8769, 0x8825
_STRIPS = ((0x0201, 0x0202), (0x0111, 0x0117))
"""Tags of position and length of a thumbnail: compressed as JPEG, and uncompressed."""
_SHORT, _LONG = 3, 4
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
"""Bytes of a value of each type."""
_WIDTHS, _HEIGHTS = (0x0100, 0xA002), (0x0101, 0xA003)
"""Tags of the size of the picture, in the first directory and in that of EXIF."""
MARK = b"Exif\0\0"
"""What precedes the data in a JPEG segment."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a directory."""

    at: int
    """Position of its twelve bytes."""
    tag: int
    type: int
    count: int
    value: int
    """Position of its value, which may be inside the entry."""

    @property
    def length(self) -> int:
        """Bytes of the value."""
        return self.count * _SIZES.get(self.type, 1)


@dataclass(frozen=True, slots=True)
class Upright:
    """EXIF data for an upright picture."""

    data: bytes
    had_thumbnail: bool
    """Whether a thumbnail was removed, which would show the source."""


def order_of(data: bytes | bytearray) -> str:
    """Return the byte order as `struct` names it.

    Raises:
        ValueError: this is no TIFF structure.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(data[:4]))
    if order is None:
        raise ValueError("it is no TIFF structure")
    return order


def directory(data: bytes | bytearray, order: str, at: int) -> tuple[list[Entry], int]:
    """Return the entries of a directory, and the position of the link to the next directory.

    Raises:
        ValueError: the directory reaches beyond the data.
    """
    try:
        (count,) = struct.unpack_from(order + "H", data, at)
        entries = [_entry(data, order, at + 2 + 12 * number) for number in range(count)]
    except struct.error as error:
        raise ValueError("its directory is cut off") from error
    return entries, at + 2 + 12 * count


def _entry(data: bytes | bytearray, order: str, at: int) -> Entry:
    tag, kind, count = struct.unpack_from(order + "HHL", data, at)
    length = count * _SIZES.get(kind, 1)
    value = at + 8 if length <= 4 else struct.unpack_from(order + "L", data, at + 8)[0]
    return Entry(at, tag, kind, count, value)


def number_of(data: bytes | bytearray, order: str, entry: Entry) -> int | None:
    """Return the value of an entry that is one whole number; None for others."""
    if entry.count != 1 or entry.type not in (_SHORT, _LONG):
        return None
    return int(struct.unpack_from(order + ("H" if entry.type == _SHORT else "L"), data, entry.value)[0])


def orientation_of(data: bytes) -> int:
    """Return the orientation, 1 to 8; 1 if the data states none or cannot be read."""
    try:
        order = order_of(data)
        entries, _ = directory(data, order, struct.unpack_from(order + "L", data, 4)[0])
        found = [number_of(data, order, entry) for entry in entries if entry.tag == _ORIENTATION]
    except (ValueError, struct.error):
        return 1
    value = found[0] if found else None
    return value if value is not None and 1 <= value <= 8 else 1


def has_place(data: bytes) -> bool:
    """Return whether the data has a directory of GPS."""
    try:
        order = order_of(data)
        entries, _ = directory(data, order, struct.unpack_from(order + "L", data, 4)[0])
    except (ValueError, struct.error):
        return False
    return any(entry.tag == _GPS_IFD for entry in entries)


def upright(data: bytes, *, width: int, height: int) -> Upright:
    """Return the data for a picture of another size that is stored upright, without its thumbnail.

    Args:
        data: A TIFF structure.
        width: Width of the result in pixels.
        height: Height of the result in pixels.

    Raises:
        ValueError: the data is damaged.
    """
    changed = bytearray(data)
    order = order_of(data)
    try:
        first, link = directory(data, order, struct.unpack_from(order + "L", data, 4)[0])
        for entry in (*first, *_inner(data, order, first)):
            if entry.tag == _ORIENTATION:
                _set(changed, order, entry, 1)
            elif entry.tag in _WIDTHS + _HEIGHTS:
                _set(changed, order, entry, width if entry.tag in _WIDTHS else height)
        removed = _remove_thumbnail(changed, order, link)
    except struct.error as error:
        raise ValueError("it is cut off") from error
    return Upright(bytes(changed), removed)


def _inner(data: bytes, order: str, first: list[Entry]) -> Iterator[Entry]:
    """Yield the entries of the directory with EXIF's own tags."""
    for entry in first:
        place = number_of(data, order, entry) if entry.tag == _EXIF_IFD else None
        if place is not None:
            yield from directory(data, order, place)[0]


def _set(data: bytearray, order: str, entry: Entry, value: int) -> None:
    """Replace the value of an entry that is one whole number."""
    if entry.count == 1 and entry.type in (_SHORT, _LONG):
        kind = entry.type if value < 1 << 16 else _LONG
        packed = struct.pack(order + "HH", value, 0) if kind == _SHORT else struct.pack(order + "L", value)
        data[entry.at + 2 : entry.at + 4] = struct.pack(order + "H", kind)
        data[entry.at + 8 : entry.at + 12] = packed


def _remove_thumbnail(data: bytearray, order: str, link: int) -> bool:
    """Cut the link to the second directory, and remove the bytes of the thumbnail that it describes."""
    if link + 4 > len(data):  # some programs leave out the link of the only directory
        return False
    (second,) = struct.unpack_from(order + "L", data, link)
    data[link : link + 4] = bytes(4)
    if not second:
        return False
    try:
        entries, _ = directory(data, order, second)
    except ValueError:  # nothing readable is there
        return False
    values = {entry.tag: number_of(data, order, entry) for entry in entries}
    for place, length in _STRIPS:
        _blank(data, values.get(place), values.get(length))
    return True


def _blank(data: bytearray, place: int | None, length: int | None) -> None:
    """Remove bytes at the end of the data, or replace bytes inside it by zeros."""
    if not place or not length or place >= len(data):
        return
    end = min(len(data), place + length)
    if end == len(data):
        del data[place:]
    else:
        data[place:end] = bytes(end - place)
