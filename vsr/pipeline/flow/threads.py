"""The pipeline's only threads: `Prefetch` upstream, `Handover` downstream.

These are the pipeline's only threads. An error on either is raised in the thread that they serve: upstream,
at the place where the missing item would have come. Closing stops the thread and waits for it, so no decoder
or encoder is closed while it works.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from vsr.pipeline.flow.marks import Idle

T = TypeVar("T")


class Prefetch(Generic[T]):
    """Iterates over `items` on a thread, at most `depth` items ahead of the consumer."""

    def __init__(self, items: Iterable[T], *, depth: int, name: str = "prefetch") -> None:
        """Start the thread.

        Args:
            items: Consumed, and closed if it has a `close`, on the thread.
            depth: Items that may wait; what bounds the memory of a pipeline.
            name: Of the thread, for a dump of stacks.
        """
        self._channel: _Channel[T] = _Channel(depth)
        self._thread = threading.Thread(target=_fill, args=(items, self._channel), name=name, daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def or_idle(self) -> Iterator[T | Idle]:
        """The items, and a mark each time that none is ready, before the wait for it."""
        while True:
            if self._channel.is_empty():
                yield Idle()
            try:
                item = next(self)
            except StopIteration:
                return
            yield item

    def __next__(self) -> T:
        # An exception that lands here (Ctrl-C) passes at once: only `close` waits for the thread.
        item = self._channel.get()
        if isinstance(item, _End):
            raise StopIteration
        return item

    def close(self) -> None:
        """Stop the thread and wait for it; harmless when repeated."""
        self._channel.stop()
        self._thread.join()


class Handover(Generic[T]):
    """Gives items to `take` on a thread, which is at most `depth` items behind."""

    def __init__(self, take: Callable[[T], object], *, depth: int, name: str = "handover") -> None:
        """Start the thread.

        Args:
            take: Called with each item, in order, on the thread.
            depth: Items that may wait; what bounds the memory of a pipeline.
            name: Of the thread, for a dump of stacks.
        """
        self._channel: _Channel[T] = _Channel(depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._drain, args=(take,), name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand an item over; waits for a place, and raises what `take` raised."""
        if not self._channel.put(item):
            self._raise()

    def finish(self) -> None:
        """Wait until everything is taken; raises what `take` raised."""
        self._channel.end(None)
        self._thread.join()
        self._raise()

    def close(self) -> None:
        """Drop what waits, stop the thread and wait for it; harmless when repeated, or when finished."""
        self._channel.stop()
        self._channel.end(None)
        self._thread.join()

    def _drain(self, take: Callable[[T], object]) -> None:
        try:
            while not isinstance(item := self._channel.get(), _End):
                take(item)
        except BaseException as caught:  # raised again in `put` or `finish`, whatever it is
            self._error = caught
            self._channel.stop()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


class _End:
    pass


_END = _End()


class _Channel(Generic[T]):
    """A bounded queue with an end, an error and a way to stop the writer; nobody polls."""

    def __init__(self, depth: int) -> None:
        self._items: deque[T] = deque()
        self._depth = depth
        self._changed = threading.Condition()
        self._stopped = False
        self._ended = False
        self._error: BaseException | None = None

    def put(self, item: T) -> bool:
        """Wait for a place; False when the consumer has gone."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or len(self._items) < self._depth)
            if not self._stopped:
                self._items.append(item)
                self._changed.notify_all()
            return not self._stopped

    def get(self) -> T | _End:
        """The next item, `_END`, or the writer's error once the items before it are out."""
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
        """Whether `get` would wait."""
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
    """Close a generator, or whatever has a `close`, that is read no further: on the thread that read it."""
    close: Callable[[], None] | None = getattr(items, "close", None)
    if close is not None:
        close()


def _fill(items: Iterable[T], channel: _Channel[T]) -> None:
    error: BaseException | None = None
    try:
        for item in items:
            if not channel.put(item):
                break
    except BaseException as caught:  # handed to the consumer, whatever it is
        error = caught
    try:
        close_items(items)
    except BaseException as caught:
        error = error or caught
    channel.end(error)
