"""Threads added from outside: order kept, errors passed on, nothing left running."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from vsr.pipeline.prefetch import prefetch


def running() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("test-")]


def test_items_come_in_order_and_all_of_them() -> None:
    assert list(prefetch(range(1000), depth=3, name="test-order")) == list(range(1000))
    assert not running()


def test_an_error_upstream_is_raised_in_its_place_and_the_thread_ends() -> None:
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise RuntimeError("broken upstream")

    seen: list[int] = []
    with pytest.raises(RuntimeError, match="broken upstream"):
        seen.extend(prefetch(failing(), depth=8, name="test-error"))
    assert seen == [1, 2]
    assert not running()


def test_at_most_depth_items_are_made_ahead() -> None:
    made = 0

    def counting() -> Iterator[int]:
        nonlocal made
        for i in range(100):
            made += 1
            yield i

    items = prefetch(counting(), depth=3, name="test-ahead")
    next(items)
    time.sleep(0.2)  # time enough for a thread that does not stop to run away
    assert made <= 1 + 3 + 1  # taken, waiting, and in the writer's hand
    items.close()
    assert not running()


def test_leaving_early_stops_the_thread_and_closes_what_is_upstream() -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    items = prefetch(endless(), depth=2, name="test-early")
    next(items)
    items.close()
    assert closed.is_set()
    assert not running()


def test_it_nests() -> None:
    inner = prefetch(range(50), depth=2, name="test-inner")
    outer = prefetch((i * 2 for i in inner), depth=2, name="test-outer")
    assert next(outer) == 0
    outer.close()
    inner.close()
    assert not running()


def test_an_error_of_closing_upstream_is_not_swallowed() -> None:
    class Sour:
        def __iter__(self) -> Iterator[int]:
            return iter([1])

        def close(self) -> None:
            raise OSError("close failed")

    with pytest.raises(OSError, match="close failed"):
        list(prefetch(Sour(), depth=1, name="test-sour"))
