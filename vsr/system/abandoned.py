"""Temporary files that show whether their process is alive: it locks them, and a kill unlocks them.

A file that nobody locks was left behind by a process that was killed, and is removed by the next process that
writes into the same folder. On Windows, and on file systems without locks, such files stay.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from vsr.system import locks

_NAME = re.compile(r"\.vsr-[0-9a-f]{12}\.held\.tmp")
_swept: set[str] = set()
"""Folders in which this process has looked: each one only once, because some have a million files."""


def held_name(folder: Path) -> Path:
    """Return a hidden name that cannot be guessed, for a file that `locks.hold` will lock."""
    return folder / f".vsr-{os.urandom(6).hex()}.held.tmp"


def sweep(folder: Path) -> None:
    """Remove files with such names from a folder if no process has locked them."""
    if str(folder) in _swept:
        return
    _swept.add(str(folder))
    with suppress(OSError), os.scandir(folder) as entries:
        for path in [folder / entry.name for entry in entries if _NAME.fullmatch(entry.name)]:
            with suppress(OSError):  # another process has locked it, or it is another user's
                handle = locks.take(path)
                if handle is not None:
                    locks.remove(handle, path)
