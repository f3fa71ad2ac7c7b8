"""Detects whether the input file has changed."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vsr.media.remote.reader import identity_of, open_bytes
from vsr.media.remote.store import Identity
from vsr.reading import open_file

_BLOCK = 1 << 20
_BLOCKS = 16
"""Number of blocks of an input that are hashed; hashing a whole film would take minutes."""
REMOTE = (0, 0)
"""The inode of a file that is not local."""


@dataclass(frozen=True, slots=True)
class FileState:
    """Facts of a file that change with its content."""

    inode: tuple[int, int]
    """Numbers of the device and of the inode."""
    size: int
    modified: int
    """Time of the last modification in nanoseconds."""
    changed: int
    """Time of the last status change in nanoseconds, which programs cannot set."""
    content: str | None
    """Hash of all bytes; None for a file that is too large to be read twice."""

    def is_kept(self, now: FileState | None) -> bool:
        """Return whether the file has the same bytes; a new modification time or name is no change."""
        if now is None:
            return False
        if self.content is not None and now.content is not None:
            return self.content == now.content
        return self == now

    def plain(self) -> list[int]:
        """Return values for a journal that identify an unchanged file; the
        device number can change at a reboot."""
        remote = int(self.content or "0", 16) if self.inode == REMOTE else 0
        return [self.inode[1], self.size, self.modified, self.changed or remote]


def state_of(path: Path | str) -> FileState | None:
    """Return the state of a file; None if it does not exist or is no regular file.

    Raises:
        InputError: a remote file cannot be read.
    """
    identity = identity_of(path)
    if identity is not None:
        return FileState(REMOTE, identity.size or 0, 0, 0, _digest(identity))
    with suppress(OSError):
        if not Path(path).is_file():
            return None
        with open_file(Path(path)) as file:
            found = os.fstat(file.fileno())
            few = found.st_size <= _BLOCK * _BLOCKS
            content = hashlib.file_digest(file, "sha256").hexdigest() if few else None
        inode = found.st_dev, found.st_ino
        return FileState(inode, found.st_size, found.st_mtime_ns, found.st_ctime_ns, content)
    return None


def _digest(identity: Identity) -> str:
    return hashlib.sha256(f"{identity.size} {identity.version}".encode()).hexdigest()[:16]


def fingerprint(path: Path) -> str:
    """Return a hash of a file's size and sampled content, independent of its name and times.

    The samples are 16 blocks of 1 MiB, evenly spaced from the first byte to
    the last; small files are read completely. Of a remote file, the size and
    what its store says of the version are hashed, and nothing is read.

    Raises:
        OSError: A local file cannot be read, or is not a regular one.
        InputError: A remote file cannot be read.
    """
    identity = identity_of(path)
    return sample_of(path) if identity is None else _digest(identity)


def sample_of(path: Path) -> str:
    """Return a hash of size and sampled content, as `fingerprint`, but read a remote file's content, too.

    Raises:
        OSError: A local file cannot be read, or is not a regular one.
        VsrError: A remote file cannot be read.
    """
    with open_bytes(path) as file:
        return sample_in(file)


def sample_in(file: BinaryIO) -> str:
    """Return `sample_of` the content of an open file."""
    digest = hashlib.sha256()
    size = file.seek(0, os.SEEK_END)
    digest.update(str(size).encode())
    last = max(0, size - _BLOCK)
    for i in range(_BLOCKS):
        file.seek(last * i // (_BLOCKS - 1))
        digest.update(file.read(_BLOCK))
    return digest.hexdigest()[:16]
