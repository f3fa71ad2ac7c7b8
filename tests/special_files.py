"""Special files to which a name can lead: a pipe without a writer, a device without an end."""

from __future__ import annotations

import os
from pathlib import Path

SPECIAL = ("pipe", "device")


def make_special(kind: str, folder: Path) -> Path:
    """Create a pipe, or a link to /dev/zero, in a folder."""
    place = folder / f"special-{kind}.toml"
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to("/dev/zero")
    return place
