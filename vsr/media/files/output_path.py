"""Checks the output's path before the work, creates the hidden temporary file, and renames it at the end."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path

from vsr.errors import ConfigError, OutputError, VsrError
from vsr.media.files.opening import shown
from vsr.media.remote.places import Remote, remote_of
from vsr.media.remote.upload import check_result, object_exists, send, try_upload
from vsr.system import files, names
from vsr.system.host import cache_folder
from vsr.system.last_step import last_step
from vsr.writing import move_new, move_over, new_file, temporary_name


def check_target(target: Path, source: Path, *, overwrite: bool) -> Path:
    """Refuse a target whose creation would destroy something.

    Args:
        target: Path of the output.
        source: Path of the input.
        overwrite: Whether an existing target may be replaced.

    Returns:
        The path of the file to create, see `local_place`.

    Raises:
        ConfigError: the target is the source, a folder, a device, pipe or socket, a link to itself, has too
            long a name, exists without `overwrite`, or is a URL to which nothing can be written.
        OutputError: its folder is missing, or cannot be read.
    """
    name = shown(target)
    remote = remote_of(target)
    if remote is not None:
        check_result(remote, remote_of(source), overwrite=overwrite)
        return local_place(target)
    try:
        place = names.reachable(Path(os.path.realpath(target)))
        mode = _mode(place)
    except OSError as error:
        raise _unusable(target, error) from error
    if reason := names.refusal(place.name):
        raise ConfigError(f"{name}: {reason}; choose another name")
    if mode is not None and stat.S_ISDIR(mode):
        raise ConfigError(f"{name}: is a folder; name a file in it")
    if mode is not None and not stat.S_ISREG(mode):
        raise ConfigError(f"{name}: is a device, pipe or socket; vsr replaces files only, so name one")
    if mode is not None and remote_of(source) is None and source.exists() and place.samefile(source):
        raise ConfigError(f"{name}: is the input itself; write to another file")
    if not place.parent.is_dir():
        folder = place.parent if target.is_symlink() else target.parent
        raise OutputError(f"{name}: the folder {shown(folder)} does not exist; make it first")
    if mode is not None and not overwrite:
        raise ConfigError(f"{name}: exists already; `overwrite=True` replaces it")
    return place


def check_upload(target: Path) -> None:
    """Find out, before the work, whether a result may be uploaded; does nothing for a local path.

    Raises:
        OutputError: a store refuses it.
    """
    remote = remote_of(target)
    if remote is not None:
        try_upload(remote)


def local_place(target: Path) -> Path:
    """Return the path at which a result is made; its folder has the temporary files.

    If `target` is a link, this is its destination, and the link stays. A result for a URL or a file object is
    made in the work folder that was named for it, else in the user's cache, under a name that follows from
    the URL, so that the same command finds it again.

    Raises:
        OutputError: the work folder cannot be made.
        OSError: `target` cannot be followed.
    """
    remote = remote_of(target)
    if remote is None:
        return names.reachable(Path(os.path.realpath(target)))
    name = hashlib.sha256(os.fsencode(target.with_suffix(""))).hexdigest()[:16]
    named = remote.work_folder
    folder = _usual_work_folder(remote) if named is None or remote_of(named) else named
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{shown(folder)}: cannot be made ({error.strerror}); choose another `work_folder`"
        ) from error
    return names.reachable(folder.resolve() / f"{name}{target.suffix}")


def is_taken(target: Path) -> bool:
    """Return whether something has the name of a result.

    Raises:
        ConfigError: the network is not allowed, or a package is missing.
        OutputError: a store does not answer.
    """
    remote = remote_of(target)
    return os.path.lexists(target) if remote is None else object_exists(remote)


def work_folder_name(place: Path) -> str:
    """Return the name of the hidden work folder of a result. It is short, because the result's name may have
    the maximum length.

    Args:
        place: Path at which the result is made; the folder lies beside it.
    """
    return f".{hashlib.sha256(os.fsencode(place.name)).hexdigest()[:12]}.vsr"


def has_work_folder(target: Path) -> bool:
    """Return whether a run of a local result works, or was ended early."""
    place = Path(os.path.realpath(target))
    return (place.parent / work_folder_name(place)).is_dir()


def _usual_work_folder(remote: Remote) -> Path:
    try:
        return cache_folder() / "vsr" / "work"
    except RuntimeError as error:
        raise OutputError(f"{remote.shown}: the user has no home folder; name a `work_folder`") from error


def _mode(path: Path) -> int | None:
    """Return type and permissions of a file; None if it does not exist."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _unusable(target: Path, error: OSError) -> VsrError:
    """Return the error for a path that cannot be used, in one line."""
    if error.errno == errno.ENAMETOOLONG:
        return ConfigError(f"{shown(target.name)[:40]}...: the name is too long for its folder; shorten it")
    if error.errno == errno.ELOOP:
        return ConfigError(f"{shown(target)}: is a link that leads back to itself; remove it")
    return OutputError(f"{shown(target)}: cannot be written there ({error.strerror}); choose another folder")


