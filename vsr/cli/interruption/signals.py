"""Turns Ctrl-C and SIGTERM into one exception in the main thread. Only the command line installs handlers.

Once a result has its final name, the first signal is only recorded: the command ends as if it had not come. A
queue of files then stops before the next file.
"""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType

from vsr.cli import console
from vsr.cli.interruption.guard import Guard, leave
from vsr.system.last_step import listen
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
        self.frames_kept = 0
        """Finished frames of the interrupted run that the next one takes."""
        self.exit_code = 128 + number


_guard: Guard | None = None


@contextmanager
def installed() -> Generator[None, None, None]:
    """Let the signals of `NUMBERS` raise `Stopped`; after a second one, or 8 s, the process ends at once."""
    global _guard, _is_complete
    _asked.clear()
    _is_complete = False
    _guard = guard = _new_guard()
    listen(_completing)
    atexit.register(_ignore)
    for number in NUMBERS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # respects nohup
            signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in NUMBERS:
            if signal.getsignal(number) is _stop and not _is_complete:
                signal.signal(number, signal.SIG_DFL)  # nothing catches an exception in Python's shutdown
        listen(None)
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
_is_complete = False
"""Whether the result has its final name, or is just getting it."""


def _completing(begun: bool) -> None:
    """Record that a result gets its name, or that this has failed."""
    global _is_complete
    _is_complete = begun
    if _guard is not None:
        _guard.patient(begun)


def go_on() -> None:
    """Let signals stop the command again, which has more to do after a result.

    Raises:
        Stopped: a signal has come since the result got its name.
    """
    _completing(False)
    if _asked:
        raise Stopped(_asked[0])


def _ignore() -> None:
    """Ignore signals in the last part of Python's shutdown, in which no handler runs, if all is complete."""
    for number in NUMBERS:
        if signal.getsignal(number) is _stop:
            signal.signal(number, signal.SIG_IGN)


def _stop(number: int, _: FrameType | None) -> None:
    if _asked:
        leave(number)
    _asked.append(number)
    if _is_complete:
        _tell(b"\nvsr: the result is complete; a second signal ends the process at once\n")
        return
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
