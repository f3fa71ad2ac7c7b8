"""Finds damaged or missing fragments in fragmented MP4 (ISO/IEC 14496-12, 8.8), which FFmpeg skips without a
message.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from vsr.media.formats.atoms import top_level_atoms
from vsr.media.remote.reader import open_bytes, size_of

_LARGEST_MOOF = 1 << 24
"""In bytes; a larger length of a moof is an error in the header."""
_CHILDREN = {b"moof": b"mfhd", b"traf": b"tfhd"}
"""Maps a box to the child that must come first in it."""


def broken_fragment(path: str | Path) -> int | None:
    """Return the offset of the first fragment with an invalid box structure; None if there is none."""
    size = size_of(path)
    with open_bytes(path) as file:
        for start, length in _fragments(file, size):
            file.seek(start)
            if length > _LARGEST_MOOF or not _is_valid(file.read(length)):
                return start
    return None


def skips_fragments(path: str | Path) -> bool:
    """Return whether the fragments' sequence numbers (mfhd) do not increase by one: some are missing or out
    of order.
    """
    numbers = []
    size = size_of(path)
    with open_bytes(path) as file:
        for start, _ in _fragments(file, size):
            file.seek(start + 20)  # headers of moof and mfhd, then version and flags
            numbers.append(int.from_bytes(file.read(4), "big"))
    return bool(numbers) and numbers != list(range(numbers[0], numbers[0] + len(numbers)))


def _fragments(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """Yield the offset and length of every top-level moof that lies completely within the file."""
    for atom in top_level_atoms(file, size):
        if atom.kind == b"moof" and atom.length and atom.start + atom.length <= size:
            yield atom.start, atom.length


def _is_valid(box: bytes) -> bool:
    """Return whether the children of a moof or traf fill it exactly and begin with the mandatory first
    child.
    """
    kind, at, first = box[4:8], 8, True
    while at < len(box):
        child = box[at : at + int.from_bytes(box[at : at + 4], "big")]
        if len(child) < 8 or len(child) != int.from_bytes(child[:4], "big"):
            return False
        if first and child[4:8] != _CHILDREN[kind]:
            return False
        if child[4:8] in _CHILDREN and not _is_valid(child):
            return False
        at, first = at + len(child), False
    return not first
