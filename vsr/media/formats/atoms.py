"""The top level of an MP4 or MOV file: its atoms (ISO/IEC 14496-12, 4.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MOST_EMPTY = 1000
"""Atoms without content that are read; a muxer writes one or two, in place of what it did not need."""


@dataclass(frozen=True, slots=True)
class Atom:
    """A box at the top level; its end may lie beyond the file's."""

    start: int
    length: int
    kind: bytes


def top_level_atoms(file: BinaryIO, size: int) -> Iterator[Atom]:
    """The atoms in their order, up to the first one that states no length: 0 is "to the end of the file".

    A file of nothing but empty atoms ends after `MOST_EMPTY` of them: it could have millions, on no purpose.

    Args:
        file: At any place, which changes.
        size: Of the file in bytes.
    """
    start = empty = 0
    while start + 8 <= size and empty < MOST_EMPTY:
        file.seek(start)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:  # a 64-bit length follows the type
            length = int.from_bytes(head[8:16], "big")
        if length < 8:
            length = 0
        empty += length == 8
        yield Atom(start, length, head[4:8])
        if not length:
            return
        start += length
