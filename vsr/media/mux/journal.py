"""The journal of a resumable run, in two copies.

It is read as a stranger's: whatever is not as it was written counts as no journal.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vsr.writing import move_over, new_file, sync_folder

_MAX_BYTES = 1 << 26
"""A part of a second each of a film of a week has 50 MB of hashes."""


@dataclass(slots=True, kw_only=True)
class Journal:
    """What is known of a job."""

    key: dict[str, Any]
    facts: dict[str, Any]
    """What was decided at its start and has to stay so."""
    segments: dict[int, str] = field(default_factory=dict)
    """Number of each finished segment to the sha256 of its file."""
    turn: int = 0
    """Times that the journal was written."""


def read_journal(path: Path) -> Journal | None:
    """A journal, or None where there is none that is whole."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        outer = json.loads(path.read_text(encoding="utf-8"))
        if outer["sha256"] != _digest(outer["journal"]):
            return None
        table = json.loads(outer["journal"])
        segments = {int(number): digest for number, digest in table["segments"].items()}
        journal = Journal(key=table["key"], facts=table["facts"], segments=segments, turn=table["turn"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError):
        return None
    return journal if _is_sound(journal) else None


def _is_sound(journal: Journal) -> bool:
    """Whether all is of the type that the fields say."""
    return (
        isinstance(journal.key, dict)
        and isinstance(journal.facts, dict)
        and type(journal.turn) is int
        and all(number >= 0 and isinstance(digest, str) for number, digest in journal.segments.items())
    )


def write_journal(path: Path, journal: Journal) -> None:
    """Write a journal, so that `path` is whole at any time.

    Raises:
        OSError: the disk does not take it.
    """
    body = {
        "key": journal.key,
        "facts": journal.facts,
        "segments": journal.segments,
        "turn": journal.turn,
    }
    text = json.dumps(body, sort_keys=True)
    part = path.with_suffix(".part")
    with new_file(part) as file:
        file.write(json.dumps({"sha256": _digest(text), "journal": text}).encode())
        file.flush()
        os.fsync(file.fileno())
    move_over(part, path)
    sync_folder(path.parent)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
