"""Reads from and writes to pipes so that another thread can cancel the waiting."""

from __future__ import annotations

import errno
import os
import sys

PIPE_BYTES = 1 << 20
"""Size of a pipe's buffer that is requested from Linux; the usual 64 KiB are less than a row of tiles. A
larger size requires privileges."""


class WaitCancelledError(OSError):
    """Another thread cancelled the read or write."""

    def __init__(self) -> None:
        super().__init__(errno.ECANCELED, os.strerror(errno.ECANCELED))


if sys.platform == "win32":
    import threading
    from collections.abc import Callable
    from typing import Any

    from vsr.system.stopping import reader_is_gone

    class Descriptor:
        """A file descriptor; another thread can cancel a read or write that waits.

        Windows cannot poll pipes, and a thread that waits in a read or write cannot be interrupted. Reads and
        writes are therefore done on a thread of their own. After a cancellation that thread keeps waiting
        until the process ends.
        """

        def __init__(self, fd: int, *, writes: bool = False) -> None:
            """Use a descriptor. It stays open when this object is closed."""
            self._fd = fd
            self._changed = threading.Condition()
            self._work: Callable[[], Any] | None = None
            self._found: list[Any] = []
            self._thread: threading.Thread | None = None
            self.cancelled = False
            """Whether `cancel` was called."""

        def read(self, size: int) -> bytes:
            """Wait for data, and return at most `size` bytes; none at the end.

            Raises:
                WaitCancelledError: another thread called `cancel`.
                OSError: the system reports an error.
            """
            found: bytes = self._done(lambda: os.read(self._fd, size))
            return found

        def write(self, data: memoryview) -> int:
            """Write the beginning of `data`, and return how many bytes were written.

            Raises:
                WaitCancelledError: another thread called `cancel`.
                BrokenPipeError: the reader has closed the pipe.
                OSError: the system reports an error.
            """
            try:
                done: int = self._done(lambda: os.write(self._fd, data))
            except OSError as error:
                if reader_is_gone(error):
                    raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error
                raise
            return done

        def cancel(self) -> None:
            """Cancel the current and all later reads and writes; from any thread."""
            with self._changed:
                self.cancelled = True
                self._changed.notify_all()

        def close(self) -> None:
            """Restore the descriptor's mode. It stays open."""
            self.cancel()

        def _done(self, work: Callable[[], Any]) -> Any:
            with self._changed:
                if self.cancelled:
                    raise WaitCancelledError
                if self._thread is None:
                    self._thread = threading.Thread(target=self._serve, name="vsr-pipe", daemon=True)
                    self._thread.start()
                self._work = work
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._found or self.cancelled)
                if not self._found:
                    raise WaitCancelledError
                found = self._found.pop()
            if isinstance(found, BaseException):
                raise found
            return found

        def _serve(self) -> None:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._work is not None or self.cancelled)
                    work, self._work = self._work, None
                    if self.cancelled or work is None:
                        return
                try:
                    found: Any = work()
                except BaseException as error:
                    found = error
                with self._changed:
                    self._found.append(found)
                    self._changed.notify_all()

else:
    import fcntl
    import select
    import stat
    from contextlib import suppress

    _READABLE = select.POLLIN | select.POLLHUP | select.POLLERR

    class Descriptor:
        """A file descriptor; another thread can cancel a read or write that waits."""

        def __init__(self, fd: int, *, writes: bool = False) -> None:
            """Use a descriptor. It stays open when this object is closed.

            Args:
                fd: The descriptor.
                writes: Whether it will be written to. A pipe is then set to non-blocking mode until `close`,
                    because a blocking write cannot be cancelled.

            Raises:
                OSError: the descriptor is closed.
            """
            self._fd = fd
            self._read, self._write = os.pipe()
            self._waits = os.get_blocking(fd) if writes else True
            self.cancelled = False
            """Whether `cancel` was called."""
            _enlarge(fd)
            if writes and stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.set_blocking(fd, False)

        def read(self, size: int) -> bytes:
            """Wait for data, and return at most `size` bytes; none at the end.

            Raises:
                WaitCancelledError: another thread called `cancel`.
                OSError: the system reports an error.
            """
            self._wait(_READABLE)
            return os.read(self._fd, size)

        def write(self, data: memoryview) -> int:
            """Write the beginning of `data`, and return how many bytes were written.

            Raises:
                WaitCancelledError: another thread called `cancel`.
                BrokenPipeError: the reader has closed the pipe.
                OSError: the system reports an error.
            """
            while True:
                self._wait(select.POLLOUT)
                with suppress(BlockingIOError):
                    return os.write(self._fd, data)

        def cancel(self) -> None:
            """Cancel the current and all later reads and writes; from any thread."""
            self.cancelled = True
            with suppress(OSError):
                os.write(self._write, b"x")

        def close(self) -> None:
            """Restore the descriptor's mode. It stays open."""
            with suppress(OSError):
                os.set_blocking(self._fd, self._waits)

        def _wait(self, event: int) -> None:
            poll = select.poll()
            poll.register(self._fd, event)
            poll.register(self._read, select.POLLIN)
            while not self.cancelled:
                if any(ready == self._fd for ready, _ in poll.poll()):
                    break
            if self.cancelled:
                raise WaitCancelledError

        def __del__(self) -> None:
            for fd in (self._read, self._write):
                with suppress(OSError):
                    os.close(fd)

    def _enlarge(fd: int) -> None:
        """Enlarge the buffer of a pipe, if the system can."""
        number = getattr(fcntl, "F_SETPIPE_SZ", None)  # only on Linux
        if number is not None:
            with suppress(OSError):
                fcntl.fcntl(fd, number, PIPE_BYTES)
