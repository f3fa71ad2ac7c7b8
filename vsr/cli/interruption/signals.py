"""Turns Ctrl-C and SIGTERM into one exception in the main thread. Only the command line installs handlers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType

from vsr.cli import console
from vsr.cli.interruption.guard import Guard, leave
from vsr.system.stopping import NUMBERS

GRACE_SECONDS = 8.0
"""Time after the first signal at which the process ends at the latest. The main thread gives up the output at
once and waits only for threads that are processing a frame."""


class Stopped(BaseException):
    """A signal asked the process to stop. Not an Exception, so that no error handler catches it."""

    def __init__(self, number: int, left: str = "no unfinished file was left behind") -> None:
        super().__init__(number)
        self.name = signal.Signals(number).name
        self.left = left
        """What remains on the disk, as text."""
        self.exit_code = 128 + number


_guard: Guard | None = None


@contextmanager
def installed() -> Generator[None, None, None]:
    """Let the signals of `NUMBERS` raise `Stopped`; after a second one, or 8 s, the process ends at once."""
    global _guard
    _asked.clear()
    _guard = guard = _new_guard()
    for number in NUMBERS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # respects nohup
            signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in NUMBERS:
            if signal.getsignal(number) is _stop:  # nothing catches an exception during Python's shutdown
                signal.signal(number, signal.SIG_DFL)
        _guard = None
        if guard is not None:
            guard.cancel()


def _new_guard() -> Guard | None:
    """Return a guard; None if no file descriptor is left for its pipe, which the run itself will report."""
    try:
        return Guard(GRACE_SECONDS)
    except OSError:
        return None


def whatever_runs() -> None:
    """Make sure from now on that the process ends in time even if a library holds the GIL; needs llvmlite."""
    if _guard is not None:
        _guard.strengthen()


_asked: list[int] = []


def _stop(number: int, _: FrameType | None) -> None:
    if _asked:
        leave(number)
    _asked.append(number)
    _tell(b"\nvsr: stopping; a second signal ends the process at once\n")
    raise Stopped(number)


def _tell(line: bytes) -> None:
    """Write a line to a terminal, if there still is one."""
    with suppress(OSError):
        if os.isatty(2) and not console.is_diverted():
            os.write(2, line)


@contextmanager
def deferred(left: str, *, early: type[Exception]) -> Generator[Callable[[], bool], None, None]:
    """Only record the first signal, for work that must end between two steps; a second one ends the process.

    Yields a function that returns whether a signal has arrived. If the work then ends with the error `early`,
    `Stopped` is raised with `left`, the description of what remains. Work that finishes, or ends with another
    error, is reported as usual.
    """
    asked: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        if asked:
            leave(number)
        asked.append(number)
        _tell(b"\nvsr: saving and stopping; a second signal ends the process at once\n")

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
