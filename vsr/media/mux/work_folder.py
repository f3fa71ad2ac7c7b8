"""The hidden work folder of a resumable run, and its lock.

It holds a lock, the finished segments and the journal. The journal is written anew for each segment, in turn
under two names, each time whole and by renaming: whatever is torn, the other one is at most a segment older.

The folder may stand where others can write, in /tmp for example. So it must be ours and closed to others, and
all files in it are reached through a descriptor of it: whatever is put under its name meanwhile is not used.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vsr.errors import ConfigError, OutputError
from vsr.media.encode.segments import sha256_of
from vsr.media.files.opening import shown
from vsr.media.mux.journal import Journal, read_journal, write_journal
from vsr.writing import temporary_name

_JOURNALS = ("journal-0.json", "journal-1.json")
_LOCK = "lock"
_RESULT = "result.tmp"
_OPEN_TO_OTHERS = stat.S_IWGRP | stat.S_IWOTH

Key = Mapping[str, Any]
"""What decides the result of a job, by name; plain types only."""


class WorkFolder:
    """A job's folder, locked as long as this process holds it."""

    def __init__(self, place: Path) -> None:
        """Make the folder if need be, and lock it.

        Raises:
            OutputError: another process works there, it is somebody else's, or the disk refuses.
        """
        self.path = folder_of(place)
        self._place = place
        self._lock: int | None = None
        self._handle: int | None = None
        try:
            self._handle, self._lock = _entered(self.path)
        except BlockingIOError as error:
            raise OutputError(
                f"{shown(place)}: another vsr is making it; wait for it, or name another output"
            ) from error
        except OSError as error:
            raise OutputError(
                f"{shown(place)}: the folder {shown(self.path.name)} for its parts cannot be used "
                f"({error.strerror}); make room, choose another folder, or use --no-resume"
            ) from error
        self._inside = _through(self._handle, self.path)
        self.journal = Journal(key={}, facts={})

    @property
    def result(self) -> Path:
        """The file that is put together at the end, until it gets its name."""
        return self._inside / _RESULT

    def take_over(self, places: Iterable[Path], key: Key) -> None:
        """Where no job is here, share the finished segments of the same job for another file.

        A film that one container cannot hold is then put into another without being made again. The other job
        keeps what it has.

        Args:
            places: Other outputs, of the same film.
            key: Of the job that is wanted.
        """
        for place in places:
            if self._newest() is None and folder_of(place).is_dir():
                with suppress(OutputError, OSError):  # somebody works there, or the disk has no hard links
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
        """Go on with the job that is here, if it is the same; else there must be none.

        Segments whose file is missing or changed are forgotten, so that they are made again.

        Args:
            key: Of the job that is wanted.
            facts: For a new job; one that is gone on with keeps its own, see `journal`.
            restart: Begin anew, whatever is here.

        Raises:
            ConfigError: a job of another key is here.
            OutputError: the folder cannot be read or cleared.
        """
        kept = None if restart else self._newest()
        if kept is not None and kept.segments and kept.facts.keys() == facts.keys():
            self._check_same(kept.key, dict(key))
            self.journal = kept
            kept.segments = {n: digest for n, digest in kept.segments.items() if self._verifies(n, digest)}
        else:
            self.journal = Journal(key=dict(key), facts=dict(facts))
        try:
            self._sweep(self.journal.segments)
        except OSError as error:
            raise OutputError(
                f"{shown(self._place)}: the folder {shown(self.path.name)} for its parts cannot be cleared "
                f"({error.strerror}); remove it, or use --no-resume"
            ) from error

    def _newest(self) -> Journal | None:
        found = [j for name in _JOURNALS if (j := read_journal(self._inside / name)) is not None]
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
        """Remove what no journal names; the lock stays."""
        keep = {self.segment(number).name for number in good} | {_LOCK}
        keep |= set(_JOURNALS) if good else set()
        for path in self._inside.iterdir():
            if path.name in keep:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def segment(self, number: int) -> Path:
        """Where a segment is, or will be."""
        return self._inside / f"{number:08d}.segment"

    def free_bytes(self) -> int:
        """Room on its disk.

        Raises:
            OSError: nobody knows.
        """
        left = os.statvfs(self._inside)
        return left.f_bavail * left.f_frsize

    def add(self, number: int, digest: str) -> None:
        """Note a segment whose file is safe on the disk; afterwards it is never computed again.

        Raises:
            OSError: the disk is full; the journal before is still there.
        """
        self.journal.segments[number] = digest
        self.journal.turn += 1
        try:
            write_journal(self._inside / _JOURNALS[self.journal.turn % 2], self.journal)
        except OSError:
            del self.journal.segments[number]
            raise

    def leave(self, *, done: bool) -> None:
        """Let go; the folder stays only if it holds something that a later run can go on with.

        The lock goes last: as long as anything is removed, nobody else may begin here.
        """
        if self._lock is None or self._handle is None:
            return
        with suppress(OSError):
            if done or not any(self._inside.glob("*.segment")):
                self._sweep({})
                (self._inside / _LOCK).unlink()
                self.path.rmdir()
        os.close(self._lock)
        os.close(self._handle)
        self._lock = self._handle = None


def folder_of(place: Path) -> Path:
    """The folder of a job; short, for the name of its output may be the longest that there is."""
    name = hashlib.sha256(os.fsencode(place.name)).hexdigest()[:12]
    return place.parent / f".{name}.vsr"


def _entered(path: Path) -> tuple[int, int]:
    """A folder that is ours, made if need be, and its lock, which we hold: descriptors of both.

    Raises:
        BlockingIOError: another process holds it.
        OSError: it is a link or somebody else's, or the disk refuses.
    """
    for _ in range(10):
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
        except FileNotFoundError:  # whoever held it has just removed it
            continue
        try:
            _check_own(path, os.fstat(handle))
            lock = _locked(_through(handle, path) / _LOCK)
        except BaseException:
            os.close(handle)
            raise
        if lock is not None:
            return handle, lock
        os.close(handle)
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def _check_own(path: Path, found: os.stat_result) -> None:
    """A folder planted under the name would give others our files, or lead ours over other files of ours.

    Raises:
        OSError: the folder is somebody else's, or others may write there.
    """
    if found.st_uid == os.geteuid() and not found.st_mode & _OPEN_TO_OTHERS:
        return
    trial = temporary_name(path.parent)  # some disks know no owners and modes: all of them are alike there
    trial.mkdir(mode=0o700)
    usual = trial.stat()
    trial.rmdir()
    if found.st_uid != usual.st_uid:
        raise PermissionError(errno.EACCES, "it is another user's")
    if found.st_mode & _OPEN_TO_OTHERS & ~usual.st_mode:
        raise PermissionError(errno.EACCES, "others may write there")


def _through(handle: int, path: Path) -> Path:
    """A folder by its descriptor, for another may be put under its name; by that where there is no /proc."""
    inside = Path(f"/proc/self/fd/{handle}")
    return inside if inside.is_dir() else path


def _locked(path: Path) -> int | None:
    """Open a file and hold it against other processes; the kernel lets go when this one ends, however.

    Returns:
        Its descriptor; None where it was removed by whom held it before, so that it locks nothing any more.

    Raises:
        BlockingIOError: another process holds it.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o600)
    except FileNotFoundError:  # in a folder that was removed
        return None
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return handle
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), os.stat(path)):  # noqa: PTH116
            return handle
    except FileNotFoundError:
        pass
    except OSError:
        os.close(handle)
        raise
    os.close(handle)
    return None
