"""A folder of a store into which complete files are put, and from which other machines fetch them.

An object of a store appears in one step when all its bytes have arrived, so nobody sees a part of a file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from vsr.errors import OutputError
from vsr.media.remote.failures import PATIENT, patiently
from vsr.media.remote.places import Remote
from vsr.media.remote.store import file_system
from vsr.media.remote.traffic import note

T = TypeVar("T")


class StoreFolder:
    """A folder of an object store; all functions may be called from any thread."""

    def __init__(self, remote: Remote) -> None:
        """Nothing is sent yet.

        Args:
            remote: URL of the folder; it need not exist.

        Raises:
            ConfigError: the network is not allowed, or a package is missing.
        """
        self.remote = remote
        self._stopped = threading.Event()
        self._system, self._place = file_system(remote)

    def names(self) -> set[str]:
        """Return the names of the files in it.

        Raises:
            OutputError: the store does not answer.
        """

        def found() -> set[str]:
            self._system.invalidate_cache()
            return {name.rpartition("/")[2] for name in self._system.find(self._place, maxdepth=1)}

        return self._tried(found)

    def read(self, name: str, *, most_bytes: int) -> bytes | None:
        """Return a small file; None if it does not exist, or is larger.

        Raises:
            OutputError: the store does not answer.
        """

        def read() -> bytes | None:
            try:
                if self._system.info(self._at(name))["size"] > most_bytes:
                    return None
                return bytes(self._system.cat_file(self._at(name)))
            except FileNotFoundError:
                return None

        data = self._tried(read)
        note(len(data or b""))
        return data

    def put(self, file: Path, name: str) -> None:
        """Send a file, which replaces an older one of that name.

        Raises:
            OutputError: the store or the network failed, or the file cannot be read.
        """
        size = file.stat().st_size
        self._tried(lambda: self._system.put_file(str(file), self._at(name)))
        note(size)

    def write(self, name: str, data: bytes) -> None:
        """Send a small file, as `put` does."""
        self._tried(lambda: self._system.pipe_file(self._at(name), data))
        note(len(data))

    def fetch(self, name: str, file: Path) -> None:
        """Copy a file to a local path, which must not exist or may be overwritten.

        Raises:
            OutputError: it does not exist, the store or the network failed, or the disk is full.
        """
        self._tried(lambda: self._system.get_file(self._at(name), str(file)))
        note(file.stat().st_size)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there and the store lets us: what remains is not read again."""
        with suppress(Exception):
            patiently(lambda: self._system.rm_file(self._at(name)), name=self.remote.shown)

    def stop(self) -> None:
        """Let calls that wait for another attempt fail soon, and later ones at once."""
        self._stopped.set()

    def _at(self, name: str) -> str:
        return f"{self._place.rstrip('/')}/{name}"

    def _tried(self, call: Callable[[], T]) -> T:
        return patiently(
            call, name=self.remote.shown, pauses=PATIENT, stopped=self._stopped, error=OutputError
        )
