"""SHA-256 of whole files for a report.

A source is hashed on a thread of its own while the work goes on, a result once after it is complete. What
goes through a pipe is hashed as it passes (`media/files/stdio.py`).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from vsr.errors import VsrError
from vsr.media.files.stdio import is_pipe, standard_input
from vsr.media.mux.pipe_sink import PipeSink
from vsr.media.remote.blocks import close_blocks
from vsr.media.remote.places import is_nameless, name_of, remote_of
from vsr.media.remote.reader import open_bytes, size_of
from vsr.pipeline.job.resume import Sink

Sha256 = Callable[[], str | None]
"""Gives a hash in hexadecimal digits when it is known; None if there is none."""
FileSha256 = Callable[[Path], str | None]
"""Gives the hash of a file."""
_BLOCK = 1 << 20


class FileDigest:
    """The SHA-256 of a file, which a thread computes; hashlib releases the GIL for each block."""

    def __init__(self, path: Path) -> None:
        """Start to read the file."""
        self._path, self._stopped = path, threading.Event()
        self._found: str | None = None
        self._thread = threading.Thread(target=self._read, name="vsr-sha256", daemon=True)
        self._thread.start()

    def __call__(self) -> str | None:
        """Wait for the digest in hexadecimal digits; None if the file cannot be read."""
        self._thread.join()
        return self._found

    def stop(self) -> None:
        """Give up what is unfinished."""
        self._stopped.set()
        self._thread.join()

    def _read(self) -> None:
        self._found = sha256_of(self._path, self._stopped.is_set)


def sha256_of(path: Path, stopped: Callable[[], bool] = lambda: False) -> str | None:
    """Return the SHA-256 of a file in hexadecimal digits; None if it cannot be read, or was stopped."""
    digest = hashlib.sha256()
    try:
        with open_bytes(path) as file:
            while block := file.read(_BLOCK):
                if stopped():
                    return None
                digest.update(block)
    except (OSError, VsrError):
        return None
    return digest.hexdigest()


def _size(path: Path) -> int | None:
    """Return the size of a source that was read."""
    with suppress(VsrError):
        return size_of(path)
    return None


def no_sha256(*_: Path) -> str | None:
    """Stand in for a hash that is not asked for."""
    return None


@contextmanager
def digest_of_source(source: Path, *, wanted: bool) -> Generator[Sha256, None, None]:
    """Hash the input beside the work in the block; yield a function that waits for the hash.

    Args:
        source: A file, or a pipe that is not yet opened for the last time.
        wanted: Whether to do so at all.
    """
    if not wanted:
        yield no_sha256
    elif is_pipe(source):
        pipe, digest = standard_input(), hashlib.sha256()
        pipe.keep_digest(digest)
        yield lambda: digest.hexdigest() if pipe.ended else None
    else:
        beside = FileDigest(source)
        try:
            yield beside
        finally:
            beside.stop()


def digest_of_target(target: Path, sink: Sink) -> FileSha256:
    """Return a function that gives the hash of the complete result, whatever name it has then; call it before
    the first frame."""
    if isinstance(sink, PipeSink):
        digest = hashlib.sha256()
        sink.keep_digest(digest)
        return lambda _: digest.hexdigest()
    return no_sha256 if is_nameless(target) else _sha256_of_result


def _sha256_of_result(target: Path) -> str | None:
    """Return the hash of a file that has just been written, or was uploaded and is read back."""
    close_blocks(target)
    try:
        return sha256_of(target)
    finally:
        close_blocks(target)


def file_facts(path: Path, sha256: str | None, *, pipe_bytes: int = 0) -> dict[str, Any]:
    """Return the absolute path, size in bytes, time of modification and SHA-256 of a file.

    Args:
        path: The file; `-` is a pipe.
        sha256: Its hash, if it was computed.
        pipe_bytes: The number of bytes that went through a pipe, or were uploaded.
    """
    if is_pipe(path):
        return {"path": str(path), "bytes": pipe_bytes, "modified": None, "sha256": sha256}
    if remote_of(path) is not None:
        return {"path": name_of(path), "bytes": pipe_bytes or _size(path), "modified": None, "sha256": sha256}
    size, modified = None, None
    try:
        found = path.stat()
        size, modified = found.st_size, datetime.fromtimestamp(found.st_mtime).astimezone().isoformat()
    except (OSError, OverflowError, ValueError):  # it is gone, or its time is beyond the calendar
        pass
    return {"path": str(path.absolute()), "bytes": size, "modified": modified, "sha256": sha256}
