"""Reads regular files that a user names, up to a size limit.

A pipe without a writer would block forever, a device such as /dev/zero never ends, and a file may grow while
it is read. Media files are opened by `vsr.media.files.opening`.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

from vsr.system.files import open_to_read

_KINDS = (
    (stat.S_ISDIR, errno.EISDIR, "is a folder"),
    (stat.S_ISFIFO, errno.EINVAL, "is a pipe, not a file"),
    (stat.S_ISCHR, errno.EINVAL, "is a device, not a file"),
    (stat.S_ISBLK, errno.EINVAL, "is a device, not a file"),
    (stat.S_ISSOCK, errno.EINVAL, "is a socket, not a file"),
)


def open_file(path: Path) -> BufferedReader:
    """Open a regular file for reading.

    Raises:
        OSError: the file cannot be opened, or is not a regular file; `strerror` says why.
    """
    _refuse_other_kinds(path, path.stat())  # before opening, which may have effects on a device
    handle = open_to_read(path)
    try:
        _refuse_other_kinds(path, os.fstat(handle))  # the file may have been replaced meanwhile
    except OSError:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb")


def read_file(path: Path, *, most_bytes: int) -> bytes:
    """Read a regular file completely.

    Args:
        path: Path of the file.
        most_bytes: The largest size that is accepted.

    Raises:
        OSError: the file cannot be read, is not a regular file, or is larger; `strerror` says why.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        data = b"" if size > most_bytes else file.read(most_bytes + 1)
    size = max(size, len(data))
    if size > most_bytes:
        raise OSError(errno.EFBIG, f"has {size:,} bytes, and such files have at most {most_bytes:,}")
    return data


def _refuse_other_kinds(path: Path, facts: os.stat_result) -> None:
    for is_kind, number, words in _KINDS:
        if is_kind(facts.st_mode):
            raise OSError(number, words, str(path))
