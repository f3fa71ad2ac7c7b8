"""Names of files: how long they may be, which ones Windows keeps for devices, and paths that are too long."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path

_WINDOWS_LONGEST = 255
"""UTF-16 units of a name, on NTFS, exFAT and FAT32."""
_WINDOWS_PATH = 200
"""Characters from which on a path is written in its extended form: 260 are the limit of a plain one, 248 that
of a folder, and names of ours stand beside the user's."""
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE)
"""With any suffix, too: "Naming Files, Paths, and Namespaces" of Microsoft's documentation."""


def check(place: Path) -> None:
    """Refuse a name that a new file cannot have in its folder.

    Raises:
        OSError: ENAMETOOLONG, or EINVAL with the reason in words.
    """
    if _is_too_long(place):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    reason = refusal(place.name)
    if reason is not None:
        raise OSError(errno.EINVAL, reason)


def why_windows_refuses(name: str) -> str | None:
    """Why Windows gives no file such a name, or another one than it says; None where it does."""
    if _DEVICE.fullmatch(name):
        return f"Windows keeps the name {name.split('.')[0].strip()} for a device"
    if found := _FORBIDDEN.search(name):
        return f"Windows has no names with {found[0]!r}"
    if name.endswith((".", " ")):
        return "Windows drops a dot or a space at the end of a name"
    return None


def extended(path: str) -> str:
    """A long absolute path of Windows in the form without a limit of 260 characters; a short one as it is."""
    if len(path) < _WINDOWS_PATH or path.startswith("\\\\?\\"):
        return path
    if path.startswith("\\\\"):
        return "\\\\?\\UNC\\" + path[2:]
    return "\\\\?\\" + path


if sys.platform == "win32":

    def refusal(name: str) -> str | None:
        """Why this system gives no file such a name; None where it does."""
        return why_windows_refuses(name)

    def reachable(path: Path) -> Path:
        """A path in the form in which this system finds it, however long it is."""
        whole = str(path.absolute())
        return path if extended(whole) == whole else Path(extended(whole))

    def _is_too_long(place: Path) -> bool:
        return len(place.name.encode("utf-16-le", "surrogatepass")) // 2 > _WINDOWS_LONGEST

else:

    def refusal(name: str) -> str | None:
        """Why this system gives no file such a name; None where it does."""
        return None

    def reachable(path: Path) -> Path:
        """A path in the form in which this system finds it, however long it is."""
        return path

    def _is_too_long(place: Path) -> bool:
        return len(os.fsencode(place.name)) > os.pathconf(place.parent, "PC_NAME_MAX")
