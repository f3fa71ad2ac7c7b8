"""Video from standard input and to standard output. Read once, from front to end; never sought in.

Two formats travel in pipes: YUV4MPEG2, which many tools speak and which has a constant rate, and NUT, which
has timestamps and every pixel format. `opening.py` opens what is read, `pipe_sink.py` what is written.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from vsr.errors import InputError, OutputError
from vsr.media.files.y4m import end_of
from vsr.settings.schema import PipeFormat

STANDARD = Path("-")
"""The place that means standard input or standard output."""
MUXERS: dict[PipeFormat, str] = {"y4m": "yuv4mpegpipe", "nut": "nut"}
"""Formats of pipes to FFmpeg's names of them."""
HEAD_BYTES = 1 << 27
"""Of the beginning, kept at most until the frames are read: twice what FFmpeg may want to learn from."""
_PIPE_BYTES = 1 << 20
"""Asked of the kernel for a pipe, whose 64 KiB are less than a row of tiles; more needs privileges."""
_BEGINNINGS: tuple[tuple[bytes, PipeFormat], ...] = (
    (b"YUV4MPEG2 ", "y4m"),
    (b"nut/multimedia container\0", "nut"),
)
_READY = select.POLLIN | select.POLLHUP | select.POLLERR


def is_pipe(path: Path | str) -> bool:
    """Whether a place is standard input or output; a file of that name is `./-`, made absolute."""
    return str(path) == "-"


def place_of(word: Path | str) -> Path:
    """What a user's word means: `-` is the pipe, and any other word for a file called so is made absolute."""
    path = Path(word)
    return path.absolute() if is_pipe(path) and str(word) != "-" else path


class Waker:
    """Lets a thread wait for a file descriptor, and another thread call it off."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self.called = False
        """Whether `call` was called."""

    def wait(self, fd: int, event: int) -> bool:
        """Wait until `fd` is ready for `event` (of `select.poll`); False when called off."""
        poll = select.poll()
        poll.register(fd, event)
        poll.register(self._read, select.POLLIN)
        while not self.called:
            if any(ready == fd for ready, _ in poll.poll()):
                return not self.called
        return False

    def call(self) -> None:
        """Call all waiting off, for good; from any thread."""
        self.called = True
        with suppress(OSError):
            os.write(self._write, b"x")

    def __del__(self) -> None:
        for fd in (self._read, self._write):
            with suppress(OSError):
                os.close(fd)


class PipeInput:
    """A file descriptor that can be opened several times while its beginning is kept, then once for good."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._head = bytearray()
        self._settled = False
        self._waker = Waker()
        self._lock = threading.Lock()
        self.total = 0
        """Bytes that came, so far."""
        self.first = b""
        """The first bytes, for what stands in a header."""
        self.ended = False
        """Whether the writer has closed it."""
        self.live = False
        """Whether each frame is wanted as soon as it comes, so that none is read ahead to learn the rate."""
        _enlarge(fd)

    def open(self, *, last: bool = False) -> PipeReader:
        """A reader from the first byte on.

        Args:
            last: Nobody opens it again: from now on, what was read is not kept.

        Raises:
            InputError: it was opened for good before, or called off.
        """
        if self._settled:
            raise InputError("standard input: can be read once only, and has been; give a file")
        self._settled = last
        return PipeReader(self, last=last)

    def format(self) -> PipeFormat:
        """What comes, by its first bytes.

        Raises:
            InputError: nothing, a terminal, or neither of the two formats.
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
            raise InputError("standard input: is empty; the program before the pipe gave nothing")
        raise InputError(
            "standard input: is neither YUV4MPEG2 nor NUT; with ffmpeg, write -f nut (or -f yuv4mpegpipe)"
        )

    def stop(self) -> None:
        """Let a read that waits, and all later ones, find the end; from any thread."""
        self._waker.call()

    def read_at(self, position: int, size: int, *, last: bool) -> bytes:
        """At most `size` bytes from `position` on; none at the end, and beyond what is kept."""
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
        """Read on, and keep what comes; False at the end."""
        data = self._live(size)
        self._head += data
        return bool(data)

    def _live(self, size: int) -> bytes:
        if self.ended or not self._waker.wait(self._fd, _READY):
            return b""
        try:
            data = os.read(self._fd, size)
        except OSError as error:  # closed, or a folder
            raise InputError(
                f"standard input: cannot be read ({error.strerror}); pipe a video into it"
            ) from error
        self.total += len(data)
        self.ended = not data
        if len(self.first) < 512:  # a header of YUV4MPEG2 is shorter
            self.first += data[: 512 - len(self.first)]
        return data


class PipeReader:
    """What PyAV reads from. It has no `seek`, so FFmpeg takes it for a stream."""

    def __init__(self, pipe: PipeInput, *, last: bool) -> None:
        self._pipe, self._last, self._position = pipe, last, 0

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""
        data = self._pipe.read_at(self._position, size, last=self._last)
        self._position += len(data)
        return data


class PipeOutput:
    """A file descriptor that PyAV writes to. It has no `seek`; a write can be called off."""

    def __init__(self, fd: int) -> None:
        """Look at it, and have it ready.

        Raises:
            OutputError: a terminal, or closed.
        """
        self._fd = fd
        self._waker = Waker()
        self.bytes = 0
        """Written so far."""
        if os.isatty(fd):
            raise OutputError("standard output: is a terminal; pipe it into a program, or name a file")
        _enlarge(fd)
        try:
            # A pipe takes what it has room for, so that no write waits where it cannot be called off.
            self._waits = os.get_blocking(fd)
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.set_blocking(fd, False)
        except OSError as error:
            raise OutputError(f"standard output: cannot be written ({error.strerror})") from error

    def write(self, data: bytes) -> int:
        """All of `data`.

        Raises:
            BrokenPipeError: the reader went away.
            OSError: the disk behind it is full, or it was called off.
        """
        rest = memoryview(data)
        while rest:
            if not self._waker.wait(self._fd, select.POLLOUT):
                raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))
            with suppress(BlockingIOError):
                done = os.write(self._fd, rest)
                self.bytes += done
                rest = rest[done:]
        return len(data)

    def stop(self) -> None:
        """Let a write that waits, and all later ones, fail; from any thread."""
        self._waker.call()

    def close(self) -> None:
        """Leave the descriptor as it was found; it stays open."""
        with suppress(OSError):
            os.set_blocking(self._fd, self._waits)


def _enlarge(fd: int) -> None:
    """A larger buffer, where it is a pipe of this kernel."""
    with suppress(OSError, AttributeError):
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


_standard: list[PipeInput] = []
"""Of the process, once it is used: what was read of it cannot be read again by another."""


def standard_input() -> PipeInput:
    """The process's standard input."""
    if not _standard:
        _standard.append(PipeInput(0))
    return _standard[0]


def settle_delay(source: Path, target: Path, format: PipeFormat | None) -> None:
    """Say before the input is opened whether its frames are wanted as they come: from pipe to pipe.

    Not for YUV4MPEG2, whose header says a frame rate: where NUT comes in, twenty frames are read to learn it.
    """
    if is_pipe(source):
        standard_input().live = is_pipe(target) and format != "y4m"


def missing_end(of: Callable[[], PipeInput] = standard_input) -> str | None:
    """Why what came through the pipe is known to be cut off, in words; None where it is whole."""
    pipe = of()
    end = end_of(pipe.first, pipe.total) if pipe.ended else None
    if end is None or end <= pipe.total:
        return None
    return f"the pipe ended in the middle of a frame: {pipe.total} bytes came, {end} were needed"
