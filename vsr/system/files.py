"""Files as each operating system has them: opening, renaming, syncing, and the free space of a disk."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

_BINARY = getattr(os, "O_BINARY", 0)
"""Windows changes line ends without it."""
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)
"""A pipe that nobody writes to, or reads from, is opened all the same, so that it can be refused."""
_NO_TERMINAL = getattr(os, "O_NOCTTY", 0)
"""A terminal that is written to does not become the one whose Ctrl-C ends the process."""


def open_new(path: Path) -> int:
    """Make a file for reading and writing; its mode follows the umask.

    Raises:
        FileExistsError: something stands there, if only a link.
        OSError: the folder refuses.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY | _NO_LINK, 0o666)


def open_own(path: Path, *, mode: int) -> int:
    """Open a file for reading and writing, made where there is none; a link is refused where the system can.

    Raises:
        OSError: it is a link, or may not be opened.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | _BINARY | _NO_LINK, mode)


def open_to_read(path: Path) -> int:
    """Open what stands there for reading, without waiting for the other end of a pipe.

    Raises:
        OSError: it cannot be opened.
    """
    return os.open(path, os.O_RDONLY | _NO_WAITING | _BINARY)


def open_to_append(path: Path) -> int:
    """Open a file to write at its end, made where there is none; a link is refused where the system can.

    Raises:
        OSError: it is a link, or may not be opened.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NO_WAITING | _BINARY | _NO_LINK
    return os.open(path, flags, 0o666)


def open_device(path: Path) -> int:
    """Open a device or a pipe for writing.

    Raises:
        OSError: it cannot be opened.
    """
    return os.open(path, os.O_WRONLY | _NO_TERMINAL | _BINARY)


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write on the disk of a folder.

    Raises:
        OSError: the system does not say.
    """
    return shutil.disk_usage(folder).free


def sync_file(path: Path) -> None:
    """Wait until a file's content is on the disk.

    Raises:
        OSError: it is not there, or the disk fails.
    """
    handle = os.open(path, (os.O_RDWR if sys.platform == "win32" else os.O_RDONLY) | _BINARY)
    try:
        sync(handle)
    finally:
        os.close(handle)


if sys.platform == "win32":
    import time

    _IN_USE = frozenset({5, 32, 33})
    """ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION and ERROR_LOCK_VIOLATION: another program has it open."""
    _PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
    """Seconds between attempts: virus scanners and indexers open a new file for a moment."""

    def sync(handle: int) -> None:
        """Wait until what was written into an open file is on the disk.

        Raises:
            OSError: the disk fails.
        """
        os.fsync(handle)

    def sync_folder(folder: Path) -> None:
        """Nothing: Windows cannot open folders, and NTFS has a journal of names."""

    def rename_new(old: Path, new: Path) -> bool:
        """Rename a file to a name that must be free, in one step, as `os.rename` does on Windows.

        Returns:
            True: it was done.

        Raises:
            FileExistsError: the name is taken.
            OSError: the disk refuses.
        """
        _patiently(old, new, replaces=False)
        return True

    def replace(old: Path, new: Path) -> None:
        """Rename a file to a name that is free, or that of a file which it replaces.

        Raises:
            OSError: the disk refuses, or another program has one of the files open.
        """
        _patiently(old, new, replaces=True)

    def _patiently(old: Path, new: Path, *, replaces: bool) -> None:
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

    _CANNOT_SAY = frozenset({errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.ENOTSUP})
    """What a kernel or file system answers that knows no renaming without replacing."""

    def sync_folder(folder: Path) -> None:
        """Wait until the names in a folder are on the disk; some file systems cannot."""
        with suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            try:
                sync(handle)
            finally:
                os.close(handle)

    def replace(old: Path, new: Path) -> None:
        """Rename a file to a name that is free, or that of a file which it replaces.

        Raises:
            OSError: the disk refuses.
        """
        os.replace(old, new)  # noqa: PTH105 (says that it replaces)

    def rename_new(old: Path, new: Path) -> bool:
        """Rename a file to a name that must be free, in one step.

        Returns:
            Whether it was done; False where neither kernel nor file system has this in one step.

        Raises:
            FileExistsError: the name is taken.
            OSError: the disk refuses.
        """
        call = _rename_call()
        if call is None:
            return False
        if call(*_arguments(os.fsencode(old), os.fsencode(new))) == 0:
            return True
        from ctypes import get_errno

        number = get_errno()
        if number in _CANNOT_SAY:
            return False
        raise OSError(number, os.strerror(number), str(old), None, str(new))

    @cache
    def _rename_call() -> Any:
        """The C library's function; None where it has none."""
        import ctypes  # not above: a command that writes nothing needs none of it

        return getattr(ctypes.CDLL(None, use_errno=True), _RENAME, None)

    if sys.platform == "darwin":
        import fcntl

        _RENAME, _RENAME_EXCL = "renamex_np", 4  # of stdio.h

        def _arguments(old: bytes, new: bytes) -> tuple[Any, ...]:
            return old, new, _RENAME_EXCL

        def sync(handle: int) -> None:
            """Wait until what was written into an open file is on the disk.

            With fsync, macOS waits only until the drive has it in its own memory (its manual page says so).

            Raises:
                OSError: the disk fails.
            """
            try:
                fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
            except OSError:  # a file system without it, of a network above all
                os.fsync(handle)

    else:
        _RENAME, _AT_FDCWD, _RENAME_NOREPLACE = "renameat2", -100, 1  # of Linux's fcntl.h and fs.h

        def _arguments(old: bytes, new: bytes) -> tuple[Any, ...]:
            return _AT_FDCWD, old, _AT_FDCWD, new, _RENAME_NOREPLACE

        def sync(handle: int) -> None:
            """Wait until what was written into an open file is on the disk.

            Raises:
                OSError: the disk fails.
            """
            os.fsync(handle)
