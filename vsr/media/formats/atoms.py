"""Reads the top-level atoms of an MP4 or MOV file (ISO/IEC 14496-12, 4.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MOST_EMPTY = 1000
"""The largest number of atoms without content that are read; a muxer writes one or two as padding."""


@dataclass(frozen=True, slots=True)
class Atom:
    """A box at the top level. Its end may lie beyond the end of the file."""

    start: int
    length: int
    kind: bytes


def top_level_atoms(file: BinaryIO, size: int) -> Iterator[Atom]:
    """Yield the atoms in order, up to the first one whose length is 0: it extends to the end of the file.

    After `MOST_EMPTY` empty atoms the iteration ends: a crafted file could have millions of them.

    Args:
        file: At any position, which changes.
        size: Size of the file in bytes.
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
