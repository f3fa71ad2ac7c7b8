"""Compiled functions on the OpenMP threads of torch's own operators.

Others would have to share the processor with these, which spin for some time after each operator.
"""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import Any

import torch  # noqa: F401 - brings its OpenMP into the process


def call(function: Any, argument: int, threads: int) -> None:
    """Call a compiled function with the same argument on each thread, and wait for all.

    It may be called fewer times, where OpenMP has fewer threads to give: who is there must do everything.

    Args:
        function: Of `vsr.kernels.llvm.Library.function`, with one argument.
        threads: At most so many.
    """
    if threads == 1:
        function(argument)
    elif (parallel := _parallel()) is not None:
        parallel(ctypes.cast(function, ctypes.c_void_p), argument, threads, 0)
    else:
        wait([_pool(threads).submit(function, argument) for _ in range(threads)])


@cache
def _parallel() -> Any:
    """GNU's entry to OpenMP, `(function, argument, threads, flags)`, if torch brought it along."""
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
