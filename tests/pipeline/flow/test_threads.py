"""Threads added from outside: order kept, errors passed on, nothing left running."""

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


def test_items_come_in_order_and_all_of_them() -> None:
    with closing(Prefetch(range(1000), depth=3, name="test-order")) as items:
        assert list(items) == list(range(1000))
    assert not running()


def test_an_error_upstream_is_raised_in_its_place_and_the_thread_ends() -> None:
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


def test_that_nothing_is_ready_is_said_once_before_each_wait() -> None:
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

    items = Prefetch(endless(), depth=2, name="test-early")
    next(items)
    items.close()
    assert closed.is_set()
    assert not running()


def test_it_nests() -> None:
    inner = Prefetch(range(50), depth=2, name="test-inner")
    outer = Prefetch((i * 2 for i in inner), depth=2, name="test-outer")
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
        list(Prefetch(Sour(), depth=1, name="test-sour"))


def test_an_exception_in_the_waiting_consumer_does_not_wait_for_the_thread() -> None:
    """Ctrl-C while a slow network computes: the output must be given up before the thread is waited for."""
    release = threading.Event()

    def slow() -> Iterator[int]:
        release.wait(30)
        yield 1

    items = Prefetch(slow(), depth=1, name="test-slow")
    timer = threading.Timer(0.2, _raise_in_main)
    timer.start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        next(items)
    assert time.monotonic() - begin < 20, "waited for the thread"
    release.set()
    items.close()
    assert not running()


def test_a_handover_takes_every_item_in_order_before_it_is_finished() -> None:
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
    time.sleep(0.2)  # time enough for a giver that does not wait to run away
    assert handed <= 3 + 1  # waiting, and in the taker's hand
    release.set()
    giver.join()
    handover.finish()
    assert taken == list(range(10))


@pytest.mark.parametrize("items", [1, 100])
def test_an_error_of_the_taker_reaches_the_giver(items: int) -> None:
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


def test_closing_a_handover_drops_what_waits_and_waits_for_what_is_under_way() -> None:
    begun, taken = threading.Event(), list[int]()

    def slow(item: int) -> None:
        begun.set()
        time.sleep(0.2)
        taken.append(item)

    handover = Handover(slow, depth=8, name="test-close")
    for i in range(8):
        handover.put(i)
    begun.wait(30)
    handover.close()
    assert taken == [0]
    assert not running()


def _raise_in_main() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # as the kernel does
