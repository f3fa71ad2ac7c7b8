"""The hidden work folder of a resumable run, and its lock.

It contains a lock, the finished segments and the journal. After each segment the complete journal is written
and renamed, alternately under two names. If one copy is torn, the other is at most one segment older.

Before the result gets its name, a note about it is added. If the process is killed before it has removed the
folder, the next run finds out by the note that the result is complete (`pipeline.job.completed`).

The folder may be where other users can write, such as /tmp. Therefore it must belong to this user and be
closed to others, and all files in it are accessed through a descriptor of the folder. A folder that another
user puts under its name meanwhile is not used.

With a folder of a store, the finished segments and the journal are there, too (`stored_parts`), and a run on
another machine gets them from there. A store has no lock. If two runs make the same file, each of them makes
its own segments, and ends with an error if the other one removed some that it needs.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vsr.errors import ConfigError, OutputError
from vsr.media.encode.segments import sha256_of
from vsr.media.files.opening import shown
from vsr.media.mux.resumable.entry import LOCK, entered, folder_of
from vsr.media.mux.resumable.journal import (
    MOST_BYTES,
    Journal,
    read_journal,
    read_table,
    table_of,
    write_journal,
    write_table,
)
from vsr.media.mux.resumable.stored_parts import StoredParts, stored_name
from vsr.media.remote.folder import StoreFolder
from vsr.media.remote.places import Remote
from vsr.system import files, locks

_JOURNALS = ("journal-0.json", "journal-1.json")
_RESULT = "result.tmp"
_NOTE = "finished.json"
_OTHER = {"input": "of another input", "network": "by another model", "weights": "by other weights"}
"""Words for differences whose values are hashes or the settings of a network."""

Key = Mapping[str, Any]
"""Everything that determines the output of a job, by name; plain types only."""


class WorkFolder:
    """The folder of a job, locked while this process uses it."""

    def __init__(self, place: Path, name: str = "", store: StoreFolder | None = None) -> None:
        """Create the folder if necessary, and lock it.

        Args:
            place: Path at which the output is made; the folder lies beside it.
            name: Of the output in messages; that of `place` by default.
            store: A folder of a store that has the finished segments and the journal, too.

        Raises:
            OutputError: another process uses it, it belongs to another user, or the disk refuses.
        """
        self.path = folder_of(place)
        self._name = name or shown(place)
        self._lock: int | None = None
        try:
            self._folder, self._lock = entered(self.path)
        except BlockingIOError as error:
            raise OutputError(
                f"{self._name}: another vsr process is making it; wait for it, or name another output"
            ) from error
        except OSError as error:
            raise OutputError(
                f"{self._name}: the folder {shown(self.path.name)} for its parts cannot be used "
                f"({error.strerror}); make room, choose another folder, or use `resume=False`"
            ) from error
        self._inside = self._folder.inside
        self.journal = Journal(key={}, facts={})
        self._stored = None if store is None else StoredParts(store)

    @property
    def store(self) -> Remote | None:
        """The folder of a store that has the segments, too."""
        return None if self._stored is None else self._stored.folder.remote

    @property
    def result(self) -> Path:
        """Path of the joined output until it gets its name."""
        return self._inside / _RESULT

    @property
    def waiting(self) -> Path:
        """Path of a folder for results of several files until they get their names."""
        return self._inside / "waiting"

    @property
    def has_segments(self) -> bool:
        """Whether a job in this folder can be resumed."""
        return any(self._inside.glob("*.segment"))

    def note(self, facts: Mapping[str, Any]) -> None:
        """Keep what is known of the complete result, in plain types, before it gets its name.

        Raises:
            OSError: the disk refuses it.
            OutputError: the store does not answer.
        """
        path = self._inside / _NOTE
        write_table(path, facts)
        if self._stored is not None:
            self._stored.folder.write(_NOTE, path.read_bytes())

    def noted(self) -> dict[str, Any]:
        """Return what `note` has kept, in this run or an earlier one; empty if nothing.

        Raises:
            OutputError: the store does not answer.
        """
        found = read_table(self._inside / _NOTE)
        if found is None and self._stored is not None:
            found = table_of(self._stored.folder.read(_NOTE, most_bytes=MOST_BYTES) or b"")
        return found or {}

    def take_over(self, places: Iterable[Path], key: Key) -> None:
        """If there is no job in this folder, share the finished segments of the same job for another output.

        A video that one container does not support can so be written to another container without being
        upscaled again. The other job keeps its segments.

        Args:
            places: Paths of other outputs of the same video.
            key: Key of the wanted job.
        """
        for place in places:
            if self._newest() is None and folder_of(place).is_dir():
                with suppress(OutputError, OSError):  # another process uses it, or hard links fail
                    self._share(WorkFolder(place), key)

    def _share(self, other: WorkFolder, key: Key) -> None:
        try:
            kept = other._newest()
            if kept is None or kept.key != dict(key):
                return
            for number in kept.segments:
                self.segment(number).unlink(missing_ok=True)
                os.link(other.segment(number), self.segment(number))
            write_journal(self._inside / _JOURNALS[kept.turn % 2], kept)
        finally:
            other.leave(done=False)

    def begin(self, key: Key, facts: Mapping[str, Any], *, restart: bool) -> None:
        """Resume the job in this folder, or start a new one.

        Segments whose file is missing or changed are removed from the journal, so that they are made again.
        Those that only the store has are fetched meanwhile; `wait` must precede their use.

        Args:
            key: Key of the wanted job.
            facts: For a new job; a resumed job keeps its own, see `journal`.
            restart: Start again, whatever the folder contains.

        Raises:
            ConfigError: the folder contains a job with another key.
            OutputError: the folder cannot be read or cleared, or the store does not answer.
        """
        kept = self.check(key, facts, restart=restart)
        if kept is not None:
            self.journal = kept
            here = {n for n, digest in kept.segments.items() if self._verifies(n, digest)}
            kept.segments = {n: d for n, d in kept.segments.items() if n in here or self._is_stored(n, d)}
        else:
            here, self.journal = set(), Journal(key=dict(key), facts=dict(facts))
        try:
            self._sweep(self.journal.segments)
        except OSError as error:
            raise OutputError(
                f"{self._name}: the folder {shown(self.path.name)} for its parts cannot be cleared "
                f"({error.strerror}); remove it, or use `resume=False`"
            ) from error
        if self._stored is not None:
            self._stored.sweep(self.journal.segments)
            for number, digest in self.journal.segments.items():
                if number not in here:
                    self.fetch(number, digest)
                elif not self._is_stored(number, digest):
                    self._write((self.segment(number), stored_name(number, digest)))

    def check(self, key: Key, facts: Mapping[str, Any], *, restart: bool) -> Journal | None:
        """Return the journal of the job that `begin` would resume, None for a new one; nothing is changed.

        Args:
            key: As for `begin`.
            facts: As for `begin`.
            restart: As for `begin`.

        Raises:
            ConfigError: the folder contains a job with another key.
            OutputError: the store does not answer.
        """
        stored = None if self._stored is None else self._stored.journal()
        kept = None if restart else _newest(stored, self._newest())
        if kept is None or not kept.segments or kept.facts.keys() != facts.keys():
            return None
        self._check_same(kept.key, dict(key))
        return kept

    def fetch(self, number: int, digest: str) -> None:
        """Begin to copy a segment from the store into this folder, without waiting for it."""
        assert self._stored is not None
        self._stored.fetch(number, digest, self.segment(number))

    def wait(self, number: int) -> None:
        """Wait for a segment that `begin` or `fetch` copies.

        Raises:
            OutputError: the store does not have it as it was made, or the disk is full.
        """
        if self._stored is not None:
            self._stored.wait(number)

    def is_here(self, number: int) -> bool:
        """Return whether `wait` would not have to wait for a segment."""
        return self._stored is None or self._stored.has_arrived(number)

    def _is_stored(self, number: int, digest: str) -> bool:
        return self._stored is not None and self._stored.has(number, digest)

    def _newest(self) -> Journal | None:
        return _newest(*(read_journal(self._inside / name) for name in _JOURNALS))

    def _check_same(self, kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        different = [name for name in (*wanted, *kept) if kept.get(name) != wanted.get(name)]
        if different:
            name = min(different, key=lambda name: name in ("network", "weights"))  # other facts say more
            facts = _OTHER.get(name) or f"with {name} {kept.get(name)}, not {wanted.get(name)}"
            raise ConfigError(
                f"{self._name}: an unfinished job is kept here, {facts}; "
                "repeat that run as it was, or start again with `restart=True`"
            )

    def _verifies(self, number: int, digest: str) -> bool:
        try:
            return sha256_of(self.segment(number)) == digest
        except OSError:
            return False

    def _sweep(self, good: Mapping[int, str], *, keep_note: bool = False) -> None:
        """Remove files that no journal names, the note as the last one; the lock stays."""
        keep = {self.segment(number).name for number in good} | {LOCK}
        keep |= set(_JOURNALS) if good else set()
        keep |= {_NOTE} if keep_note else set()
        for path in sorted(self._inside.iterdir(), key=lambda path: path.name == _NOTE):
            if path.name in keep:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def segment(self, number: int) -> Path:
        """Return the path of a segment."""
        return self._inside / f"{number:08d}.segment"

    def free_bytes(self) -> int:
        """Return the free space on its disk in bytes.

        Raises:
            OSError: the free space is unknown.
        """
        return files.free_bytes(self._inside)

    def add(self, number: int, digest: str, *, is_stored: bool = False) -> None:
        """Record a segment whose file is stored on the disk; from then on it is never computed again.

        Args:
            number: Of the segment.
            digest: SHA-256 of its file.
            is_stored: Whether the store has it already.

        Raises:
            OSError: the disk is full; the previous journal is still there.
            OutputError: the store failed.
        """
        self.journal.segments[number] = digest
        try:
            self._write(None if is_stored else (self.segment(number), stored_name(number, digest)))
        except OSError:
            del self.journal.segments[number]
            raise

    def forget(self, number: int) -> None:
        """Remove a segment from the journal, so that it is computed again.

        Raises:
            OSError: the disk is full.
            OutputError: the store failed.
        """
        with suppress(OutputError):
            self.wait(number)  # else the old one could still come after the new one
        del self.journal.segments[number]
        self._write()

    def _write(self, new: tuple[Path, str] | None = None) -> None:
        """Write the journal, here and into the store, to which a new segment goes first."""
        self.journal.turn += 1
        path = self._inside / _JOURNALS[self.journal.turn % 2]
        write_journal(path, self.journal)
        if self._stored is not None:
            self._stored.keep(path, new)

    def settle(self) -> None:
        """Wait until the store has all that was recorded.

        Raises:
            OutputError: the store failed.
        """
        if self._stored is not None:
            self._stored.settle()

    def leave(self, *, done: bool, keep_note: bool = False) -> None:
        """Release the folder; it stays only if it contains segments from which a later run can resume.

        The lock is removed last, so that no other process can start here while files are removed.

        Args:
            done: Whether the result is complete, so that segments are removed.
            keep_note: Whether the folder also stays if it has a note, because the result is a step to others.
        """
        if self._lock is None:
            return
        lock, self._lock = self._lock, None
        if self._stored is not None:
            self._stored.close(done=done)
        keeps = keep_note and read_table(self._inside / _NOTE) is not None
        if done and keeps:
            with suppress(OSError):
                self._sweep({}, keep_note=True)
        if keeps or (not done and self.has_segments):
            os.close(lock)
        else:
            self._remove(lock)
        self._folder.close()

    def _remove(self, lock: int) -> None:
        try:
            self._sweep({})
        except OSError:
            os.close(lock)
            return
        with suppress(OSError):  # another process has it by now
            locks.remove(lock, self._inside / LOCK)
            self.path.rmdir()


def _newest(*journals: Journal | None) -> Journal | None:
    """Return the journal that was written last; of equal ones the first."""
    found = (journal for journal in journals if journal is not None)
    return max(found, key=lambda journal: journal.turn, default=None)


def has_note(place: Path) -> bool:
    """Return whether the work folder of a result has a note about it, see `WorkFolder.note`."""
    return (folder_of(place) / _NOTE).is_file()


def remove_finished(place: Path) -> None:
    """Remove the folder of a job whose result has its name, because the run was ended before it could.

    Args:
        place: Path of the result.
    """
    if folder_of(place).is_dir():
        with suppress(OutputError, OSError):  # another process uses it
            WorkFolder(place).leave(done=True)
