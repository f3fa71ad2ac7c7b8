"""Small results that are kept between runs in the user's cache folder."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

from vsr.system.host import cache_folder
from vsr.writing import move_over, new_file

logger = logging.getLogger(__name__)


def place_of(kind: str, facts: object) -> Path | None:
    """Return the cache file of a result; None if the user has no home folder.

    Args:
        kind: Kind of result, which is the name of a folder.
        facts: All that the result depends on; its `repr` identifies the file.
    """
    try:
        root = cache_folder()
    except RuntimeError:  # there is no home folder
        return None
    return root / "vsr" / kind / hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


def read(place: Path | None) -> bytes | None:
    """Return the content of a cache file; None if it is missing or cannot be read."""
    try:
        return place.read_bytes() if place else None
    except OSError:
        return None


def write(place: Path | None, content: bytes) -> None:
    """Write a cache file, completely or not at all; another process may write the same file at the same time.

    Failures are logged, not raised: the cache is optional.
    """
    if place is None:
        return
    fresh = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with new_file(fresh) as file:
            file.write(content)
        move_over(fresh, place)
    except OSError as error:
        logger.debug("the cache file cannot be written: %s", error)
