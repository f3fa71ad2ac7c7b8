"""Priorities of threads: restores those that libraries change, and lowers that of work that may wait."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LOW = 10  # of 19, in steps of about 10 % of the share of a core

if sys.platform == "linux":
    _THREADS = Path("/proc/self/task")
    _Scheduling = tuple[int, int]
    """Policy and priority of a thread."""

    @contextmanager
    def kept_priority() -> Iterator[None]:
        """Undo changes to the scheduling of threads inside the block; new threads get the caller's.

        When root opens libsvtav1, it makes itself and the opening thread real-time threads of the highest
        priority (`pthread_setschedparam`, SCHED_FIFO, 99). The machine then stops responding, and two
        spinning threads can wait for a third one forever.
        """
        own, before = _scheduling(0), _all()
        try:
            yield
        finally:
            for thread, now in _all().items():
                wanted = before.get(thread, own)
                if now != wanted:
                    with suppress(OSError):  # it has ended, or may not be changed
                        os.sched_setscheduler(thread, wanted[0], os.sched_param(wanted[1]))

    def lower_own_priority() -> None:
        """Let other threads go first where the cores are busy; the calling thread only."""
        with suppress(OSError):  # it may be forbidden
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOW)

    def _all() -> dict[int, _Scheduling]:
        found = {}
        for thread in (int(entry.name) for entry in _THREADS.iterdir()):
            with suppress(OSError):  # it has ended
                found[thread] = _scheduling(thread)
        return found

    def _scheduling(thread: int) -> _Scheduling:
        return os.sched_getscheduler(thread), os.sched_getparam(thread).sched_priority

else:

    @contextmanager
    def kept_priority() -> Iterator[None]:
        """Do nothing: libraries are known to change the priority of threads on Linux only."""
        yield

    def lower_own_priority() -> None:
        """Do nothing: only Linux has a priority of this kind for a single thread."""
