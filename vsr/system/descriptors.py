"""Reading from and writing to pipes in a way that another thread can call off."""

from __future__ import annotations

import errno
import os
import sys

PIPE_BYTES = 1 << 20
"""Asked of the kernel for a pipe, whose 64 KiB are less than a row of tiles; more needs privileges."""


class CalledOffError(OSError):
    """Another thread called off what was waited for."""

    def __init__(self) -> None:
        super().__init__(errno.ECANCELED, os.strerror(errno.ECANCELED))


if sys.platform == "win32":
    import threading
    from collections.abc import Callable
    from typing import Any

    from vsr.system.stopping import reader_is_gone

    class Descriptor:
        """A file descriptor whose waiting another thread can call off.

        Windows neither waits for pipes nor lets a thread out of a read or write, so these are done on a
        thread of their own, which is left behind when they are called off: it ends with the process.
        """

        def __init__(self, fd: int, *, writes: bool = False) -> None:
            """Take a descriptor, which stays open."""
            self._fd = fd
            self._changed = threading.Condition()
            self._work: Callable[[], Any] | None = None
            self._found: list[Any] = []
            self._thread: threading.Thread | None = None
            self.called_off = False
            """Whether `call_off` was called."""

        def read(self, size: int) -> bytes:
            """At most `size` bytes, as soon as some are there; none at the end.

            Raises:
                CalledOffError: it was called off.
                OSError: the system refuses.
            """
            found: bytes = self._done(lambda: os.read(self._fd, size))
            return found

        def write(self, data: memoryview) -> int:
            """Write some of `data`; how many bytes.

            Raises:
                CalledOffError: it was called off.
                BrokenPipeError: nobody reads any more.
                OSError: the system refuses.
            """
            try:
                done: int = self._done(lambda: os.write(self._fd, data))
            except OSError as error:
                if reader_is_gone(error):
                    raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error
                raise
            return done

        def call_off(self) -> None:
            """Call all waiting off, for good; from any thread."""
            with self._changed:
                self.called_off = True
                self._changed.notify_all()

        def close(self) -> None:
            """Leave the descriptor as it was found; it stays open."""
            self.call_off()

        def _done(self, work: Callable[[], Any]) -> Any:
            with self._changed:
                if self.called_off:
                    raise CalledOffError
                if self._thread is None:
                    self._thread = threading.Thread(target=self._serve, name="vsr-pipe", daemon=True)
                    self._thread.start()
                self._work = work
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._found or self.called_off)
                if not self._found:
                    raise CalledOffError
                found = self._found.pop()
            if isinstance(found, BaseException):
                raise found
            return found

        def _serve(self) -> None:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._work is not None or self.called_off)
                    work, self._work = self._work, None
                    if self.called_off or work is None:
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
        """A file descriptor whose waiting another thread can call off."""

        def __init__(self, fd: int, *, writes: bool = False) -> None:
            """Take a descriptor, which stays open.

            Args:
                fd: The descriptor.
                writes: Whether it will be written to. A pipe then takes what it has room for, so that no
                    write waits where it cannot be called off; `close` undoes that.

            Raises:
                OSError: it is closed.
            """
            self._fd = fd
            self._read, self._write = os.pipe()
            self._waits = os.get_blocking(fd) if writes else True
            self.called_off = False
            """Whether `call_off` was called."""
            _enlarge(fd)
            if writes and stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.set_blocking(fd, False)

        def read(self, size: int) -> bytes:
            """At most `size` bytes, as soon as some are there; none at the end.

            Raises:
                CalledOffError: it was called off.
                OSError: the system refuses.
            """
            self._wait(_READABLE)
            return os.read(self._fd, size)

        def write(self, data: memoryview) -> int:
            """Write some of `data`; how many bytes.

            Raises:
                CalledOffError: it was called off.
                BrokenPipeError: nobody reads any more.
                OSError: the system refuses.
            """
            while True:
                self._wait(select.POLLOUT)
                with suppress(BlockingIOError):
                    return os.write(self._fd, data)

        def call_off(self) -> None:
            """Call all waiting off, for good; from any thread."""
            self.called_off = True
            with suppress(OSError):
                os.write(self._write, b"x")

        def close(self) -> None:
            """Leave the descriptor as it was found; it stays open."""
            with suppress(OSError):
                os.set_blocking(self._fd, self._waits)

        def _wait(self, event: int) -> None:
            poll = select.poll()
            poll.register(self._fd, event)
            poll.register(self._read, select.POLLIN)
            while not self.called_off:
                if any(ready == self._fd for ready, _ in poll.poll()):
                    break
            if self.called_off:
                raise CalledOffError

        def __del__(self) -> None:
            for fd in (self._read, self._write):
                with suppress(OSError):
                    os.close(fd)

    def _enlarge(fd: int) -> None:
        """A larger buffer, where it is a pipe of this kernel."""
        number = getattr(fcntl, "F_SETPIPE_SZ", None)  # Linux's alone
        if number is not None:
            with suppress(OSError):
                fcntl.fcntl(fd, number, PIPE_BYTES)
