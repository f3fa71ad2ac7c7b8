"""The directory of a TIFF file, as far as a decoder needs it (TIFF 6.0, Adobe, 1992). No torch, no FFmpeg."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

READ_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 8, 32773, 32946})
"""None, three of fax, LZW, Deflate, PackBits, Deflate's old number: what FFmpeg unpacks. 6 and 7 are JPEG."""
_COMPRESSION, _ORIENTATION = 259, 274
_KNOWN = frozenset(
    {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 317, 320, 322, 323, 324, 325, 339}
)
"""Tags that say how pixels are stored. FFmpeg's strict decoder takes a file with one that it does not know
for damaged: how a photograph was held (274), what a fourth sample means (338), all that programs add."""
_SHORT, _LONG = 3, 4
_MATRICES = {
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}
"""Of orientations: a, b, c, d of the display matrix; a pixel at p, q is shown at a*p + c*q, b*p + d*q."""


@dataclass(frozen=True, slots=True)
class Tiff:
    """A TIFF file of which only tags are left that FFmpeg knows."""

    data: bytes
    matrix: tuple[int, ...] | None
    """As FFmpeg's display matrix, in whole numbers; None where the frame is stored upright."""


def is_tiff(head: bytes) -> bool:
    """Whether a file begins as TIFF does."""
    return head[:4] in (b"II*\0", b"MM\0*")


def compression_of(file: BinaryIO) -> int:
    """How the pixels of an open TIFF file are packed; 1, for none, where its directory cannot be read."""
    order = "<" if file.read(2) == b"II" else ">"
    try:
        file.seek(4)
        file.seek(*struct.unpack(order + "L", file.read(4)))
        (count,) = struct.unpack(order + "H", file.read(2))
        return _values(file.read(12 * count), order).get(_COMPRESSION, 1)
    except (struct.error, OSError):
        return 1


def without_unknown_tags(data: bytes) -> Tiff:
    """Take what FFmpeg does not know out of the first directory.

    Raises:
        ValueError: the directory lies outside of the file.
    """
    order = "<" if data[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(order + "L", data, 4)
        (count,) = struct.unpack_from(order + "H", data, start)
        entries = [data[start + 2 + 12 * i : start + 14 + 12 * i] for i in range(count)]
        values = _values(b"".join(entries), order)
        kept = [entry for entry in entries if struct.unpack(order + "H", entry[:2])[0] in _KNOWN]
    except struct.error as error:
        raise ValueError("its directory is cut off") from error
    directory = struct.pack(order + "H", len(kept)) + b"".join(kept) + bytes(4)
    turned = _MATRICES.get(values.get(_ORIENTATION, 1))
    return Tiff(
        data=data[:start] + directory + data[start + len(directory) :],
        matrix=turned and (turned[0], turned[1], 0, turned[2], turned[3], 0, 0, 0, 1),
    )


def _values(entries: bytes, order: str) -> dict[int, int]:
    """The tags whose value is one whole number."""
    found = (_small(entries[start : start + 12], order) for start in range(0, len(entries), 12))
    return {tag: value for tag, value in found if value is not None}


def _small(entry: bytes, order: str) -> tuple[int, int | None]:
    """A tag, and its value where that is one whole number."""
    tag, kind, count = struct.unpack(order + "HHL", entry[:8])
    if count != 1 or kind not in (_SHORT, _LONG):
        return tag, None
    return tag, struct.unpack_from(order + ("H" if kind == _SHORT else "L"), entry, 8)[0]
