"""Reads the directory of a TIFF file, as far as a decoder needs it (TIFF 6.0, Adobe, 1992).

Torch and FFmpeg are not used here.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

READ_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 8, 32773, 32946})
"""Compressions that FFmpeg decodes: none, three of fax, LZW, Deflate, PackBits, and Deflate's old number. 6
and 7 are JPEG."""
_COMPRESSION = 259
_KNOWN = frozenset(
    {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 317, 320, 322, 323, 324, 325, 339}
)
"""Tags that describe how pixels are stored. FFmpeg's strict decoder treats a file as damaged if it has an
unknown tag, such as the orientation (274), the meaning of a fourth sample (338) and the tags that programs
add."""
_SHORT, _LONG = 3, 4


def is_tiff(head: bytes) -> bool:
    """Return whether a file begins like a TIFF file."""
    return head[:4] in (b"II*\0", b"MM\0*")


def compression_of(file: BinaryIO) -> int:
    """Return the compression of an open TIFF file; 1 (none) if its directory cannot be read."""
    order = "<" if file.read(2) == b"II" else ">"
    try:
        file.seek(4)
        file.seek(*struct.unpack(order + "L", file.read(4)))
        (count,) = struct.unpack(order + "H", file.read(2))
        return _values(file.read(12 * count), order).get(_COMPRESSION, 1)
    except (struct.error, OSError):
        return 1


def without_unknown_tags(data: bytes) -> bytes:
    """Remove the tags that FFmpeg does not know from the first directory.

    Raises:
        ValueError: the directory lies outside of the file.
    """
    order = "<" if data[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(order + "L", data, 4)
        (count,) = struct.unpack_from(order + "H", data, start)
        entries = [data[start + 2 + 12 * i : start + 14 + 12 * i] for i in range(count)]
        kept = [entry for entry in entries if struct.unpack(order + "H", entry[:2])[0] in _KNOWN]
    except struct.error as error:
        raise ValueError("its directory is cut off") from error
    directory = struct.pack(order + "H", len(kept)) + b"".join(kept) + bytes(4)
    return data[:start] + directory + data[start + len(directory) :]


def _values(entries: bytes, order: str) -> dict[int, int]:
    """Return the tags whose value is a single whole number."""
    found = (_small(entries[start : start + 12], order) for start in range(0, len(entries), 12))
    return {tag: value for tag, value in found if value is not None}


def _small(entry: bytes, order: str) -> tuple[int, int | None]:
    """Return a tag, and its value if that is a single whole number, else None."""
    tag, kind, count = struct.unpack(order + "HHL", entry[:8])
    if count != 1 or kind not in (_SHORT, _LONG):
        return tag, None
    return tag, struct.unpack_from(order + ("H" if kind == _SHORT else "L"), entry, 8)[0]
