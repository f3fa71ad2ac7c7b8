"""Copy protection of ASF (WMV): FFmpeg decodes what is encrypted to garbage without a word."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_HEADER = uuid.UUID("75b22630-668e-11cf-a6d9-00aa0062ce6c")
_EXTENSION = uuid.UUID("5fbf03b5-a92e-11cf-8ee3-00c00c205365")
_PROTECTION = frozenset(
    {
        uuid.UUID("2211b3fb-bd23-11d2-b4b7-00a0c955fc6e"),
        uuid.UUID("298ae614-2622-4c17-b935-dae07ee9289c"),
        uuid.UUID("43058533-6981-49e6-9b74-ad12cb86d58c"),
    }
)
"""Content Encryption, Extended and Advanced Content Encryption (Advanced Systems Format, 3.14 to 3.16)."""
_HEAD = 24
"""Bytes of an object before its content: its number and its size."""
_HEADER_HEAD = 6
_EXTENSION_HEAD = 22
"""Bytes of the two objects that hold others before the first of these."""


def is_protected(path: str) -> bool:
    """Whether a file says that its packets are encrypted; False where it is no ASF.

    Raises:
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        first = next(_objects(file, 0, _HEAD + 1), None)
        if first is None or first[0] != _HEADER:
            return False
        _, start, end = first
        found = list(_objects(file, start + _HEADER_HEAD, end))
        for kind, inside, stop in list(found):
            if kind == _EXTENSION:
                found += _objects(file, inside + _EXTENSION_HEAD, stop)
    return any(kind in _PROTECTION for kind, _, _ in found)


def _objects(file: BinaryIO, start: int, end: int) -> Iterator[tuple[uuid.UUID, int, int]]:
    """Number of each object, and where its content begins and ends."""
    while start + _HEAD <= end:
        file.seek(start)
        head = file.read(_HEAD)
        size = int.from_bytes(head[16:], "little")
        if len(head) < _HEAD or size < _HEAD:
            return
        yield uuid.UUID(bytes_le=head[:16]), start + _HEAD, start + size
        start += size
