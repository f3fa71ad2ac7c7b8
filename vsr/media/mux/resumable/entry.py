"""Names the hidden work folder of a result, creates it, and locks it for one process."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from vsr.media.files.output_path import work_folder_name
from vsr.system import locks
from vsr.system.folders import OwnFolder, open_own_folder

LOCK = "lock"
"""Name of the file in the folder that a process locks."""


def folder_of(place: Path) -> Path:
    """Return the folder of a job, see `work_folder_name`."""
    return place.parent / work_folder_name(place)


def entered(path: Path) -> tuple[OwnFolder, int]:
    """Create a folder if necessary, lock it, and return it open with the descriptor of its lock.

    Raises:
        BlockingIOError: another process has locked it.
        OSError: it is a link, or belongs to another user, or the disk refuses.
    """
    for _ in range(10):
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        try:
            folder = open_own_folder(path)
        except FileNotFoundError:  # the process that had locked it has just removed it
            continue
        try:
            lock = locks.take(folder.inside / LOCK)
        except BaseException:
            folder.close()
            raise
        if lock is not None:
            return folder, lock
        folder.close()
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
