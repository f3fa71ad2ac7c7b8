"""Reading of a source's bytes, whether it is a local file, a URL or a file object."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO, cast

from vsr.errors import VsrError
from vsr.media.remote.blocks import BLOCK, Blocks, blocks_of
from vsr.media.remote.places import remote_of
from vsr.media.remote.store import Identity
from vsr.reading import open_file


class RemoteReader(io.RawIOBase):
    """A position in a remote file. Readers are independent of each other, and share the file's blocks."""

    def __init__(self, blocks: Blocks) -> None:
        super().__init__()
        self._blocks, self._position, self._last = blocks, 0, -1

    def read(self, size: int | None = -1) -> bytes:
        """Return `size` bytes, or all that are left.

        Raises:
            InputError: the store failed, or the file was changed.
        """
        end = self._blocks.size if size is None or size < 0 else self._position + size
        end = min(end, self._blocks.size)
        parts = []
        while self._position < end:
            number, start = divmod(self._position, BLOCK)
            data = self._block(number)[start : start + end - self._position]
            parts.append(data)
            self._position += len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _block(self, number: int) -> bytes:
        follows = number == self._last + 1 or number == self._last
        self._last = number
        return self._blocks.block(number, then=follows and number > 0)

    def readinto(self, buffer: object) -> int:
        """Fill a buffer, and return the number of bytes."""
        view = memoryview(cast(bytearray, buffer)).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position, and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._blocks.size}[whence]
        if base + offset < 0:
            raise OSError(22, "before the start of the file")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True


class MediaReader(RemoteReader):
    """The file object that PyAV reads from.

    FFmpeg takes an error of reading for damage, and continues. Therefore an error ends the data, and `check`
    raises it where the packets end.
    """

    def __init__(self, blocks: Blocks, suffix: str) -> None:
        """
        Args:
            blocks: Of the file.
            suffix: Of the file's name, by which FFmpeg decides between formats that begin alike.
        """
        super().__init__(blocks)
        self.name = f"input{suffix if suffix[1:].isalnum() else ''}"
        self._failure: VsrError | None = None

    def read(self, size: int | None = -1) -> bytes:
        """Return at most `size` bytes; none at the end or after an error."""
        if self._failure is None:
            try:
                return super().read(size)
            except VsrError as error:
                self._failure = error
        return b""

    def check(self) -> None:
        """Raise the error that ended the data, if one did.

        Raises:
            InputError: the store failed, or the file was changed.
        """
        if self._failure is not None:
            raise self._failure


def check_read(container: object) -> None:
    """Raise the error that ended the data of an open container, if one did; at the end of its packets.

    Raises:
        InputError: the store failed, or the file was changed.
    """
    file = getattr(container, "file", None)
    reader = getattr(file, "file", file)
    if isinstance(reader, MediaReader):
        reader.check()


def open_bytes(path: str | Path) -> BinaryIO:
    """Open a source's bytes for reading.

    Raises:
        OSError: a local file cannot be opened.
        ConfigError: the network is not allowed, or a package is missing.
        InputError: a remote file cannot be read.
    """
    remote = remote_of(path)
    if remote is None:
        return open_file(Path(path))
    return cast(BinaryIO, RemoteReader(blocks_of(remote)))


def open_for_media(path: Path) -> MediaReader:
    """Open a URL or a file object for PyAV; raises the errors of `open_bytes`."""
    remote = remote_of(path)
    assert remote is not None
    return MediaReader(blocks_of(remote), path.suffix)


def size_of(path: str | Path) -> int:
    """Return a source's size in bytes; raises the errors of `open_bytes`."""
    remote = remote_of(path)
    return Path(path).stat().st_size if remote is None else blocks_of(remote).size


def identity_of(path: str | Path) -> Identity | None:
    """Return what a store says of a remote file now; None for a local path.

    Raises:
        ConfigError: the network is not allowed, or a package is missing.
        InputError: the store does not answer, or the file is gone.
    """
    remote = remote_of(path)
    return None if remote is None else blocks_of(remote).identity()
