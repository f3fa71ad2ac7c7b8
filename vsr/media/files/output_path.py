"""The output's path: checks before the work, the hidden name, the rename at the end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from vsr.errors import ConfigError, OutputError, VsrError
from vsr.media.files.opening import shown
from vsr.writing import move_new, move_over, new_file, temporary_name


def check_target(target: Path, source: Path, *, overwrite: bool) -> Path:
    """Refuse a target that would destroy something.

    Returns:
        Where the file goes: what `target` leads to, where it is a link. The link stays.

    Raises:
        ConfigError: it is the source, a folder, a device, pipe or socket, a link to itself, too long a name,
            or exists without `overwrite`.
        OutputError: its folder is missing, or cannot be looked into.
    """
    name = shown(target)
    try:
        place = Path(os.path.realpath(target))
        mode = _mode(place)
    except OSError as error:
        raise _unusable(target, error) from error
    if mode is not None and stat.S_ISDIR(mode):
        raise ConfigError(f"{name}: is a folder; name a file in it")
    if mode is not None and not stat.S_ISREG(mode):
        raise ConfigError(f"{name}: is a device, pipe or socket; vsr replaces files only, so name one")
    if mode is not None and source.exists() and place.samefile(source):
        raise ConfigError(f"{name}: is the input itself; write to another file")
    if not place.parent.is_dir():
        raise OutputError(f"{name}: the folder {shown(place.parent)} does not exist; make it first")
    if mode is not None and not overwrite:
        raise ConfigError(f"{name}: exists already; -y replaces it")
    return place


def _mode(path: Path) -> int | None:
    """Type and permissions; None where there is nothing."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _unusable(target: Path, error: OSError) -> VsrError:
    """Why a name leads nowhere, in one line."""
    if error.errno == errno.ENAMETOOLONG:
        return ConfigError(f"{shown(target.name)[:40]}...: the name is too long for its folder; shorten it")
    if error.errno == errno.ELOOP:
        return ConfigError(f"{shown(target)}: is a link that leads back to itself; remove it")
    return OutputError(f"{shown(target)}: cannot be written there ({error.strerror}); choose another folder")


def temporary_beside(target: Path) -> Path:
    """A new, hidden, empty file beside the target; its short name fits wherever the target's does.

    Raises:
        OutputError: the folder cannot be written.
    """
    path = temporary_name(target.parent)
    try:
        new_file(path).close()
        if len(os.fsencode(target.name)) > os.pathconf(target.parent, "PC_NAME_MAX"):
            path.unlink()
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    except OSError as error:
        raise _unusable(target, error) from error
    return path


def make_anew(temporary: Path, target: Path) -> None:
    """Make an empty file under a name that is ours; FFmpeg, which writes it, would follow what stands there.

    Raises:
        OutputError: the folder cannot be written.
    """
    try:
        new_file(temporary).close()
    except OSError as error:
        raise _unusable(target, error) from error


def put_in_place(temporary: Path, place: Path, *, overwrite: bool) -> None:
    """Give a finished file its name, at once and whole.

    Raises:
        OutputError: another file took the name while this one was made, and may not be replaced.
        OSError: the disk refuses.
    """
    if overwrite:
        move_over(temporary, place)
        return
    try:
        move_new(temporary, place)
    except FileExistsError as error:
        raise _taken(place) from error


def _taken(place: Path) -> OutputError:
    return OutputError(
        f"{shown(place)}: appeared while the video was made, and is kept; -y would replace it, "
        "or name another file"
    )


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def free_space(folder: Path) -> str:
    """What is left on the disk of a folder, for people."""
    try:
        left = os.statvfs(folder)
    except OSError:
        return "unknown"
    return f"{left.f_bavail * left.f_frsize / 1e6:.0f} MB"
