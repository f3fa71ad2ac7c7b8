"""Ends a run that makes no progress for a long time, with the stacks of all threads in the log."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from vsr.cli import console
from vsr.system.host import bytes_moved

TICK_SECONDS = 1.0
EXIT_CODE = 1


class Watchdog:
    """Waits for signs of life: calls of `alive`, and bytes that are written and read."""

    def __init__(self) -> None:
        self._moved = threading.Event()
        self._bytes_count = False
        self._bytes: object = None
        self.alive: Callable[[], None] = self._moved.set
        """To be called whenever something has moved."""

    def __call__(self) -> None:
        self.alive()

    @contextmanager
    def files_only(self) -> Generator[None, None, None]:
        """For work in which no picture comes: files that are read and written are a sign of life, too."""
        self._bytes_count = True
        try:
            yield
        finally:
            self._bytes_count = False
            self.alive()

    def has_moved(self) -> bool:
        """Whether anything has since it was asked before."""
        moved = self._moved.is_set()
        self._moved.clear()
        if self._bytes_count:
            before, self._bytes = self._bytes, bytes_moved()
            moved = moved or self._bytes is None or self._bytes != before
        return moved


@contextmanager
def watchdog(
    minutes: float, *, tick: float = TICK_SECONDS, end: Callable[[int], None] = os._exit
) -> Generator[Watchdog, None, None]:
    """Yields what has to be called whenever something has moved.

    The watchdog counts its own ticks and asks no clock: while the process is stopped or the machine sleeps,
    it stands still as well. So it does while a library lets no other thread run.

    Args:
        minutes: Without a sign of life, after which the process ends; 0 waits for ever.
        tick: Seconds between two looks.
        end: Ends the process, whatever the hanging thread holds.
    """
    dog, done = Watchdog(), threading.Event()
    patience = max(1, round(minutes * 60 / tick))

    def watch() -> None:
        still = 0
        while not done.wait(tick):
            still = 0 if dog.has_moved() else still + 1
            if still >= patience:
                console.error(
                    f"nothing has moved for {minutes:g} minutes; where each thread stands is below. Finished "
                    "parts are kept: the same command goes on; --patience waits longer"
                )
                faulthandler.dump_traceback(file=sys.__stderr__ or sys.stderr, all_threads=True)
                end(EXIT_CODE)
                return

    if minutes:
        threading.Thread(target=watch, name="vsr-watchdog", daemon=True).start()
    try:
        yield dog
    finally:
        done.set()
