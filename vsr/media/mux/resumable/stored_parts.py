"""Keeps the finished segments and the journal of a job in a store, where workers and later runs find them.

An object has a hash of its content in its name, so the same segment made twice is one object, and a journal
never names a segment that another process has replaced. Uploads and downloads run on threads beside the work.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from vsr.errors import OutputError
from vsr.media.encode.segments import sha256_of
from vsr.media.mux.resumable.journal import MOST_BYTES, Journal, journal_of
from vsr.media.remote.folder import StoreFolder
from vsr.writing import move_over

logger = logging.getLogger(__name__)

JOURNAL = "journal.json"
_AT_ONCE = 4
"""Segments that are fetched at the same time."""
_SECONDS_AT_END = 5.0
"""How long the end of an unfinished job waits for what is being sent."""


def stored_name(number: int, digest: str) -> str:
    """Return the name of a segment's object.

    Args:
        number: Of the segment.
        digest: SHA-256 of its file.
    """
    return f"{number:08d}.{digest[:16]}.segment"


class StoredParts:
    """The segments and the journal of one job in a folder of a store."""

    def __init__(self, folder: StoreFolder) -> None:
        """Nothing is sent or fetched yet."""
        self.folder = folder
        self._names: set[str] = set()
        self._sending = ThreadPoolExecutor(1, "vsr-send")
        self._fetching = ThreadPoolExecutor(_AT_ONCE, "vsr-fetch")
        self._sent: Future[None] | None = None
        self._fetched: dict[int, Future[None]] = {}

    def journal(self) -> Journal | None:
        """Look what the store has; returns its journal, or None if there is none that is complete.

        Raises:
            OutputError: the store does not answer.
        """
        self._names = self.folder.names()
        data = self.folder.read(JOURNAL, most_bytes=MOST_BYTES) if JOURNAL in self._names else None
        return None if data is None else journal_of(data)

    def has(self, number: int, digest: str) -> bool:
        """Return whether the store had a segment when `journal` was called."""
        return stored_name(number, digest) in self._names

    def sweep(self, good: dict[int, str]) -> None:
        """Remove what the store had when `journal` was called, except these segments and their journal."""
        keep = {stored_name(number, digest) for number, digest in good.items()}
        gone = self._names - keep - ({JOURNAL} if good else set())
        for name in sorted(gone, key=lambda name: not name.endswith(".segment")):  # others say what they are
            self.folder.remove(name)

    def keep(self, journal: Path, segment: tuple[Path, str] | None = None) -> None:
        """Send the journal; before it a segment of this process, with the name of its object.

        It returns before they are sent, but not before those of the call before are.

        Raises:
            OutputError: those of the call before could not be sent.
        """
        self.settle()
        data = journal.read_bytes()
        self._sent = self._sending.submit(self._send, data, segment)

    def settle(self) -> None:
        """Wait for what `keep` sends.

        Raises:
            OutputError: it could not be sent.
        """
        sent, self._sent = self._sent, None
        if sent is not None:
            sent.result()

    def fetch(self, number: int, digest: str, place: Path) -> None:
        """Begin to copy a segment from the store to a local path; `wait` must follow before it is read."""
        self._fetched[number] = self._fetching.submit(self._arrive, number, digest, place)

    def has_arrived(self, number: int) -> bool:
        """Return whether nothing of a segment is still being fetched."""
        return number not in self._fetched or self._fetched[number].done()

    def wait(self, number: int) -> None:
        """Wait for a segment, if it is being fetched.

        Raises:
            OutputError: it is not in the store as it was made, or the disk is full.
        """
        if number in self._fetched:
            self._fetched[number].result()

    def close(self, *, done: bool) -> None:
        """End all transfers; if the job is done, remove its objects. What remains after an error is reported
        in the log only, because a result is complete without it.
        """
        if not done:
            if self._sent is not None:
                wait([self._sent], _SECONDS_AT_END)
            self.folder.stop()
        self._fetching.shutdown(wait=True, cancel_futures=True)
        self._sending.shutdown(wait=True)
        if not done:
            return
        try:
            self._names = self.folder.names()
        except OutputError as error:
            logger.warning("%s; finished parts may remain there", error)
        self.sweep({})

    def _send(self, journal: bytes, segment: tuple[Path, str] | None) -> None:
        if segment is not None:
            self.folder.put(*segment)
        self.folder.write(JOURNAL, journal)

    def _arrive(self, number: int, digest: str, place: Path) -> None:
        arriving = place.with_suffix(".arriving")
        name = stored_name(number, digest)
        try:
            for _ in range(2):
                self.folder.fetch(name, arriving)
                if sha256_of(arriving) == digest:
                    move_over(arriving, place)
                    return
        finally:
            arriving.unlink(missing_ok=True)
        self.folder.remove(name)
        raise OutputError(
            f"{self.folder.remote.shown}: the finished part {name} has other bytes than when it was made; "
            "run it again to make it again"
        )
