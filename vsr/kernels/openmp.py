"""Compiled functions called on the OpenMP threads of torch's own operators.

After each operator these threads wait actively for some time. Threads of our own would have to share the CPU
with them.
"""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import Any

import torch  # noqa: F401 - loads its OpenMP library into the process


def call(function: Any, argument: int, threads: int) -> None:
    """Call a compiled function with the same argument on each thread, and wait for all calls.

    OpenMP may provide fewer threads, so the function must complete all work however often it is called.

    Args:
        function: From `vsr.kernels.llvm.Library.function`, with one argument.
        threads: Most threads to use.
    """
    if threads == 1:
        function(argument)
    elif (parallel := _parallel()) is not None:
        parallel(ctypes.cast(function, ctypes.c_void_p), argument, threads, 0)
    else:
        wait([_pool(threads).submit(function, argument) for _ in range(threads)])


@cache
def _parallel() -> Any:
    """Return `GOMP_parallel(function, argument, threads, flags)` of GNU OpenMP, or None if torch has none."""
    try:
        entry = ctypes.CDLL(None).GOMP_parallel
    except (AttributeError, OSError, TypeError):  # TypeError: Windows
        return None
    entry.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    entry.restype = None
    return entry


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "vsr-openmp")
