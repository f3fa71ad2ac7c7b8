"""How a process is asked to stop, and how it wakes a thread that waits for that."""

from __future__ import annotations

import os
import select
import signal
import sys

if sys.platform == "win32":
    import errno
    import socket

    NUMBERS: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM, signal.SIGBREAK)
    """Signals that ask a process to stop. Windows sends SIGBREAK for Ctrl-Break, for a closed window and when
    the user logs off; SIGTERM comes from this process only."""

    def reader_is_gone(error: OSError) -> bool:
        """Whether a write failed because nobody reads a pipe any more; Windows calls that EINVAL."""
        return isinstance(error, BrokenPipeError) or error.errno == errno.EINVAL

    class Bell:
        """Bytes from one thread, or from Python's handler of signals, to one that waits for them.

        On Windows only sockets can be waited for.
        """

        def __init__(self) -> None:
            self._reader, self._writer = socket.socketpair()
            self._writer.setblocking(False)
            self.writer = self._writer.fileno()
            """For `signal.set_wakeup_fd`."""

        def wait(self, seconds: float | None) -> int | None:
            """The next byte; None where none came in time, or -1 where the bell was closed."""
            if not select.select([self._reader], [], [], seconds)[0]:
                return None
            byte = self._reader.recv(1)
            return byte[0] if byte else -1

        def ring(self, byte: int) -> None:
            """Send a byte."""
            self._writer.send(bytes([byte]))

        def close(self) -> None:
            """End all waiting, for good; who waits reads what is left first."""
            self._writer.close()

        def close_reader(self) -> None:
            """After the last byte."""
            self._reader.close()

else:
    NUMBERS: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    """Signals that ask a process to stop."""

    def reader_is_gone(error: OSError) -> bool:
        """Whether a write failed because nobody reads a pipe any more."""
        return isinstance(error, BrokenPipeError)

    class Bell:
        """Bytes from one thread, or from Python's handler of signals, to one that waits for them."""

        def __init__(self) -> None:
            self.reader, self.writer = os.pipe()
            os.set_blocking(self.writer, False)

        def wait(self, seconds: float | None) -> int | None:
            """The next byte; None where none came in time, or -1 where the bell was closed."""
            if not select.select([self.reader], [], [], seconds)[0]:
                return None
            byte = os.read(self.reader, 1)
            return byte[0] if byte else -1

        def ring(self, byte: int) -> None:
            """Send a byte."""
            os.write(self.writer, bytes([byte]))

        def close(self) -> None:
            """End all waiting, for good; who waits reads what is left first."""
            os.close(self.writer)

        def close_reader(self) -> None:
            """After the last byte."""
            os.close(self.reader)
