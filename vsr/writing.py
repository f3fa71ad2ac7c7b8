"""Writes files under a temporary name beside their final path, and renames them when they are complete.

A file with the temporary name is never opened for truncation: after a crash it may be a second name of a
finished file, or another user may have created a link there. It is unlinked, and a new file is created.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from vsr.errors import ConfigError, OutputError, VsrError
from vsr.system import files, locks, names
from vsr.system.abandoned import held_name, sweep

_ATTEMPTS = 20
"""To create a file and to lock it before another process takes it for an abandoned one."""
_DESCRIPTOR = re.compile(r"/dev/fd/(\d+)|/proc/(\d+)(?:/task/\d+)?/fd/(\d+)")


def new_file(path: Path) -> BinaryIO:
    """Create a file with a temporary name. An existing file loses that name, and keeps its content.

    Raises:
        OSError: the folder cannot be written to.
    """
    with suppress(FileNotFoundError):
        path.unlink()
    handle = files.open_new(path)
    try:
        return os.fdopen(handle, "w+b")
    except BaseException:
        os.close(handle)
        path.unlink(missing_ok=True)
        raise


def temporary_name(folder: Path) -> Path:
    """Return a hidden name that cannot be guessed. It is short, so that it is valid wherever the file's own
    name is.
    """
    return folder / f".vsr-{os.urandom(6).hex()}.tmp"


def move_new(temporary: Path, place: Path) -> None:
    """Rename a file in one step to a name that must not exist.

    If neither kernel nor file system supports that, a hard link is made, which also fails if the name exists.
    A crash between its two steps leaves the complete file under both names.

    Raises:
        FileExistsError: the name exists.
        OSError: the disk refuses.
    """
    if files.rename_new(temporary, place):
        return
    try:
        os.link(temporary, place)
    except FileExistsError:
        raise
    except OSError:  # the file system has no hard links either
        if os.path.lexists(place):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place)) from None
        os.rename(temporary, place)  # noqa: PTH104 (Path.rename does not say that it replaces)
        return
    with suppress(OSError):  # the file is complete; a second, hidden name does no harm
        temporary.unlink()


def move_over(temporary: Path, place: Path) -> None:
    """Rename a file to a name that does not exist or belongs to another file, which is replaced.

    Raises:
        OSError: a device, pipe, folder or the like has that name, or the disk refuses.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(place.lstat().st_mode):
            raise OSError(errno.EEXIST, "it is not a regular file", str(place))
    files.replace(temporary, place)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file completely or not at all. Devices, pipes and standard streams are written to directly.

    Raises:
        OutputError: the folder, the disk or the device refuses.
    """
    try:
        if not _is_direct(path):
            write_beside(names.reachable(Path(os.path.realpath(path))), data)
            return
        own = _own_descriptor(path)
        handle = files.open_device(path) if own is None else os.dup(own)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path}: cannot be written ({reason}); choose another path") from error


def write_derived(path: Path, data: bytes) -> None:
    """Write a file whose name the user did not give, because it follows from that of another file.

    A link with that name is replaced: in a shared folder, somebody may have created it so that another file
    is overwritten.

    Raises:
        OutputError: the folder or the disk refuses, or a device, pipe or folder has the name.
    """
    place = names.reachable(Path(os.path.realpath(path.parent)) / path.name)
    try:
        if place.is_symlink():
            place.unlink()
        write_beside(place, data)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path}: cannot be written ({reason}); choose another path") from error


def check_writable(path: Path, *, what: str, overwrite: bool) -> None:
    """Check, before the work, whether `write_whole` can write to a path.

    Args:
        path: Path of the future file.
        what: Put before its name in messages; may be empty.
        overwrite: Whether an existing file may be replaced.

    Raises:
        ConfigError: it is a folder, its name is too long, or it is a file that may not be replaced.
        OutputError: its folder is missing or cannot be written to.
    """
    name = f"{what} {path}".strip()
    try:
        if path.is_dir():
            raise ConfigError(f"{name}: is a folder; name a file in it")
        if _is_direct(path):
            if not os.access(path, os.W_OK):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
            return
        if path.exists() and not overwrite:
            raise ConfigError(f"{name}: exists already; `overwrite=True` replaces it")
        _check_folder(name, names.reachable(Path(os.path.realpath(path))))
    except OSError as error:
        raise _unusable(name, error) from error


def _check_folder(name: str, place: Path) -> None:
    if not place.parent.is_dir():
        raise OutputError(f"{name}: its folder does not exist; make it first")
    names.check(place)
    trial = held_name(place.parent)
    new_file(trial).close()
    trial.unlink()


def _unusable(name: str, error: OSError) -> VsrError:
    if error.errno == errno.ENAMETOOLONG:
        return ConfigError(f"{name[:60]}...: the name is too long for its folder; shorten it")
    if error.errno == errno.ELOOP:
        return ConfigError(f"{name}: is a link that leads back to itself; remove it")
    if error.errno == errno.EINVAL:
        return ConfigError(f"{name}: {error.strerror}; choose another name")
    return OutputError(f"{name}: cannot be written there ({error.strerror}); choose another folder")


def write_beside(place: Path, data: bytes, *, sync: bool = True) -> None:
    """Write a file under a temporary name, and replace the regular file or the link that has its name.

    What processes that were killed have left of this in the folder is removed before.

    Args:
        place: Path of the file.
        data: Its content.
        sync: Whether it must be on the disk before it gets its name, so that it survives a power cut.

    Raises:
        OSError: the folder or the disk refuses, or a device, pipe or folder has the name.
    """
    sweep(place.parent)
    temporary, file, lock = _held_file(place.parent)
    try:
        with file:
            file.write(data)
            file.flush()
            if sync:
                files.sync(file.fileno())
        move_over(temporary, place)
        if sync:
            files.sync_folder(place.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    finally:
        if lock is not None:
            os.close(lock)


def _held_file(folder: Path) -> tuple[Path, BinaryIO, int | None]:
    """Create a locked file; return its path, the file, and the descriptor of the lock, if there are locks.

    Another process may take the new file for an abandoned one before it is locked, and remove it.

    Raises:
        OSError: the folder cannot be written to.
    """
    for _ in range(_ATTEMPTS):
        path = held_name(folder)
        file = new_file(path)
        with suppress(BlockingIOError):
            lock = locks.hold(file.fileno())
            if lock is None or leads_to(path, lock):
                return path, file, lock
            os.close(lock)
        file.close()
        with suppress(OSError):
            path.unlink()
    path = temporary_name(folder)  # a disk on which path and descriptor never are the same file
    return path, new_file(path), None


def leads_to(path: Path, handle: int) -> bool:
    """Return whether a path leads to the same file as an open descriptor."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except OSError:
        return False


def _is_direct(path: Path) -> bool:
    """Return whether a path must be written to directly: it is an open file of this process, or not a regular
    file.

    Even a regular file must not be replaced if it is, for example, standard output, which would continue to
    go to the old file.
    """
    own = _own_descriptor(path)
    if own is not None:
        os.fstat(own)
        return True
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False


def _own_descriptor(path: Path) -> int | None:
    """Return the number of this process's open file that a path names: /dev/stdout, /dev/fd/1, or a link to
    them.
    """
    at = Path(os.path.abspath(path))  # noqa: PTH100 (resolve() would follow the last link, too)
    for _ in range(40):  # Linux's limit for links
        found = _DESCRIPTOR.fullmatch(str(Path(os.path.realpath(at.parent), at.name)))
        if found is not None and found[2] in (None, str(os.getpid())):
            return int(found[1] or found[3])
        if not at.is_symlink():
            return None
        at = at.parent / at.readlink()
    return None
