"""Settings of glibc's allocator for a process that needs the same large blocks for every frame.

By default glibc gives a large block back to the kernel as soon as it is free, and the next frame pays for
fresh pages, zeroed one by one: a sixth of the generator's time on the CPU (measured, docs/benchmarks.md).
It is the process's memory: the command line decides so for itself, and a host for a library or plugin.
"""

from __future__ import annotations

import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # glibc, malloc.h
_NEVER = 2**31 - 1  # bytes, the largest value that mallopt takes


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory, in one arena for all threads; True where that was possible.

    Best called before threads start: those that run already keep arenas of their own. The process then holds
    its largest need to its end, and no more later; it cannot be undone.
    """
    if "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", {}):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = {_M_ARENA_MAX: 1, _M_MMAP_THRESHOLD: _NEVER, _M_TRIM_THRESHOLD: _NEVER}
    done = [mallopt(name, value) for name, value in settings.items()]
    return all(done)
