"""Threads of the pipeline: order is kept, errors are passed on, and no thread remains."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from vsr.pipeline.flow.marks import Idle
from vsr.pipeline.flow.threads import Handover, Prefetch


def running() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("test-")]


def test_all_items_come_in_order() -> None:
    with closing(Prefetch(range(1000), depth=3, name="test-order")) as items:
        assert list(items) == list(range(1000))
    assert not running()


def test_an_upstream_error_is_raised_in_its_place_and_the_thread_ends() -> None:
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise RuntimeError("broken upstream")

    seen: list[int] = []
    items = Prefetch(failing(), depth=8, name="test-error")
    with pytest.raises(RuntimeError, match="broken upstream"):
        seen.extend(items)
    items.close()
    assert seen == [1, 2]
    assert not running()


def test_an_idle_mark_comes_once_before_each_wait() -> None:
    gate = threading.Semaphore(0)

    def live() -> Iterator[int]:
        for number in range(3):
            gate.acquire()
            yield number

    with closing(Prefetch(live(), depth=8, name="test-idle")) as items:
        seen: list[object] = []
        for item in items.or_idle():
            seen.append(item)
            if isinstance(item, Idle):
                gate.release()
    assert [type(item) for item in seen[:6]] == [Idle, int] * 3
    assert [item for item in seen if not isinstance(item, Idle)] == [0, 1, 2]


def test_at_most_depth_items_are_made_ahead() -> None:
    made = 0

    def counting() -> Iterator[int]:
        nonlocal made
        for i in range(100):
            made += 1
            yield i

    items = Prefetch(counting(), depth=3, name="test-ahead")
    next(items)
    time.sleep(0.2)  # enough time for an unlimited thread to make more
    assert made <= 1 + 3 + 1  # taken, waiting, and held by the writer
    items.close()
    assert not running()


def test_leaving_early_stops_the_thread_and_closes_the_upstream() -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    items = Prefetch(endless(), depth=2, name="test-early")
    next(items)
    items.close()
    assert closed.is_set()
    assert not running()


def test_prefetches_can_be_nested() -> None:
    inner = Prefetch(range(50), depth=2, name="test-inner")
    outer = Prefetch((i * 2 for i in inner), depth=2, name="test-outer")
    assert next(outer) == 0
    outer.close()
    inner.close()
    assert not running()


def test_an_error_while_closing_the_upstream_is_raised() -> None:
    class Sour:
        def __iter__(self) -> Iterator[int]:
            return iter([1])

        def close(self) -> None:
            raise OSError("close failed")

    with pytest.raises(OSError, match="close failed"):
        list(Prefetch(Sour(), depth=1, name="test-sour"))


def test_an_exception_in_the_waiting_consumer_does_not_wait_for_the_thread() -> None:
    """After Ctrl-C during a slow computation, the output must be given up before waiting for the thread."""
    release = threading.Event()

    def slow() -> Iterator[int]:
        release.wait(30)
        yield 1

    items = Prefetch(slow(), depth=1, name="test-slow")
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        _next_with_an_interrupt(items)
    assert time.monotonic() - begin < 20, "waited for the thread"
    release.set()
    items.close()
    assert not running()


def test_a_handover_processes_every_item_in_order_before_it_finishes() -> None:
    taken: list[int] = []
    with closing(Handover(taken.append, depth=3, name="test-handover")) as handover:
        for i in range(1000):
            handover.put(i)
        handover.finish()
        assert taken == list(range(1000))
    assert not running()


def test_a_handover_is_at_most_depth_items_behind() -> None:
    release, taken = threading.Event(), list[int]()

    def slow(item: int) -> None:
        release.wait(30)
        taken.append(item)

    handed = 0
    handover = Handover(slow, depth=3, name="test-behind")

    def hand_over() -> None:
        nonlocal handed
        for i in range(10):
            handover.put(i)
            handed += 1

    giver = threading.Thread(target=hand_over)
    giver.start()
    time.sleep(0.2)  # enough time for a writer that does not wait to pass more
    assert handed <= 3 + 1  # waiting, and held by the reader
    release.set()
    giver.join()
    handover.finish()
    assert taken == list(range(10))


@pytest.mark.parametrize("items", [1, 100])
def test_an_error_of_the_reader_reaches_the_writer(items: int) -> None:
    def failing(_: int) -> None:
        raise OSError("disk full")

    handover = Handover(failing, depth=2, name="test-taker")

    def give() -> None:
        for i in range(items):
            handover.put(i)
        handover.finish()

    with pytest.raises(OSError, match="disk full"):
        give()
    handover.close()
    assert not running()


def test_closing_a_handover_discards_waiting_items_and_waits_for_the_current_one() -> None:
    begun, taken = threading.Event(), list[int]()

    def slow(item: int) -> None:
        begun.set()
        while not handover._channel._stopped:  # until `close` has begun
            time.sleep(0.01)
        taken.append(item)

    handover = Handover(slow, depth=8, name="test-close")
    for i in range(8):
        handover.put(i)
    begun.wait(30)
    handover.close()
    assert taken == [0]
    assert not running()


def _next_with_an_interrupt(items: Prefetch[int]) -> int:
    threading.Timer(0.2, _raise_in_main).start()
    return next(items)


def _raise_in_main() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # as the kernel does
