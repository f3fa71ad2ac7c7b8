"""Lock files: one process at a time can lock a file. The system unlocks it when the process ends, even if
killed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vsr.system.files import open_own


def take(path: Path) -> int | None:
    """Open and lock a file; it is created if it does not exist.

    Returns:
        The descriptor; None if the previous owner of the lock has removed the file meanwhile, so that a lock
        on it has no effect.

    Raises:
        BlockingIOError: another process has locked the file.
        OSError: the file cannot be opened.
    """
    try:
        handle = open_own(path, mode=0o600)
    except FileNotFoundError:  # the folder was removed
        return None
    try:
        _lock(handle)
        if os.path.samestat(os.fstat(handle), os.stat(path)):  # noqa: PTH116
            return handle
    except FileNotFoundError:
        pass
    except OSError:
        os.close(handle)
        raise
    os.close(handle)
    return None


if sys.platform == "win32":
    import errno
    import msvcrt

    def hold(handle: int) -> int | None:
        """Do nothing: Windows would lock the bytes of the file against its own writer."""
        return None

    def remove(handle: int, path: Path) -> None:
        """Unlock and remove a file that `take` has locked.

        Windows does not remove open files, so the file is closed first. If another process opens it in
        between, the file is not removed.

        Raises:
            OSError: another process has opened the file.
        """
        os.close(handle)
        path.unlink()

    def _lock(handle: int) -> None:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK, errno.EAGAIN):
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error
            raise

else:
    import fcntl

    def hold(handle: int) -> int | None:
        """Lock an open file as long as the returned descriptor is open, or until the process ends.

        Returns:
            A copy of the descriptor, which the caller closes; None if the file system has no locks.

        Raises:
            BlockingIOError: another process has locked it.
        """
        copy = os.dup(handle)
        try:
            _lock(copy)
        except OSError as error:
            os.close(copy)
            if isinstance(error, BlockingIOError):
                raise
            return None
        return copy

    def remove(handle: int, path: Path) -> None:
        """Unlock and remove a file that `take` has locked.

        The file is removed first, so that a process that has opened it meanwhile sees that its name leads to
        another file or to none.

        Raises:
            OSError: the file cannot be removed.
        """
        try:
            path.unlink()
        finally:
            os.close(handle)

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
