"""Reads and writes the journal of a resumable run, and the note about its result.

The files are not trusted: one that differs in any way from what was written counts as missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vsr.reading import read_file
from vsr.system.files import sync, sync_folder
from vsr.writing import move_over, new_file

MOST_BYTES = 1 << 26
"""The largest size that is read. With short segments, a video of a week has 50 MB of hashes."""


@dataclass(slots=True, kw_only=True)
class Journal:
    """The state of a job."""

    key: dict[str, Any]
    facts: dict[str, Any]
    """Decisions made at its start that must not change."""
    segments: dict[int, str] = field(default_factory=dict)
    """Maps the number of each finished segment to the SHA-256 of its file."""
    turn: int = 0
    """How often the journal was written."""


def read_journal(path: Path) -> Journal | None:
    """Read a journal; None if there is none that is complete."""
    return journal_of(_read(path))


def read_table(path: Path) -> dict[str, Any] | None:
    """Read a file that `write_table` wrote; None if there is none that is complete."""
    return table_of(_read(path))


def _read(path: Path) -> bytes:
    """Return the bytes of a file; none if it cannot be read or is too large."""
    try:
        return read_file(path, most_bytes=MOST_BYTES)
    except OSError:
        return b""


def table_of(data: bytes) -> dict[str, Any] | None:
    """Return the table in the bytes of a file; None if it is not complete."""
    try:
        outer = json.loads(data.decode("utf-8"))
        if outer["sha256"] != _digest(outer["journal"]):
            return None
        table = json.loads(outer["journal"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return table if isinstance(table, dict) else None


def journal_of(data: bytes) -> Journal | None:
    """Return the journal in the bytes of a file; None if it is not complete."""
    table = table_of(data)
    if table is None:
        return None
    try:
        segments = {int(number): digest for number, digest in table["segments"].items()}
        journal = Journal(key=table["key"], facts=table["facts"], segments=segments, turn=table["turn"])
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
        return None
    return journal if _is_valid(journal) else None


def _is_valid(journal: Journal) -> bool:
    """Return whether all values have the types of their fields."""
    return (
        isinstance(journal.key, dict)
        and isinstance(journal.facts, dict)
        and type(journal.turn) is int
        and all(number >= 0 and isinstance(digest, str) for number, digest in journal.segments.items())
    )


def write_journal(path: Path, journal: Journal) -> None:
    """Write a journal so that the file at `path` is complete at any time.

    Raises:
        OSError: the disk refuses it.
    """
    body = {
        "key": journal.key,
        "facts": journal.facts,
        "segments": journal.segments,
        "turn": journal.turn,
    }
    write_table(path, body)


def write_table(path: Path, table: Mapping[str, Any]) -> None:
    """Write plain values so that the file at `path` is complete at any time.

    Raises:
        OSError: the disk refuses it.
    """
    text = json.dumps(table, sort_keys=True)
    part = path.with_suffix(".part")
    with new_file(part) as file:
        file.write(json.dumps({"sha256": _digest(text), "journal": text}).encode())
        file.flush()
        sync(file.fileno())
    move_over(part, path)
    sync_folder(path.parent)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
