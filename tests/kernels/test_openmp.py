"""A compiled function runs on several threads, with OpenMP or without, and each work item is done once."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pytest

ir = pytest.importorskip("llvmlite.ir")

from vsr.kernels import openmp  # noqa: E402
from vsr.kernels.llvm import POINTER, Code, Library, int64  # noqa: E402

ITEMS = 97
ON_GNU = (platform.system(), platform.machine()) == ("Linux", "x86_64")


@pytest.fixture(scope="module")
def counting() -> Any:
    """A function that counts its calls in number 1, and adds one to a number of each work item from number 2
    on.

    Number 0 is the next work item.
    """
    module = ir.Module()
    code = Code(module, "count", (POINTER,))
    memory = code.arguments[0]
    code.fetch_add(code.offset(memory, 8))
    with code.work_items(memory, int64(ITEMS)) as item:
        code.fetch_add(code.offset(code.offset(memory, 16), code.ir.mul(item, int64(8))))
    code.ir.ret_void()
    return Library(module).function("count", 1)


@pytest.fixture(autouse=True)
def _no_thread_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """End the threads of the pools, which otherwise live as long as the process."""
    made: list[ThreadPoolExecutor] = []

    def pool(threads: int) -> ThreadPoolExecutor:
        made.append(ThreadPoolExecutor(threads, "vsr-openmp"))
        return made[-1]

    monkeypatch.setattr(openmp, "_pool", cache(pool))
    yield
    for one in made:
        one.shutdown()


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("has_openmp", [True, False], ids=["OpenMP", "Python threads"])
def test_each_work_item_is_done_once(
    counting: Any, threads: int, has_openmp: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_openmp:
        monkeypatch.setattr(openmp, "_parallel", lambda: None)
    elif ON_GNU:
        assert openmp._parallel() is not None  # torch loads GNU OpenMP
    for _ in range(20):
        memory = np.zeros(2 + ITEMS, np.int64)
        openmp.call(counting, memory.ctypes.data, threads)
        assert (memory[2:] == 1).all()
        assert memory[1] == threads
