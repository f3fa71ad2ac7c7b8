"""The bytes of a remote file in blocks: the last ones stay in memory, and the next one is read ahead.

All readers of a file share its blocks, so that the video and the audio of a file, which are read by different
demuxers, cost one transfer where they lie close together.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from vsr.errors import VsrError
from vsr.media.remote.places import Remote, forget, remote_of
from vsr.media.remote.store import Identity, Store, open_store

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

BLOCK = 1 << 22
"""Bytes of a block: large enough that the time to the first byte matters little."""
KEPT_BYTES = 1 << 26
"""Bytes of blocks that are kept in memory, of all files together."""

_kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()
_kept_lock = threading.Lock()
_ids = count()


class Blocks:
    """The blocks of one file."""

    def __init__(self, remote: Remote) -> None:
        """Open the file; see `open_store` for the errors."""
        self._store: Store = open_store(remote)
        self._id = next(_ids)
        self.name, self.size = remote.shown, self._store.size
        self._ahead: dict[int, Future[bytes | None]] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def block(self, number: int, *, then: bool) -> bytes:
        """Return a block.

        Args:
            number: Of the block.
            then: Whether the following block will probably be needed.

        Raises:
            InputError: the store failed, or the file was changed.
        """
        data = _recall((self._id, number)) or self._arrived(number) or self._fetch(number)
        _remember((self._id, number), data)
        if then:
            self._read_ahead(number + 1)
        return data

    def identity(self) -> Identity:
        """Return what the store says of the file now."""
        return self._store.identity()

    def close(self) -> None:
        """Release connections and memory."""
        self._store.stop()
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
        self._store.close()
        with _kept_lock:
            for key in [key for key in _kept if key[0] == self._id]:
                del _kept[key]

    def _fetch(self, number: int) -> bytes:
        return self._store.fetch(number * BLOCK, min(self.size, (number + 1) * BLOCK))

    def _arrived(self, number: int) -> bytes | None:
        with self._lock:
            future = self._ahead.pop(number, None)
        return None if future is None or future.cancelled() else future.result()

    def _read_ahead(self, number: int) -> None:
        if number * BLOCK >= self.size or _recall((self._id, number)) is not None:
            return
        from concurrent.futures import ThreadPoolExecutor

        with self._lock:
            if number not in self._ahead:
                self._pool = self._pool or ThreadPoolExecutor(1, "vsr-read-ahead")
                self._ahead = {number: self._pool.submit(self._tried, number)}

    def _tried(self, number: int) -> bytes | None:
        with suppress(VsrError):  # the reader that needs it tries again, and gets the error
            return self._fetch(number)
        return None


def _recall(key: tuple[int, int]) -> bytes | None:
    with _kept_lock:
        if key in _kept:
            _kept.move_to_end(key)
        return _kept.get(key)


def _remember(key: tuple[int, int], data: bytes) -> None:
    with _kept_lock:
        _kept[key] = data
        _kept.move_to_end(key)
        while len(_kept) > max(2, KEPT_BYTES // BLOCK):
            _kept.popitem(last=False)


_open: dict[Path, Blocks] = {}
_holds: Counter[Path] = Counter()
_open_lock = threading.RLock()


def blocks_of(remote: Remote) -> Blocks:
    """Return the blocks of a file, which stay open until `release` or `close_blocks`."""
    with _open_lock:
        if remote.path not in _open:
            _open[remote.path] = Blocks(remote)
        return _open[remote.path]


def hold(path: Path) -> None:
    """Keep a file open until `release` was called as often; does nothing for a local path."""
    if remote_of(path) is not None:
        with _open_lock:
            _holds[path] += 1


def release(path: Path) -> None:
    """Undo one `hold`. After the last one, the file is closed, and its path stands for nothing any more."""
    if remote_of(path) is None:
        return
    with _open_lock:
        _holds[path] -= 1
        if _holds[path] > 0:
            return
        del _holds[path]
    close_blocks(path)
    forget(path)


def close_blocks(path: str | Path) -> None:
    """Close a file, so that the next reader gets its present version; does nothing for a local path."""
    if remote_of(path) is not None:
        with _open_lock:
            blocks = _open.pop(Path(path), None)
        if blocks is not None:
            blocks.close()
