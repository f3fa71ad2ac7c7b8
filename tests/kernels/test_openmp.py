"""A compiled function runs on several threads at once, with OpenMP or without, and all of its parts once."""

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
from vsr.kernels.llvm import POINTER, Code, Library, number  # noqa: E402

PARTS = 97
ON_GNU = (platform.system(), platform.machine()) == ("Linux", "x86_64")


@pytest.fixture(scope="module")
def counting() -> Any:
    """Adds one to each number behind the first two: the next part to be taken, how often it was called."""
    module = ir.Module()
    code = Code(module, "count", (POINTER,))
    memory = code.arguments[0]
    code.taken(code.at(memory, 8))
    with code.parts(memory, number(PARTS)) as part:
        code.taken(code.at(code.at(memory, 16), code.ir.mul(part, number(8))))
    code.ir.ret_void()
    return Library(module).function("count", 1)


@pytest.fixture(autouse=True)
def _no_thread_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pools live as long as the process; those of these tests end with them."""
    made: list[ThreadPoolExecutor] = []

    def pool(threads: int) -> ThreadPoolExecutor:
        made.append(ThreadPoolExecutor(threads, "vsr-openmp"))
        return made[-1]

    monkeypatch.setattr(openmp, "_pool", cache(pool))
    yield
    for one in made:
        one.shutdown()


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("found", [True, False], ids=["OpenMP", "threads of our own"])
def test_each_part_is_done_once(
    counting: Any, threads: int, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not found:
        monkeypatch.setattr(openmp, "_parallel", lambda: None)
    elif ON_GNU:
        assert openmp._parallel() is not None  # torch brings it along
    for _ in range(20):
        memory = np.zeros(2 + PARTS, np.int64)
        openmp.call(counting, memory.ctypes.data, threads)
        assert (memory[2:] == 1).all()
        assert memory[1] == threads
