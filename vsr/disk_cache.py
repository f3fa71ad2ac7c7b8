"""Results that are kept between runs, in files of the user's cache."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

from vsr.system.host import cache_folder
from vsr.writing import move_over, new_file

logger = logging.getLogger(__name__)


def place_of(kind: str, facts: object) -> Path | None:
    """The file for what depends on `facts`, by their representation; None where there is no home.

    Args:
        kind: Name of a folder.
    """
    try:
        root = cache_folder()
    except RuntimeError:  # no home
        return None
    return root / "vsr" / kind / hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


def read(place: Path | None) -> bytes | None:
    """What is kept there; None where nothing is, or it cannot be read."""
    try:
        return place.read_bytes() if place else None
    except OSError:
        return None


def write(place: Path | None, content: bytes) -> None:
    """Keep it, whole or not at all; another run may be writing the same."""
    if place is None:
        return
    fresh = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with new_file(fresh) as file:
            file.write(content)
        move_over(fresh, place)
    except OSError as error:
        logger.debug("not kept in the cache: %s", error)
