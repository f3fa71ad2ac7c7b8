"""Settings of glibc's allocator for a process that needs the same large blocks for every frame.

By default glibc returns a large block to the kernel as soon as it is free, and for the next frame the kernel
must zero new pages: a sixth of the generator's time on the CPU (measured, docs/benchmarks.md). The settings
hold for the whole process, so only the command line makes them; a library or plugin leaves them to its host.
"""

from __future__ import annotations

import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # glibc, malloc.h
_NEVER = 2**31 - 1  # bytes, the largest value that mallopt takes


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory, in one arena for all threads.

    Call it before threads start: running threads keep their own arenas. The process then keeps the most
    memory that it ever needed until it ends; this cannot be undone.

    Returns:
        Whether the C library is glibc and accepted the settings.
    """
    if "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", {}):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = {_M_ARENA_MAX: 1, _M_MMAP_THRESHOLD: _NEVER, _M_TRIM_THRESHOLD: _NEVER}
    done = [mallopt(name, value) for name, value in settings.items()]
    return all(done)
