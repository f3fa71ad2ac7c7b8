"""Checks names of new files: length, characters and reserved names; and extends long paths on Windows."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path

_WINDOWS_LONGEST = 255
"""Largest number of UTF-16 code units in a name, on NTFS, exFAT and FAT32."""
_WINDOWS_PATH = 200
"""Paths of this many characters or more get the extended form. Without it a path may have 260 characters, and
a folder 248; temporary names beside the user's file are longer than its own."""
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE)
"""Reserved names, also with a suffix: "Naming Files, Paths, and Namespaces" in Microsoft's documentation."""


def check(place: Path) -> None:
    """Check that the system allows a new file with this name in its folder.

    Raises:
        OSError: ENAMETOOLONG, or EINVAL with a sentence that gives the reason.
    """
    if _is_too_long(place):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    reason = refusal(place.name)
    if reason is not None:
        raise OSError(errno.EINVAL, reason)


def why_windows_refuses(name: str) -> str | None:
    """Return why Windows does not allow a name, or changes it, as a sentence; None if it allows it."""
    if _DEVICE.fullmatch(name):
        return f"Windows reserves the name {name.split('.')[0].strip()} for a device"
    if found := _FORBIDDEN.search(name):
        return f"Windows allows no {found[0]!r} in a name"
    if name.endswith((".", " ")):
        return "Windows removes a dot or a space at the end of a name"
    return None


def extended(path: str) -> str:
    """Return a long absolute Windows path with the prefix that lifts the limit of 260 characters, and a short
    one unchanged.
    """
    if len(path) < _WINDOWS_PATH or path.startswith("\\\\?\\"):
        return path
    if path.startswith("\\\\"):
        return "\\\\?\\UNC\\" + path[2:]
    return "\\\\?\\" + path


if sys.platform == "win32":

    def refusal(name: str) -> str | None:
        """Return why this system does not allow a name, as a sentence; None if it allows it."""
        return why_windows_refuses(name)

    def reachable(path: Path) -> Path:
        """Return a path that this system can open, however long it is."""
        whole = str(path.absolute())
        return path if extended(whole) == whole else Path(extended(whole))

    def _is_too_long(place: Path) -> bool:
        return len(place.name.encode("utf-16-le", "surrogatepass")) // 2 > _WINDOWS_LONGEST

else:

    def refusal(name: str) -> str | None:
        """Return why this system does not allow a name, as a sentence; None if it allows it."""
        return None

    def reachable(path: Path) -> Path:
        """Return a path that this system can open, however long it is."""
        return path

    def _is_too_long(place: Path) -> bool:
        return len(os.fsencode(place.name)) > os.pathconf(place.parent, "PC_NAME_MAX")
