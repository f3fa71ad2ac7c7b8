"""Folders that are ours alone, held open so that nobody can put another one in their place."""

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
    """An open folder."""

    inside: Path
    """By which its files are reached: through the open folder where the system can, else its path."""
    handle: int | None

    def close(self) -> None:
        """Let go of it; once."""
        if self.handle is not None:
            os.close(self.handle)


if sys.platform == "win32":
    _LINKED = 0x400
    """FILE_ATTRIBUTE_REPARSE_POINT: a junction or a link."""

    def open_own_folder(path: Path) -> OwnFolder:
        """Open a folder that is ours; on Windows by its path, for there folders cannot be opened.

        Windows gives a folder the rights of the one around it, so its owner is not asked for.

        Raises:
            FileNotFoundError: it is not there.
            OSError: it is a link or no folder.
        """
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or getattr(found, "st_file_attributes", 0) & _LINKED:
            raise NotADirectoryError(errno.ENOTDIR, "it is a link, or no folder")
        return OwnFolder(path, None)

else:

    def open_own_folder(path: Path) -> OwnFolder:
        """Open a folder that is ours, and closed to others.

        Raises:
            FileNotFoundError: it is not there.
            OSError: it is a link or no folder, it is another user's, or others may write there.
        """
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _check_own(path, os.fstat(handle))
        except BaseException:
            os.close(handle)
            raise
        return OwnFolder(_through(handle, path), handle)

    def _check_own(path: Path, found: os.stat_result) -> None:
        """A folder planted under the name would give others our files, or lead ours over other files of ours.

        Raises:
            OSError: the folder is another user's, or others may write there.
        """
        if found.st_uid == os.geteuid() and not found.st_mode & _OPEN_TO_OTHERS:
            return
        # Some disks know no owners and modes: all folders are alike there.
        trial = path.parent / f".vsr-{secrets.token_hex(6)}.tmp"
        trial.mkdir(mode=0o700)
        usual = trial.stat()
        trial.rmdir()
        if found.st_uid != usual.st_uid:
            raise PermissionError(errno.EACCES, "it belongs to another user")
        if found.st_mode & _OPEN_TO_OTHERS & ~usual.st_mode:
            raise PermissionError(errno.EACCES, "others may write to it")

    if sys.platform == "darwin":

        def _through(handle: int, path: Path) -> Path:
            """A folder by its path: macOS has no paths that go through an open folder."""
            return path

    else:

        def _through(handle: int, path: Path) -> Path:
            """A folder by its descriptor, as another may take its name; its path where /proc is missing."""
            inside = Path(f"/proc/self/fd/{handle}")
            return inside if inside.is_dir() else path
