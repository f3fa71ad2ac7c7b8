"""A run in which nothing moves any more is ended, with all stacks in the log, and does not hang for days."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from vsr.cli import console

TICK_SECONDS = 1.0
EXIT_CODE = 1


@contextmanager
def watchdog(
    minutes: float, *, tick: float = TICK_SECONDS, end: Callable[[int], None] = os._exit
) -> Generator[Callable[[], None], None, None]:
    """Yields what has to be called whenever something has moved.

    The watchdog counts its own ticks and asks no clock: while the process is stopped or the machine sleeps,
    it stands still as well.

    Args:
        minutes: Without a sign of life, after which the process ends; 0 waits for ever.
        tick: Seconds between two looks.
        end: Ends the process, whatever the hanging thread holds.
    """
    moved, done = threading.Event(), threading.Event()
    patience = max(1, round(minutes * 60 / tick))

    def watch() -> None:
        still = 0
        while not done.wait(tick):
            still = 0 if moved.is_set() else still + 1
            moved.clear()
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
        yield moved.set
    finally:
        done.set()