def temporary_beside(target: Path) -> Path:
    """Create a new, hidden, empty file beside the target. Its name is short enough wherever the target's name
    is.

    Raises:
        OutputError: the folder cannot be written to.
    """
    path = temporary_name(target.parent)
    try:
        new_file(path).close()
        try:
            names.check(target)
        except OSError:
            path.unlink()
            raise
    except OSError as error:
        raise _unusable(target, error) from error
    return path


def make_anew(temporary: Path, target: Path) -> None:
    """Create an empty file under vsr's own name. FFmpeg, which writes it, would follow a link with that name.

    Raises:
        OutputError: the folder cannot be written to.
    """
    try:
        new_file(temporary).close()
    except OSError as error:
        raise _unusable(target, error) from error


def deliver(temporary: Path, place: Path, target: Path, *, overwrite: bool) -> None:
    """Give a finished file its final name, or send it to a URL or file object.

    Args:
        temporary: The finished file.
        place: What `check_target` returned.
        target: Path of the output.
        overwrite: Whether an existing target may be replaced.

    Raises:
        OutputError: something took the name meanwhile, and may not be replaced, or the file cannot be sent.
        OSError: the disk refuses.
    """
    remote = remote_of(target)
    if remote is None:
        put_in_place(temporary, place, overwrite=overwrite)
        return
    send(temporary, remote, overwrite=overwrite)
    temporary.unlink()


def write_result(
    data: bytes, place: Path, target: Path, *, overwrite: bool, temporary: Path | None = None
) -> None:
    """Write a result that is in memory under a temporary name, and give it its final name or send it.

    Args:
        data: The whole file.
        place: What `check_target` returned.
        target: Path of the output.
        overwrite: Whether an existing target may be replaced.
        temporary: Path of the unfinished file, on the disk of `place`; None chooses a name.

    Raises:
        OutputError: the folder, the disk or the store refuses, or another file took the name meanwhile.
    """
    temporary = temporary or temporary_beside(place)
    try:
        with new_file(temporary) as file:
            file.write(data)
            file.flush()
            files.sync(file.fileno())
        deliver(temporary, place, target, overwrite=overwrite)
        files.sync_folder(place.parent)
    except OSError as error:
        raise OutputError(
            f"{shown(target)}: cannot be written ({error.strerror or error}); make room or choose another"
            " folder"
        ) from error
    finally:
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108 (it is gone after a success)


def put_in_place(temporary: Path, place: Path, *, overwrite: bool) -> None:
    """Rename a finished file to its final name, in one step.

    Raises:
        OutputError: another file took the name meanwhile, and may not be replaced.
        OSError: the disk refuses.
    """
    with last_step():
        if overwrite:
            move_over(temporary, place)
            return
        try:
            move_new(temporary, place)
        except FileExistsError as error:
            raise _taken(place) from error


def _taken(place: Path) -> OutputError:
    return OutputError(
        f"{shown(place)}: appeared during the run, so it is kept; replace it with `overwrite=True`, "
        "or name another file"
    )


def free_space(folder: Path) -> str:
    """Return the free space on the disk of a folder, for messages."""
    try:
        left = files.free_bytes(folder)
    except OSError:
        return "unknown"
    return f"{left / 1e6:.0f} MB"
