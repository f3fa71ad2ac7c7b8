"""The pipeline's only threads: `Prefetch` for the upstream side, `Handover` for the downstream side.

An error on a thread is raised again in the thread that uses it: for `Prefetch`, where the missing item would
have come. `close` stops the thread and waits for it, so that no decoder or encoder is closed while it works.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from vsr.pipeline.flow.marks import Idle

T = TypeVar("T")


class Prefetch(Generic[T]):
    """Iterates over `items` on a thread that is at most `depth` items ahead of the consumer."""

    def __init__(self, items: Iterable[T], *, depth: int, name: str = "prefetch") -> None:
        """Start the thread.

        Args:
            items: Iterable that the thread reads, and closes if it has a `close`.
            depth: Largest number of waiting items, which limits the memory of the pipeline.
            name: Name of the thread, for stack dumps.
        """
        self._channel: _Channel[T] = _Channel(depth)
        self._thread = threading.Thread(target=_fill, args=(items, self._channel), name=name, daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def or_idle(self) -> Iterator[T | Idle]:
        """Yield the items, and an `Idle` mark before each wait for an item that is not ready."""
        while True:
            if self._channel.is_empty():
                yield Idle()
            try:
                item = next(self)
            except StopIteration:
                return
            yield item

    def __next__(self) -> T:
        # An exception here (Ctrl-C) propagates at once; only `close` waits for the thread.
        item = self._channel.get()
        if isinstance(item, _End):
            raise StopIteration
        return item

    def close(self) -> None:
        """Stop the thread and wait for it; repeated calls do nothing."""
        self._channel.stop()
        self._thread.join()


class Handover(Generic[T]):
    """Passes items to the function `take` on a thread, which is at most `depth` items behind."""

    def __init__(self, take: Callable[[T], object], *, depth: int, name: str = "handover") -> None:
        """Start the thread.

        Args:
            take: Called with each item, in order, on the thread.
            depth: Largest number of waiting items, which limits the memory of the pipeline.
            name: Name of the thread, for stack dumps.
        """
        self._channel: _Channel[T] = _Channel(depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._drain, args=(take,), name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Pass an item on; waits if the queue is full, and raises the error of `take`."""
        if not self._channel.put(item):
            self._raise()

    def finish(self) -> None:
        """Wait until all items are processed; raises the error of `take`."""
        self._channel.end(None)
        self._thread.join()
        self._raise()

    def close(self) -> None:
        """Discard waiting items, stop the thread and wait for it; calls after the end do nothing."""
        self._channel.stop()
        self._channel.end(None)
        self._thread.join()

    def _drain(self, take: Callable[[T], object]) -> None:
        try:
            while not isinstance(item := self._channel.get(), _End):
                take(item)
        except BaseException as caught:  # any error is raised again in `put` or `finish`
            self._error = caught
            self._channel.stop()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


class _End:
    pass


_END = _End()


class _Channel(Generic[T]):
    """A bounded queue that passes the writer's end and error to the reader, and can stop the writer."""

    def __init__(self, depth: int) -> None:
        self._items: deque[T] = deque()
        self._depth = depth
        self._changed = threading.Condition()
        self._stopped = False
        self._ended = False
        self._error: BaseException | None = None

    def put(self, item: T) -> bool:
        """Wait for a free place; return False if the reader has stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or len(self._items) < self._depth)
            if not self._stopped:
                self._items.append(item)
                self._changed.notify_all()
            return not self._stopped

    def get(self) -> T | _End:
        """Return the next item or `_END`; raises the writer's error after the last item."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._ended)
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            if self._error is not None:
                raise self._error
            return _END

    def is_empty(self) -> bool:
        """Return whether `get` would wait."""
        with self._changed:
            return not self._items and not self._ended

    def end(self, error: BaseException | None) -> None:
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()


def close_items(items: object) -> None:
    """Close a generator, or any object with `close`, on the thread that has read it."""
    close: Callable[[], None] | None = getattr(items, "close", None)
    if close is not None:
        close()


def _fill(items: Iterable[T], channel: _Channel[T]) -> None:
    error: BaseException | None = None
    try:
        for item in items:
            if not channel.put(item):
                break
    except BaseException as caught:  # any error is passed to the consumer
        error = caught
    try:
        close_items(items)
    except BaseException as caught:
        error = error or caught
    channel.end(error)
