"""Identifies the content of a result: a file by one fingerprint, numbered pictures by one of each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from vsr.errors import VsrError
from vsr.media.files.output_path import is_taken
from vsr.media.pictures.sequence import is_pattern, number_in, numbered, numbers_in
from vsr.media.remote.blocks import close_blocks
from vsr.media.remote.places import remote_of
from vsr.media.remote.reader import size_of
from vsr.pipeline.inputfile import fingerprint

_CLOCK_NS = 2 * 10**9
"""Nanoseconds by which the clock of a file system may be late."""


def exists(target: Path) -> bool:
    """Return whether something has the name of a result, or of one of its numbered pictures.

    Raises:
        ConfigError: the network is not allowed, or a package is missing.
        OutputError: a store does not answer.
    """
    return bool(numbers_in(target)) if is_pattern(target) else is_taken(target)


def facts_of(target: Path, pictures: Sequence[Path] = ()) -> dict[str, Any]:
    """Return what identifies the current content of a result, for its entry in the record.

    Args:
        target: Path of the result, or the pattern of numbered pictures.
        pictures: The numbered pictures, in order.

    Raises:
        OSError: a local file cannot be read.
        VsrError: a remote one cannot be read.
    """
    if pictures:
        sizes = sum(path.stat().st_size for path in pictures)
        prints = [fingerprint(path) for path in pictures]
        return {
            "result": prints[0],
            "bytes": sizes,
            "first": number_in(pictures[0], target),
            "prints": prints,
        }
    close_blocks(target)
    try:
        return {"result": fingerprint(target), "bytes": size_of(target)}
    finally:
        close_blocks(target)


def is_result(target: Path, entry: Mapping[str, Any]) -> bool:
    """Return whether a file, or a set of numbered pictures, is the result that an entry describes.

    If the process was killed after the result got its name and before that was recorded, the entry only
    contains the time of the start. A result gets its name when it is complete and checked, so a file that is
    newer than the start is the result. Numbered pictures get their names one after the other, so that proves
    nothing about them.

    Raises:
        OSError: a local file cannot be read.
        VsrError: a remote one cannot be read.
    """
    if is_pattern(target):
        first, prints = entry.get("first"), entry.get("prints")
        if not isinstance(first, int) or not isinstance(prints, list):
            return False
        return all(fingerprint(numbered(target, number)) == each for number, each in enumerate(prints, first))
    if "result" not in entry:
        is_local = remote_of(target) is None  # the clock of a store is not this machine's
        return is_local and bool(target.stat().st_mtime_ns >= entry["started"] - _CLOCK_NS)
    return facts_of(target) == {"result": entry["result"], "bytes": entry["bytes"]}


def is_one_of(path: Path, entry: Mapping[str, Any]) -> bool:
    """Return whether a file is one of the numbered pictures that an entry describes.

    Raises:
        OSError: the file cannot be read.
    """
    pattern = path.with_name(str(entry["name"]))
    number = number_in(path, pattern)
    first, prints = entry.get("first"), entry.get("prints")
    if number is None or not isinstance(first, int) or not isinstance(prints, list):
        return False
    return 0 <= number - first < len(prints) and bool(prints[number - first] == fingerprint(path))


def is_there(target: Path) -> bool:
    """Return whether a local result, or the first of its pictures, exists; errors of the disk count as no."""
    with suppress(OSError, VsrError):
        return os.path.lexists(target) or exists(target)
    return False
