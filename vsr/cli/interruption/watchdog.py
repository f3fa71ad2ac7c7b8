"""Ends a run that makes no progress for a long time, and logs the stacks of all threads."""

from __future__ import annotations

import faulthandler
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from vsr.cli import console
from vsr.cli.records import events
from vsr.media.remote.traffic import transferred
from vsr.system.host import bytes_moved

TICK_SECONDS = 1.0
EXIT_CODE = 1


class Watchdog:
    """Watches for progress: calls of `alive`, and bytes that are read and written."""

    def __init__(self) -> None:
        self._moved = threading.Event()
        self._bytes_count = False
        self._bytes: object = None
        self.alive: Callable[[], None] = self._moved.set
        """Function to call after each progress."""

    def __call__(self) -> None:
        self.alive()

    @contextmanager
    def files_only(self) -> Generator[None, None, None]:
        """Inside the block, bytes of files and of the network count as progress: for work without frames."""
        self._bytes_count = True
        try:
            yield
        finally:
            self._bytes_count = False
            self.alive()

    def has_moved(self) -> bool:
        """Return whether there was progress since the last call."""
        moved = self._moved.is_set()
        self._moved.clear()
        if self._bytes_count:
            files = bytes_moved()
            before, self._bytes = self._bytes, (files, transferred())
            moved = moved or files is None or self._bytes != before
        return moved


def _print_stacks() -> None:
    """Print the stack of each thread: on stderr, or as an object for programs."""
    if not console.is_diverted():
        faulthandler.dump_traceback(file=sys.__stderr__ or sys.stderr, all_threads=True)
        return
    try:
        with tempfile.TemporaryFile() as file:  # faulthandler writes to descriptors only
            faulthandler.dump_traceback(file=file.fileno(), all_threads=True)
            file.seek(0)
            text = file.read().decode(errors="replace")
    except OSError as error:  # a full disk must not keep the process alive
        text = f"the stacks cannot be shown: {error}"
    events.emit("log", level="error", logger="faulthandler", text=text)


@contextmanager
def watchdog(
    minutes: float, *, tick: float = TICK_SECONDS, end: Callable[[int], None] = os._exit
) -> Generator[Watchdog, None, None]:
    """Yield an object to call after each progress.

    The watchdog counts its own ticks instead of reading a clock. While the process is stopped or the machine
    sleeps, or while a library holds the GIL, it does not count.

    Args:
        minutes: Time without progress after which the process ends; 0 disables the watchdog.
        tick: Seconds between two checks.
        end: Function that ends the process, whatever locks the hanging thread holds.
    """
    dog, done = Watchdog(), threading.Event()
    patience = max(1, round(minutes * 60 / tick))

    def watch() -> None:
        still = 0
        while not done.wait(tick):
            still = 0 if dog.has_moved() else still + 1
            if still >= patience:
                console.error(
                    f"no progress for {minutes:g} minutes; the stack of each thread follows. Finished"
                    " segments are kept: the same command resumes from them. --patience sets a longer time"
                )
                _print_stacks()
                events.end(EXIT_CODE)
                end(EXIT_CODE)
                return

    if minutes:
        threading.Thread(target=watch, name="vsr-watchdog", daemon=True).start()
    try:
        yield dog
    finally:
        done.set()
