"""Tar files that are unpacked into temporary folders, of which the least recently used are removed."""

from __future__ import annotations

import shutil
import tarfile
import threading
import weakref
import zlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from vsr.errors import InputError, OutputError
from vsr.media.files.opening import shown
from vsr.media.remote.blocks import close_blocks
from vsr.media.remote.reader import open_bytes
from vsr.system.scratch import new_scratch_folder
from vsr.training.data.image_folder import SOURCES
from vsr.training.data.images import SUFFIXES

T = TypeVar("T")


class UnpackedShards(Generic[T]):
    """Unpacks shards when they are first used, or prepared; thread-safe."""

    def __init__(self, open_folder: Callable[[Path], T], *, kept: int) -> None:
        """Unpack nothing yet.

        Args:
            open_folder: Makes what is used of the folder of an unpacked shard.
            kept: Number of shards that stay on the disk, besides those in use.
        """
        self._open, self._kept = open_folder, kept
        self._lock = threading.Lock()
        self._held: OrderedDict[Path, Future[tuple[Path, T]]] = OrderedDict()
        self._users: Counter[Path] = Counter()
        self._top: Path | None = None
        self._made = 0
        self._pool: ThreadPoolExecutor | None = None

    @contextmanager
    def use(self, shard: Path) -> Generator[T, None, None]:
        """Yield what `open_folder` made of a shard, which stays on the disk inside the block.

        Raises:
            InputError: The shard cannot be read, or has no images.
            OutputError: The disk is full.
        """
        with self._lock:
            future = self._submitted(shard)
            self._users[shard] += 1
        try:
            yield future.result()[1]
        finally:
            with self._lock:
                self._users[shard] -= 1
                self._remove_unused()

    def prepare(self, shard: Path) -> None:
        """Start to unpack a shard that will soon be used."""
        with self._lock:
            self._submitted(shard)

    def _submitted(self, shard: Path) -> Future[tuple[Path, T]]:
        if shard not in self._held:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(2, "shards")
            self._made += 1
            folder = self._folder() / f"{self._made:06d}-{shard.name}"
            self._held[shard] = self._pool.submit(_unpacked, shard, folder, self._open)
        self._held.move_to_end(shard)
        return self._held[shard]

    def _folder(self) -> Path:
        if self._top is None:
            self._top = new_scratch_folder("vsr-shards-")
            weakref.finalize(self, shutil.rmtree, self._top, ignore_errors=True)
        return self._top

    def _remove_unused(self) -> None:
        """Remove the least recently used shards beyond those that are kept."""
        free = [shard for shard, future in self._held.items() if future.done() and not self._users[shard]]
        for shard in free[: max(0, len(self._held) - self._kept)]:
            future = self._held.pop(shard)
            if future.exception() is None:
                shutil.rmtree(future.result()[0], ignore_errors=True)


def _unpacked(shard: Path, folder: Path, open_folder: Callable[[Path], T]) -> tuple[Path, T]:
    unpack(shard, folder)
    try:
        return folder, open_folder(folder)
    except InputError as error:
        raise InputError(f"{shown(shard)}: {error}") from error


def unpack(shard: Path, folder: Path) -> None:
    """Write the images of a tar file, and its table of sources, into a new folder, all on one level.

    Args:
        shard: A local path, or one that stands for a URL.
        folder: Is created.

    Raises:
        InputError: The tar file is damaged or cannot be read.
        OutputError: The folder cannot be written.
    """
    folder.mkdir()
    try:
        with open_bytes(shard) as file, tarfile.open(fileobj=file, mode="r|*") as members:
            for member in members:
                if member.isfile() and _is_wanted(member.name):
                    _write(members, member, folder)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise InputError(f"{shown(shard)} is no complete tar file ({error})") from error
    except OSError as error:
        raise InputError(f"{shown(shard)} cannot be read ({error.strerror or error})") from error
    finally:
        close_blocks(shard)


def _is_wanted(name: str) -> bool:
    path = Path(name)
    return not path.name.startswith(".") and (path.suffix.lower() in SUFFIXES or path.name == SOURCES)


def _write(members: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Copy a file of the archive; its name becomes one that cannot leave the folder."""
    name = SOURCES if Path(member.name).name == SOURCES else "_".join(Path(member.name).parts).lstrip("._/")
    data = members.extractfile(member)
    assert data is not None  # the member is a file
    content = data.read()
    try:
        (folder / name).write_bytes(content)
    except OSError as error:
        raise OutputError(
            f"{folder.parent} cannot be written ({error.strerror}). Make room, or set TMPDIR"
        ) from error
