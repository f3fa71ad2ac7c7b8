"""The bytes of a file as a sequence that is read on demand, because files may be larger than memory.

A memory map would end the process with SIGBUS if another program truncates the file meanwhile.
"""

from __future__ import annotations

import re
from typing import BinaryIO

_BLOCK = 1 << 20


class FileBytes:
    """The bytes of an open file. Beyond its end, slices are empty and single bytes are 0."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self._size = file.seek(0, 2)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, place: slice) -> bytes:
        start, stop, _ = place.indices(self._size)
        self.file.seek(start)
        return self.file.read(max(0, stop - start))

    def byte(self, at: int) -> int:
        """Return one byte."""
        found = self[at : at + 1]
        return found[0] if found else 0

    def search(self, pattern: re.Pattern[bytes], at: int, overlap: int) -> int | None:
        """Return the first match's offset at or after `at`, or None. A match must have at most `overlap` + 1
        bytes.
        """
        while at < self._size:
            block = self[at : at + _BLOCK]
            found = pattern.search(block)
            if found is not None:
                return at + found.start()
            if len(block) < _BLOCK:
                return None
            at += len(block) - overlap
        return None
