"""What a name may lead to beside files: a pipe that nobody writes to, a device that never ends."""

from __future__ import annotations

import os
from pathlib import Path

SPECIAL = ("pipe", "device")


def make_special(kind: str, folder: Path) -> Path:
    """A pipe, or a link to /dev/zero, in a folder."""
    place = folder / f"special-{kind}.toml"
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to("/dev/zero")
    return place
