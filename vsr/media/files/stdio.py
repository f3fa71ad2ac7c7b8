"""Video from standard input and to standard output, read or written once from start to end, without seeking.

Two formats are supported in pipes: YUV4MPEG2, which many tools support and which has a constant rate, and
NUT, which has timestamps and every pixel format. `opening.py` opens the input, `pipe_sink.py` writes the
output.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

from vsr.errors import InputError, OutputError
from vsr.media.files.y4m import end_of
from vsr.media.remote.places import is_file_object, is_url, register, register_file, remote_of
from vsr.settings.schema import PipeFormat
from vsr.system.descriptors import Descriptor, WaitCancelledError
from vsr.system.names import reachable

STANDARD = Path("-")
"""The path that means standard input or standard output."""
MUXERS: dict[PipeFormat, str] = {"y4m": "yuv4mpegpipe", "nut": "nut"}
"""Maps the formats of pipes to FFmpeg's names."""
HEAD_BYTES = 1 << 27
"""The number of bytes of the beginning that are kept at most until the frames are read: twice what FFmpeg may
read to find the streams."""


class Digest(Protocol):
    """A hash object of hashlib."""

    def update(self, data: bytes | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


_BEGINNINGS: tuple[tuple[bytes, PipeFormat], ...] = (
    (b"YUV4MPEG2 ", "y4m"),
    (b"nut/multimedia container\0", "nut"),
)


def is_pipe(path: Path | str) -> bool:
    """Return whether a path is standard input or output. A file with the name `-` is given as `./-`, and made
    absolute.
    """
    return str(path) == "-"


def place_of(
    word: Path | str | BinaryIO,
    *,
    allow_network: bool = False,
    work_folder: Path | None = None,
    suffix: str = "",
) -> Path:
    """Return the path that a user's argument means: `-` is the pipe; any other name of a file called `-` is
    made absolute. A URL or a file object gets a path that stands for it, see `vsr.media.remote.places`.

    Raises:
        ConfigError: a file object is open as text, or a URL cannot be read.
    """
    if is_file_object(word):
        return register_file(word, suffix)
    if is_url(word):
        path = register(str(word), allow_network=allow_network, work_folder=work_folder)
        return path if remote_of(path) is not None else reachable(path)
    path = Path(word)  # type: ignore[arg-type] # a path or text
    if remote_of(path) is not None:
        return path
    return path.absolute() if is_pipe(path) and str(word) != "-" else reachable(path)


class PipeInput:
    """A file descriptor that can be opened several times while its beginning is kept, then one last time."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._head = bytearray()
        self._settled = False
        self._from = Descriptor(fd)
        self._lock = threading.Lock()
        self.total = 0
        """The number of bytes read so far."""
        self.first = b""
        """The first bytes, which contain the header."""
        self.ended = False
        """Whether the writer has closed it."""
        self.digest: Digest | None = None
        """Hash of all that was read; None where it is not asked for."""
        self.live = False
        """Whether each frame is needed as soon as it comes, so none is read ahead to estimate the rate."""

    def open(self, *, last: bool = False) -> PipeReader:
        """Return a reader that starts at the first byte.

        Args:
            last: Whether this is the last time that the pipe is opened. From then on, data is not kept.

        Raises:
            InputError: the pipe was opened with `last` before, or was stopped.
        """
        if self._settled:
            raise InputError("standard input: can be read once only, and has been; give a file")
        self._settled = last
        return PipeReader(self, last=last)

    def format(self) -> PipeFormat:
        """Return the format of the input, from its first bytes.

        Raises:
            InputError: there is no data, or it is a terminal, or it has neither of the two formats.
        """
        if os.isatty(self._fd):
            raise InputError("standard input: is a terminal; pipe a video into it, or name a file")
        longest = max(len(beginning) for beginning, _ in _BEGINNINGS)
        with self._lock:
            while len(self.first) < longest and self._more(longest):
                pass
        for beginning, found in _BEGINNINGS:
            if self.first.startswith(beginning):
                return found
        if not self.first:
            raise InputError("standard input: is empty; the program before the pipe wrote nothing")
        raise InputError(
            "standard input: is neither YUV4MPEG2 nor NUT; with ffmpeg, write -f nut (or -f yuv4mpegpipe)"
        )

    def keep_digest(self, digest: Digest) -> None:
        """Hash all that is read, from the first byte on; call it before the pipe is last opened."""
        with self._lock:
            digest.update(bytes(self._head))
            self.digest = digest

    def stop(self) -> None:
        """Make a waiting read and all later reads return the end of the data; from any thread."""
        self._from.cancel()

    def read_at(self, position: int, size: int, *, last: bool) -> bytes:
        """Return at most `size` bytes from `position` on; none at the end, and none beyond what is kept."""
        with self._lock:
            if position < len(self._head):
                return bytes(memoryview(self._head)[position : position + size])
            if last:
                self._head.clear()
                return self._live(size)
            if self._settled or len(self._head) >= HEAD_BYTES or not self._more(size):
                return b""
            return bytes(memoryview(self._head)[position : position + size])

    def _more(self, size: int) -> bool:
        """Read and keep more data; return False at the end."""
        data = self._live(size)
        self._head += data
        return bool(data)

    def _live(self, size: int) -> bytes:
        if self.ended:
            return b""
        try:
            data = self._from.read(size)
        except WaitCancelledError:
            return b""
        except OSError as error:  # closed, or a folder
            raise InputError(
                f"standard input: cannot be read ({error.strerror}); pipe a video into it"
            ) from error
        self.total += len(data)
        if self.digest is not None:
            self.digest.update(data)
        self.ended = not data
        if len(self.first) < 512:  # a header of YUV4MPEG2 is shorter
            self.first += data[: 512 - len(self.first)]
        return data


class PipeReader:
    """The file object that PyAV reads from. It has no `seek`, so FFmpeg treats it as a stream."""

    def __init__(self, pipe: PipeInput, *, last: bool) -> None:
        self._pipe, self._last, self._position = pipe, last, 0

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes; none at the end."""
        data = self._pipe.read_at(self._position, size, last=self._last)
        self._position += len(data)
        return data


class PipeOutput:
    """A file descriptor that PyAV writes to. It has no `seek`, and a waiting write can be cancelled."""

    def __init__(self, fd: int) -> None:
        """Check the descriptor and prepare it.

        Raises:
            OutputError: it is a terminal, or closed.
        """
        self.bytes = 0
        """The number of bytes written so far."""
        self.digest: Digest | None = None
        """Hash of all that was written; None where it is not asked for."""
        if os.isatty(fd):
            raise OutputError("standard output: is a terminal; pipe it into a program, or name a file")
        try:
            self._to = Descriptor(fd, writes=True)
        except OSError as error:
            raise OutputError(f"standard output: cannot be written ({error.strerror})") from error

    def write(self, data: bytes) -> int:
        """Write all of `data`, and return its length.

        Raises:
            BrokenPipeError: the reader closed the pipe.
            OSError: the disk is full, or the write was cancelled.
        """
        rest = memoryview(data)
        while rest:
            done = self._to.write(rest)
            self.bytes += done
            if self.digest is not None:
                self.digest.update(rest[:done])
            rest = rest[done:]
        return len(data)

    def stop(self) -> None:
        """Make a waiting write and all later writes fail; from any thread."""
        self._to.cancel()

    def close(self) -> None:
        """Restore the descriptor's mode; it stays open."""
        self._to.close()


_standard: list[PipeInput] = []
"""The process's standard input after its first use; its data cannot be read again by another object."""


def standard_input() -> PipeInput:
    """Return the process's standard input."""
    if not _standard:
        _standard.append(PipeInput(0))
    return _standard[0]


def settle_delay(source: Path, target: Path, format: PipeFormat | None) -> None:
    """Set, before the input is opened, whether its frames are needed as soon as they come: from pipe to pipe.

    This excludes YUV4MPEG2 as output: its header states a frame rate, so twenty frames of a NUT input are
    read to estimate it.
    """
    if is_pipe(source):
        standard_input().live = is_pipe(target) and format != "y4m"


def missing_end(of: Callable[[], PipeInput] = standard_input) -> str | None:
    """Return a sentence that says why the piped data is cut off; None if it is complete."""
    pipe = of()
    end = end_of(pipe.first, pipe.total) if pipe.ended else None
    if end is None or end <= pipe.total:
        return None
    return f"the pipe ended in the middle of a frame: {pipe.total} bytes came, {end} were needed"
