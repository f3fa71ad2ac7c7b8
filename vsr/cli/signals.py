"""Ctrl-C and SIGTERM become one exception in the main thread. Only the command line installs handlers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

GRACE_SECONDS = 8.0
"""After the first signal, the process ends at the latest after this: the main thread gives the output up at
once, only threads in the middle of a picture are waited for."""


class Stopped(BaseException):
    """Somebody asked us to stop. Not an Exception: no handler of errors may swallow it."""

    def __init__(self, number: int, left: str = "no unfinished file was left behind") -> None:
        super().__init__(number)
        self.name = signal.Signals(number).name
        self.left = left
        """What is there now, for people."""
        self.exit_code = 128 + number


def install() -> None:
    """SIGINT, SIGTERM and SIGHUP raise `Stopped`; a second one ends the process at once."""
    for number in _NUMBERS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays in force
            signal.signal(number, _stop)


_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_asked = threading.Event()


def _stop(number: int, _: FrameType | None) -> None:
    if _asked.is_set():
        _leave(number)
    _asked.set()
    timer = threading.Timer(GRACE_SECONDS, _leave, (number,))
    timer.daemon = True
    timer.start()
    os.write(2, b"\nvsr: stopping; once more ends it at once\n" if os.isatty(2) else b"")
    raise Stopped(number)


@contextmanager
def deferred(left: str) -> Generator[Callable[[], bool], None, None]:
    """For work that must end between two steps: the first signal is only noted; a second one ends at once.

    Yields a function that says whether somebody asked. When the context ends after that, `Stopped` is raised,
    which tells people what is `left`.
    """
    asked: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        if asked:
            _leave(number)
        asked.append(number)
        os.write(2, b"\nvsr: saving and stopping; once more ends it at once\n" if os.isatty(2) else b"")

    numbers = [n for n in _NUMBERS if signal.getsignal(n) is _stop]
    for number in numbers:
        signal.signal(number, note)
    try:
        yield lambda: bool(asked)
    finally:
        for number in numbers:
            signal.signal(number, _stop)
        if asked:
            raise Stopped(asked[0], left)


def _leave(number: int) -> None:
    """End now, with the terminal's cursor where the progress line had hidden it."""
    if os.isatty(2):
        os.write(2, b"\x1b[?25h\n")
    os._exit(128 + number)
