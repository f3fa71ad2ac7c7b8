"""Whether the input is still the file that it was."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 1 << 20
_BLOCKS = 16
"""Pieces of an input that are read to know it again: all of a film would take minutes."""


@dataclass(frozen=True, slots=True)
class FileState:
    """What changes with a file's content, and with little else."""

    inode: tuple[int, int]
    """Of its disk, and the file's on it."""
    size: int
    modified: int
    """Nanoseconds."""
    changed: int
    """The same of anything about it, which no program can set back."""
    content: str | None
    """Hash of all bytes; None where they are too many to read them twice."""

    def is_kept(self, now: FileState | None) -> bool:
        """Whether the file has the bytes that it had; a touch or a new name changes none."""
        if now is None:
            return False
        if self.content is not None and now.content is not None:
            return self.content == now.content
        return self == now

    def plain(self) -> list[int]:
        """For a journal: says that nobody touched the file. A disk's number may change at the next start."""
        return [self.inode[1], self.size, self.modified, self.changed]


def state_of(path: Path | str) -> FileState | None:
    """Of the file under a name; None where there is none, or it is no regular file."""
    with suppress(OSError):
        if not Path(path).is_file():
            return None
        with Path(path).open("rb") as file:
            found = os.fstat(file.fileno())
            few = found.st_size <= _BLOCK * _BLOCKS
            content = hashlib.file_digest(file, "sha256").hexdigest() if few else None
        inode = found.st_dev, found.st_ino
        return FileState(inode, found.st_size, found.st_mtime_ns, found.st_ctime_ns, content)
    return None


def fingerprint(path: Path) -> str:
    """Size and sampled content of a file: changes with its bytes, not with its name or times.

    Sixteen blocks of a MiB, evenly spread from the first byte to the last; a small file is read whole.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest.update(str(size).encode())
        last = max(0, size - _BLOCK)
        for i in range(_BLOCKS):
            file.seek(last * i // (_BLOCKS - 1))
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()[:16]
