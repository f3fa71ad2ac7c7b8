"""Files written under a temporary name and renamed when they are complete.

A file is made under a temporary name beside its place and renamed. A temporary name is never opened for
truncation: a crash may have left it as a second name of a finished file, or somebody may have planted a link
there. What stands under it is unlinked, and the file is made anew.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from vsr.errors import ConfigError, OutputError, VsrError

_AT_FDCWD, _RENAME_NOREPLACE = -100, 1
"""Of Linux's fcntl.h and fs.h."""
_CANNOT_SAY = frozenset({errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.ENOTSUP})
"""What a kernel or file system answers that knows no renaming without replacing."""
_DESCRIPTOR = re.compile(r"/dev/fd/(\d+)|/proc/(\d+)(?:/task/\d+)?/fd/(\d+)")


def new_file(path: Path) -> BinaryIO:
    """Make a file under a name that is ours to use; what stands there loses that name, and keeps its content.

    Raises:
        OSError: the folder does not let us.
    """
    with suppress(FileNotFoundError):
        path.unlink()
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(path, flags, 0o666)  # the mode follows the umask
    try:
        return os.fdopen(handle, "w+b")
    except BaseException:
        os.close(handle)
        path.unlink(missing_ok=True)
        raise


def temporary_name(folder: Path) -> Path:
    """A hidden name that nobody can guess; short, to fit wherever the file's own does."""
    return folder / f".vsr-{secrets.token_hex(6)}.tmp"


def move_new(temporary: Path, place: Path) -> None:
    """Rename a file to a name that must be free, in one step.

    Where neither kernel nor file system can, a hard link does: it fails where the name is taken, too, and a
    crash between its two steps leaves the file whole under both names.

    Raises:
        FileExistsError: the name is taken.
        OSError: the disk refuses.
    """
    if _rename_without_replacing(temporary, place):
        return
    try:
        os.link(temporary, place)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links, too
        if os.path.lexists(place):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place)) from None
        os.rename(temporary, place)  # noqa: PTH104 (does not say that it replaces)
        return
    with suppress(OSError):  # the file has its name and is whole; a second, hidden name harms nobody
        temporary.unlink()


def move_over(temporary: Path, place: Path) -> None:
    """Rename a file to a name that is free, or that of another file.

    Raises:
        OSError: a device, pipe, folder or the like stands there, or the disk refuses.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(place.lstat().st_mode):
            raise OSError(errno.EEXIST, "what stands there is no regular file", str(place))
    os.replace(temporary, place)  # noqa: PTH105 (says that it replaces)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all; into a device, a pipe or a standard stream it is written straight.

    Raises:
        OutputError: the folder, the disk or the device does not let us.
    """
    try:
        if not _is_straight(path):
            _write_beside(Path(os.path.realpath(path)), data)
            return
        own = _own_descriptor(path)
        handle = os.open(path, os.O_WRONLY | os.O_NOCTTY) if own is None else os.dup(own)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path}: cannot be written ({reason}); choose another path") from error


def check_writable(path: Path, *, what: str, overwrite: bool) -> None:
    """Before any work: whether `write_whole` will be able to write there.

    Args:
        path: The file to be.
        what: Stands before its name in messages; may be empty.
        overwrite: Whether a file may be replaced.

    Raises:
        ConfigError: it is a folder, its name is too long, or it is a file that may not be replaced.
        OutputError: its folder is missing or cannot be written.
    """
    name = f"{what} {path}".strip()
    try:
        if path.is_dir():
            raise ConfigError(f"{name}: is a folder; name a file in it")
        if _is_straight(path):
            if not os.access(path, os.W_OK):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
            return
        if path.exists() and not overwrite:
            raise ConfigError(f"{name}: exists already; `overwrite=True` replaces it")
        _check_folder(name, Path(os.path.realpath(path)))
    except OSError as error:
        raise _unusable(name, error) from error


def _check_folder(name: str, place: Path) -> None:
    if not place.parent.is_dir():
        raise OutputError(f"{name}: its folder does not exist; make it first")
    if len(os.fsencode(place.name)) > os.pathconf(place.parent, "PC_NAME_MAX"):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    trial = temporary_name(place.parent)
    new_file(trial).close()
    trial.unlink()


def _unusable(name: str, error: OSError) -> VsrError:
    if error.errno == errno.ENAMETOOLONG:
        return ConfigError(f"{name[:60]}...: the name is too long for its folder; shorten it")
    if error.errno == errno.ELOOP:
        return ConfigError(f"{name}: is a link that leads back to itself; remove it")
    return OutputError(f"{name}: cannot be written there ({error.strerror}); choose another folder")


def _write_beside(place: Path, data: bytes) -> None:
    temporary = temporary_name(place.parent)
    try:
        with new_file(temporary) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        move_over(temporary, place)
        sync_folder(place.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Have a rename on the disk before anything follows it; some file systems cannot."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def leads_to(path: Path, handle: int) -> bool:
    """Whether a path leads to where a descriptor of ours does."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except OSError:
        return False


def _is_straight(path: Path) -> bool:
    """Whether a path leads to one of our open files, or to what is no regular file: none is to be replaced.

    Even a regular file is not where it is, say, standard output: that would go on being printed into the old
    one.
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
    """Number of the open file that a path leads to by name: /dev/stdout, /dev/fd/1, a link to them."""
    at = Path(os.path.abspath(path))  # noqa: PTH100 (resolve() would follow the last link, too)
    for _ in range(40):  # Linux's own limit for links
        found = _DESCRIPTOR.fullmatch(str(Path(os.path.realpath(at.parent), at.name)))
        if found is not None and found[2] in (None, str(os.getpid())):
            return int(found[1] or found[3])
        if not at.is_symlink():
            return None
        at = at.parent / at.readlink()
    return None


@cache
def _renameat2() -> Any:
    """The C library's function; None where it has none."""
    import ctypes  # not above: a command that writes nothing needs none of it

    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


def _rename_without_replacing(temporary: Path, place: Path) -> bool:
    """Whether it was done; False where it cannot be said in one step here.

    Raises:
        OSError: it was refused.
    """
    call = _renameat2()
    if call is None:
        return False
    names = os.fsencode(temporary), os.fsencode(place)
    if call(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_NOREPLACE) == 0:
        return True
    from ctypes import get_errno

    number = get_errno()
    if number in _CANNOT_SAY:
        return False
    raise OSError(number, os.strerror(number), str(temporary), None, str(place))
