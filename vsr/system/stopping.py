"""The signals that ask a process to stop, and a way to wake the thread that waits for them."""

from __future__ import annotations

import os
import select
import signal
import sys

if sys.platform == "win32":
    import errno
    import socket

    NUMBERS: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM, signal.SIGBREAK)
    """Signals that ask a process to stop. Windows sends SIGBREAK for Ctrl-Break, when the window is closed
    and when the user logs off. SIGTERM can only come from the process itself."""

    def reader_is_gone(error: OSError) -> bool:
        """Return whether a write failed because the reader closed the pipe, which is EINVAL on Windows."""
        return isinstance(error, BrokenPipeError) or error.errno == errno.EINVAL

    class Wakeup:
        """Sends bytes from a thread, or from Python's signal handler, to a thread that waits for them.

        Windows can poll only sockets, so this is a pair of sockets there.
        """

        def __init__(self) -> None:
            self._reader, self._writer = socket.socketpair()
            self._writer.setblocking(False)
            self.writer = self._writer.fileno()
            """The descriptor for `signal.set_wakeup_fd`."""

        def wait(self, seconds: float | None) -> int | None:
            """Return the next byte; None if none comes within `seconds`, -1 if the sender has closed."""
            if not select.select([self._reader], [], [], seconds)[0]:
                return None
            byte = self._reader.recv(1)
            return byte[0] if byte else -1

        def send(self, byte: int) -> None:
            """Send a byte."""
            self._writer.send(bytes([byte]))

        def close(self) -> None:
            """Close the sending end. The waiting thread first reads the bytes that were sent."""
            self._writer.close()

        def close_reader(self) -> None:
            """Close the receiving end, after the last byte was read."""
            self._reader.close()

else:
    NUMBERS: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    """Signals that ask a process to stop."""

    def reader_is_gone(error: OSError) -> bool:
        """Return whether a write failed because the reader has closed the pipe."""
        return isinstance(error, BrokenPipeError)

    class Wakeup:
        """Sends bytes from a thread, or from Python's signal handler, to a thread that waits for them."""

        def __init__(self) -> None:
            self.reader, self.writer = os.pipe()
            os.set_blocking(self.writer, False)

        def wait(self, seconds: float | None) -> int | None:
            """Return the next byte; None if none comes within `seconds`, -1 if the sender has closed."""
            if not select.select([self.reader], [], [], seconds)[0]:
                return None
            byte = os.read(self.reader, 1)
            return byte[0] if byte else -1

        def send(self, byte: int) -> None:
            """Send a byte."""
            os.write(self.writer, bytes([byte]))

        def close(self) -> None:
            """Close the sending end. The waiting thread first reads the bytes that were sent."""
            os.close(self.writer)

        def close_reader(self) -> None:
            """Close the receiving end, after the last byte was read."""
            os.close(self.reader)
