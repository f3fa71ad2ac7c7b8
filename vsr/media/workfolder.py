"""The hidden folder beside an output in which a long job is kept, so that the same command goes on with it.

It holds a lock, the finished segments and the journal. The journal is written anew for each segment, in turn
under two names, each time whole and by renaming: whatever is torn, the other one is at most a segment older.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vsr.errors import ConfigError, OutputError
from vsr.media.opening import shown
from vsr.media.segments import sha256_of
from vsr.media.target import sync

_JOURNALS = ("journal-0.json", "journal-1.json")
_LOCK = "lock"
RESULT = "result.tmp"
"""The file that is put together at the end, until it gets its name."""

Key = Mapping[str, Any]
"""What decides the result of a job, by name; plain types only."""


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


class WorkFolder:
    """A job's folder, locked as long as this process holds it."""

    def __init__(self, place: Path) -> None:
        """Make the folder if need be, and lock it.

        Raises:
            OutputError: another process works there, or the disk refuses.
        """
        name = hashlib.sha256(os.fsencode(place.name)).hexdigest()[
            :12
        ]  # short: the target's may be the longest
        self.path = place.parent / f".{name}.vsr"
        self._place = place
        self._lock: int | None = None
        try:
            self.path.mkdir(mode=0o700, exist_ok=True)
            self._check_own()
            self._lock = _locked(self.path / _LOCK)
        except BlockingIOError as error:
            raise OutputError(
                f"{shown(place)}: another vsr is making it; wait for it, or name another output"
            ) from error
        except OSError as error:
            raise OutputError(
                f"{shown(place)}: the folder {shown(self.path.name)} for its parts cannot be used "
                f"({error.strerror}); make room, choose another folder, or use --no-resume"
            ) from error
        self.journal = Journal(key={}, facts={})

    def _check_own(self) -> None:
        """A link planted under the name would lead our files elsewhere."""
        mode = self.path.lstat().st_mode
        if not stat.S_ISDIR(mode):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))

    def begin(self, key: Key, facts: Mapping[str, Any], *, restart: bool) -> None:
        """Go on with the job that is here, if it is the same; else there must be none.

        Segments whose file is missing or changed are forgotten, so that they are made again.

        Args:
            key: Of the job that is wanted.
            facts: For a new job; one that is gone on with keeps its own, see `journal`.
            restart: Begin anew, whatever is here.

        Raises:
            ConfigError: a job of another key is here.
        """
        kept = None if restart else self._newest()
        if kept is not None and kept.segments:
            self._check_same(kept.key, dict(key))
            self.journal = kept
            good = {n: digest for n, digest in kept.segments.items() if self._verifies(n, digest)}
            self.journal.segments = good
            self._sweep(good)
            return
        self._sweep({})
        self.journal = Journal(key=dict(key), facts=dict(facts))

    def _newest(self) -> Journal | None:
        found = [journal for name in _JOURNALS if (journal := _read(self.path / name)) is not None]
        return max(found, key=lambda journal: journal.turn, default=None)

    def _check_same(self, kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        different = [name for name in (*wanted, *kept) if kept.get(name) != wanted.get(name)]
        if different:
            name = different[0]
            raise ConfigError(
                f"{shown(self._place)}: a job that was cut off is kept here, with {name} {kept.get(name)}, "
                f"not {wanted.get(name)}; repeat its command, or begin anew with --restart"
            )

    def _verifies(self, number: int, digest: str) -> bool:
        try:
            return sha256_of(self.segment(number)) == digest
        except OSError:
            return False

    def _sweep(self, good: Mapping[int, str]) -> None:
        """Remove what no journal names."""
        keep = {self.segment(number) for number in good} | {self.path / _LOCK}
        keep |= {self.path / name for name in _JOURNALS} if good else set()
        for path in self.path.iterdir():
            if path not in keep:
                path.unlink()

    def segment(self, number: int) -> Path:
        """Where a segment is, or will be."""
        return self.path / f"{number:08d}.segment"

    def add(self, number: int, digest: str) -> None:
        """Note a segment whose file is safe on the disk; afterwards it is never computed again.

        Raises:
            OSError: the disk is full; the journal before is still there.
        """
        self.journal.segments[number] = digest
        self.journal.turn += 1
        path = self.path / _JOURNALS[self.journal.turn % 2]
        part = path.with_suffix(".part")
        body = {
            "key": self.journal.key,
            "facts": self.journal.facts,
            "segments": self.journal.segments,
            "turn": self.journal.turn,
        }
        text = json.dumps(body, sort_keys=True)
        try:
            part.write_text(json.dumps({"sha256": _digest(text), "journal": text}), encoding="utf-8")
            sync(part)
            part.replace(path)
            sync(self.path)
        except OSError:
            del self.journal.segments[number]
            raise

    def leave(self, *, done: bool) -> None:
        """Let go; the folder stays only if it holds something that a later run can go on with."""
        if self._lock is None:
            return
        if done or not any(self.path.glob("*.segment")):
            with suppress(OSError):
                shutil.rmtree(self.path)
        os.close(self._lock)
        self._lock = None


def _read(path: Path) -> Journal | None:
    """A journal, or None where there is none that is whole."""
    try:
        outer = json.loads(path.read_text(encoding="utf-8"))
        if outer["sha256"] != _digest(outer["journal"]):
            return None
        table = json.loads(outer["journal"])
        segments = {int(number): str(digest) for number, digest in table["segments"].items()}
        return Journal(key=table["key"], facts=table["facts"], segments=segments, turn=int(table["turn"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _locked(path: Path) -> int:
    """Open a file and hold it against other processes; the kernel lets go when this one ends, however."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return handle
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle
