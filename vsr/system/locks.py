"""A file that one process at a time holds. The system lets go when that process ends, however it ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vsr.system.files import open_own


def take(path: Path) -> int | None:
    """Open a file, made where there is none, and hold it against other processes.

    Returns:
        Its descriptor; None where it was removed by whom held it before, so that it locks nothing any more.

    Raises:
        BlockingIOError: another process holds it.
        OSError: it cannot be opened.
    """
    try:
        handle = open_own(path, mode=0o600)
    except FileNotFoundError:  # in a folder that was removed
        return None
    try:
        _hold(handle)
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

    def remove(handle: int, path: Path) -> None:
        """Let go of a file that `take` gave, and remove it.

        Windows removes no open file. Who opens it before it is removed keeps it: then it is not removed.

        Raises:
            OSError: another process has it by now.
        """
        os.close(handle)
        path.unlink()

    def _hold(handle: int) -> None:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK, errno.EAGAIN):
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error
            raise

else:
    import fcntl

    def remove(handle: int, path: Path) -> None:
        """Let go of a file that `take` gave, and remove it.

        It is removed first: who opened it meanwhile then finds another file, or none, under its name.

        Raises:
            OSError: the folder does not let us.
        """
        try:
            path.unlink()
        finally:
            os.close(handle)

    def _hold(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
