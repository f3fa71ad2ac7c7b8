"""The scheduling of this process's threads, kept from what libraries do to it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_THREADS = Path("/proc/self/task")


@contextmanager
def kept_priority() -> Iterator[None]:
    """Give all threads the calling thread's scheduling again, if what runs inside changes it; Linux only.

    libsvtav1, opened by root, makes itself and the thread that opens it real-time
    threads of the highest priority (`pthread_setschedparam`, SCHED_FIFO, 99): the machine then answers nobody
    else, and two threads that spin wait for a third for ever.
    """
    if sys.platform != "linux":
        yield
        return
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for thread in (int(entry.name) for entry in _THREADS.iterdir()):
            with suppress(OSError):  # it has ended meanwhile, or is not ours to change
                if os.sched_getscheduler(thread) != policy:
                    os.sched_setscheduler(thread, policy, priority)
