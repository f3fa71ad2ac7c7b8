"""Ctrl-C and SIGTERM become one exception in the main thread. Only the command line installs handlers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType

from vsr.cli.guard import Guard, leave
from vsr.system.stopping import NUMBERS

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


_guard: Guard | None = None


@contextmanager
def installed() -> Generator[None, None, None]:
    """Each signal of `NUMBERS` raises `Stopped`; after a second one, or 8 s, the process ends at once."""
    global _guard
    _asked.clear()
    _guard = guard = _new_guard()
    for number in NUMBERS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays in force
            signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in NUMBERS:
            if signal.getsignal(number) is _stop:  # while Python takes itself down, nobody catches
                signal.signal(number, signal.SIG_DFL)
        _guard = None
        if guard is not None:
            guard.call_off()


def _new_guard() -> Guard | None:
    """A guard; none where there is no file descriptor left for its pipe: it is a backstop, and the run will
    say so."""
    try:
        return Guard(GRACE_SECONDS)
    except OSError:
        return None


def whatever_runs() -> None:
    """From here on the process ends in time even if a library lets no other thread run; takes a compiler."""
    if _guard is not None:
        _guard.strengthen()


_asked: list[int] = []


def _stop(number: int, _: FrameType | None) -> None:
    if _asked:
        leave(number)
    _asked.append(number)
    _tell(b"\nvsr: stopping; once more ends it at once\n")
    raise Stopped(number)


def _tell(line: bytes) -> None:
    """To people at a terminal, if it is still there."""
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, line)


@contextmanager
def deferred(left: str, *, early: type[Exception]) -> Generator[Callable[[], bool], None, None]:
    """For work that must end between two steps: the first signal is only noted; a second one ends at once.

    Yields a function that says whether somebody asked. Where the work then ends with the error `early`,
    `Stopped` is raised, which tells people what is `left`. Work that came to its own end, or to another
    error, is told as ever: nothing was cut off, or nothing may be left.
    """
    asked: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        if asked:
            leave(number)
        asked.append(number)
        _tell(b"\nvsr: saving and stopping; once more ends it at once\n")

    numbers = [n for n in NUMBERS if signal.getsignal(n) is _stop]
    if _guard is not None:
        _guard.patient(True)
    for number in numbers:
        signal.signal(number, note)
    try:
        yield lambda: bool(asked)
    except early as error:
        if asked:
            raise Stopped(asked[0], left) from error
        raise
    finally:
        for number in numbers:
            signal.signal(number, _stop)
        if _guard is not None:
            _guard.patient(False)
