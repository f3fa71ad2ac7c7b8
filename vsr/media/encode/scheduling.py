"""Priorities of threads, kept from what libraries do to them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_THREADS = Path("/proc/self/task")
_Scheduling = tuple[int, int]
"""Policy and priority of a thread."""


@contextmanager
def kept_priority() -> Iterator[None]:
    """Undo what happens inside to the scheduling of threads; new ones get the caller's. Linux only.

    libsvtav1, opened by root, makes itself and the thread that opens it real-time threads of the highest
    priority (`pthread_setschedparam`, SCHED_FIFO, 99): the machine then answers nobody else, and two threads
    that spin wait for a third for ever.
    """
    if sys.platform != "linux":
        yield
        return
    own, before = _scheduling(0), _all()
    try:
        yield
    finally:
        for thread, now in _all().items():
            wanted = before.get(thread, own)
            if now != wanted:
                with suppress(OSError):  # it has ended meanwhile, or is not ours to change
                    os.sched_setscheduler(thread, wanted[0], os.sched_param(wanted[1]))


def _all() -> dict[int, _Scheduling]:
    found = {}
    for thread in (int(entry.name) for entry in _THREADS.iterdir()):
        with suppress(OSError):  # it has ended meanwhile
            found[thread] = _scheduling(thread)
    return found


def _scheduling(thread: int) -> _Scheduling:
    return os.sched_getscheduler(thread), os.sched_getparam(thread).sched_priority
