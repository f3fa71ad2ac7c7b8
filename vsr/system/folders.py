"""Folders that only this user can write to. They stay open, so that nobody can replace them by another
folder."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

_OPEN_TO_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class OwnFolder:
    """An open folder that only this user can write to."""

    inside: Path
    """Path for access to its files: through the open descriptor if the system supports that, else its own
    path."""
    handle: int | None
    """The open descriptor; None on Windows."""

    def close(self) -> None:
        """Close the descriptor; call it once."""
        if self.handle is not None:
            os.close(self.handle)


if sys.platform == "win32":
    _LINKED = 0x400
    """FILE_ATTRIBUTE_REPARSE_POINT: a junction or a symbolic link."""

    def open_own_folder(path: Path) -> OwnFolder:
        """Return a folder by its path, because folders cannot be opened on Windows.

        A folder on Windows inherits the access rights of its parent, so its owner is not checked.

        Raises:
            FileNotFoundError: the folder does not exist.
            OSError: it is a link, or not a folder.
        """
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or getattr(found, "st_file_attributes", 0) & _LINKED:
            raise NotADirectoryError(errno.ENOTDIR, "it is a link, or not a folder")
        return OwnFolder(path, None)

else:

    def open_own_folder(path: Path) -> OwnFolder:
        """Open a folder that belongs to this user and that others cannot write to.

        Raises:
            FileNotFoundError: the folder does not exist.
            OSError: it is a link or not a folder, it belongs to another user, or others can write to it.
        """
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _check_own(path, os.fstat(handle))
        except BaseException:
            os.close(handle)
            raise
        return OwnFolder(_through(handle, path), handle)

    def _check_own(path: Path, found: os.stat_result) -> None:
        """Check the owner and the mode. Another user could otherwise create the folder first, read our files
        in it, or place links in it that make us overwrite our own files.

        Raises:
            OSError: the folder belongs to another user, or others can write to it.
        """
        if found.st_uid == os.geteuid() and not found.st_mode & _OPEN_TO_OTHERS:
            return
        # Some file systems have no owners and modes: then a new folder looks the same.
        trial = path.parent / f".vsr-{secrets.token_hex(6)}.tmp"
        trial.mkdir(mode=0o700)
        usual = trial.stat()
        trial.rmdir()
        if found.st_uid != usual.st_uid:
            raise PermissionError(errno.EACCES, "it belongs to another user")
        if found.st_mode & _OPEN_TO_OTHERS & ~usual.st_mode:
            raise PermissionError(errno.EACCES, "others can write to it")

    if sys.platform == "darwin":

        def _through(handle: int, path: Path) -> Path:
            """Return the path itself: macOS has no path through an open descriptor."""
            return path

    else:

        def _through(handle: int, path: Path) -> Path:
            """Return a path through the descriptor, which stays valid if the folder is renamed; `path`
            without /proc.
            """
            inside = Path(f"/proc/self/fd/{handle}")
            return inside if inside.is_dir() else path
