"""The bytes of a file as a sequence, read when asked for: files may be larger than memory.

A memory map would end the process with SIGBUS where somebody cuts the file off meanwhile.
"""

from __future__ import annotations

import re
from typing import BinaryIO

_BLOCK = 1 << 20


class FileBytes:
    """Bytes of an open file; what lies beyond its end is empty, and 0 where a single byte is asked for."""

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
        """One byte."""
        found = self[at : at + 1]
        return found[0] if found else 0

    def search(self, pattern: re.Pattern[bytes], at: int, overlap: int) -> int | None:
        """Where a pattern is found first, from a place on; it matches at most `overlap` + 1 bytes."""
        while at < self._size:
            block = self[at : at + _BLOCK]
            found = pattern.search(block)
            if found is not None:
                return at + found.start()
            if len(block) < _BLOCK:
                return None
            at += len(block) - overlap
        return None
