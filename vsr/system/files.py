"""Opens, renames and syncs files as each operating system requires, and returns the free space of a disk."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

_BINARY = getattr(os, "O_BINARY", 0)
"""Without it, Windows converts line ends."""
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)
"""Opens a pipe without waiting for its other end, so that the caller can refuse it."""
_NO_TERMINAL = getattr(os, "O_NOCTTY", 0)
"""A terminal that is opened does not become the controlling terminal, whose Ctrl-C ends the process."""


def open_new(path: Path) -> int:
    """Create a file for reading and writing, with the mode of the umask, and return its descriptor.

    Raises:
        FileExistsError: the name is in use, possibly by a link.
        OSError: the file cannot be created.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY | _NO_LINK, 0o666)


def open_own(path: Path, *, mode: int) -> int:
    """Open a file for reading and writing, and return its descriptor; it is created if it does not exist.

    Raises:
        OSError: the path is a link (not checked on Windows), or the file cannot be opened.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | _BINARY | _NO_LINK, mode)


def open_to_read(path: Path) -> int:
    """Open a path for reading, without waiting for the other end of a pipe, and return its descriptor.

    Raises:
        OSError: it cannot be opened.
    """
    return os.open(path, os.O_RDONLY | _NO_WAITING | _BINARY)


def open_to_append(path: Path) -> int:
    """Open a file to append to it, and return its descriptor; it is created if it does not exist.

    Raises:
        OSError: the path is a link (not checked on Windows), or the file cannot be opened.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NO_WAITING | _BINARY | _NO_LINK
    return os.open(path, flags, 0o666)


def open_device(path: Path) -> int:
    """Open a device or a pipe for writing, and return its descriptor.

    Raises:
        OSError: it cannot be opened.
    """
    return os.open(path, os.O_WRONLY | _NO_TERMINAL | _BINARY)


def free_bytes(folder: Path) -> int:
    """Return the free space of a folder's disk in bytes.

    Raises:
        OSError: the system reports an error.
    """
    return shutil.disk_usage(folder).free


def sync_file(path: Path) -> None:
    """Wait until a file's content is on the disk.

    Raises:
        OSError: the file does not exist, or the disk fails.
    """
    handle = os.open(path, (os.O_RDWR if sys.platform == "win32" else os.O_RDONLY) | _BINARY)
    try:
        sync(handle)
    finally:
        os.close(handle)


if sys.platform == "win32":
    import time

    _IN_USE = frozenset({5, 32, 33})
    """ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION and ERROR_LOCK_VIOLATION: another program has opened the
    file."""
    _PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
    """Seconds between attempts, because virus scanners and indexers open new files for a moment."""

    def sync(handle: int) -> None:
        """Wait until the data written to an open file is on the disk.

        Raises:
            OSError: the disk fails.
        """
        os.fsync(handle)

    def sync_folder(folder: Path) -> None:
        """Do nothing: Windows cannot open folders, and NTFS keeps a journal of names."""

    def rename_new(old: Path, new: Path) -> bool:
        """Rename a file atomically to a name that is not in use, as `os.rename` does on Windows.

        Returns:
            True: the file was renamed.

        Raises:
            FileExistsError: the name is in use.
            OSError: the file cannot be renamed.
        """
        _with_retries(old, new, replaces=False)
        return True

    def replace(old: Path, new: Path) -> None:
        """Rename a file; an existing file with the new name is replaced.

        Raises:
            OSError: the file cannot be renamed, or another program has opened one of the files.
        """
        _with_retries(old, new, replaces=True)

    def _with_retries(old: Path, new: Path, *, replaces: bool) -> None:
        for pause in (*_PAUSES, None):
            try:
                return os.replace(old, new) if replaces else os.rename(old, new)  # noqa: PTH104, PTH105
            except OSError as error:
                if pause is None or getattr(error, "winerror", None) not in _IN_USE:
                    raise
                time.sleep(pause)

else:
    from functools import cache
    from typing import Any

    _UNSUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.ENOTSUP})
    """Errors of a kernel or file system that does not support renaming without replacing."""

    def sync_folder(folder: Path) -> None:
        """Wait until the names in a folder are on the disk, if the file system supports that."""
        with suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            try:
                sync(handle)
            finally:
                os.close(handle)

    def replace(old: Path, new: Path) -> None:
        """Rename a file; an existing file with the new name is replaced.

        Raises:
            OSError: the file cannot be renamed.
        """
        os.replace(old, new)  # noqa: PTH105 (its name says that it replaces)

    def rename_new(old: Path, new: Path) -> bool:
        """Rename a file atomically to a name that is not in use.

        Returns:
            Whether the file was renamed; False if the kernel or the file system cannot do this atomically.

        Raises:
            FileExistsError: the name is in use.
            OSError: the file cannot be renamed.
        """
        call = _rename_call()
        if call is None:
            return False
        if call(*_arguments(os.fsencode(old), os.fsencode(new))) == 0:
            return True
        from ctypes import get_errno

        number = get_errno()
        if number in _UNSUPPORTED:
            return False
        raise OSError(number, os.strerror(number), str(old), None, str(new))

    @cache
    def _rename_call() -> Any:
        """Return the function of the C library; None if it has none."""
        import ctypes  # imported here, because commands that write nothing do not need it

        return getattr(ctypes.CDLL(None, use_errno=True), _RENAME, None)

    if sys.platform == "darwin":
        import fcntl

        _RENAME, _RENAME_EXCL = "renamex_np", 4  # of stdio.h

        def _arguments(old: bytes, new: bytes) -> tuple[Any, ...]:
            return old, new, _RENAME_EXCL

        def sync(handle: int) -> None:
            """Wait until the data written to an open file is on the disk.

            On macOS, fsync only waits until the drive has the data in its cache (manual page of fsync).

            Raises:
                OSError: the disk fails.
            """
            try:
                fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
            except OSError:  # file systems without it, above all of networks
                os.fsync(handle)

    else:
        _RENAME, _AT_FDCWD, _RENAME_NOREPLACE = "renameat2", -100, 1  # of Linux's fcntl.h and fs.h

        def _arguments(old: bytes, new: bytes) -> tuple[Any, ...]:
            return _AT_FDCWD, old, _AT_FDCWD, new, _RENAME_NOREPLACE

        def sync(handle: int) -> None:
            """Wait until the data written to an open file is on the disk.

            Raises:
                OSError: the disk fails.
            """
            os.fsync(handle)
