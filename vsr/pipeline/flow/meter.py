"""Busy time of each stage, in all and over the course of the run, and counters."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any, TypeVar

from vsr.pipeline.flow.occupancy import Occupancy
from vsr.pipeline.flow.threads import close_items

T = TypeVar("T")


class Meter:
    """Measures the busy time of each stage in seconds, on all threads."""

    def __init__(self) -> None:
        self._busy: dict[str, float] = {}
        self._occupancy = Occupancy()
        self.counts: dict[str, int] = {}
        self._lock = threading.Lock()
        self._start = time.monotonic()

    @contextmanager
    def __call__(self, stage: str) -> Generator[None, None, None]:
        """Count the time inside the `with` block for `stage`; never `yield` inside it."""
        begin = time.monotonic()
        try:
            yield
        finally:
            end = time.monotonic()
            with self._lock:
                self._busy[stage] = self._busy.get(stage, 0.0) + end - begin
                self._occupancy.add(stage, begin - self._start, end - self._start)

    def add(self, stage: str, seconds: float) -> None:
        """Count busy time that another process has measured; see also `merge`."""
        with self._lock:
            self._busy[stage] = self._busy.get(stage, 0.0) + seconds

    def merge(self, occupancy: dict[str, Any], *, lasted: float) -> None:
        """Add when the stages of another process were busy.

        Args:
            occupancy: Its record.
            lasted: How long ago the record began, in seconds.
        """
        with self._lock:
            self._occupancy.merge(occupancy, start=self.elapsed - lasted)

    def occupancy(self) -> dict[str, Any]:
        """Return when each stage was busy; see `Occupancy.as_dict`."""
        with self._lock:
            return self._occupancy.as_dict()

    def timed(self, stage: str, items: Iterable[T]) -> Generator[T, None, None]:
        """Pass items on, and count the time to make each of them for `stage`."""
        iterator = iter(items)
        try:
            while True:
                with self(stage):
                    item = next(iterator, _NOTHING)
                if isinstance(item, _Nothing):
                    return
                yield item
        finally:
            close_items(iterator)

    def count(self, what: str, number: int) -> None:
        """Add to a counter for the report."""
        with self._lock:
            self.counts[what] = self.counts.get(what, 0) + number

    @property
    def elapsed(self) -> float:
        """Seconds since the meter was created."""
        return time.monotonic() - self._start

    def busy(self) -> dict[str, float]:
        """Return the busy seconds of each stage, largest first."""
        with self._lock:
            return dict(sorted(self._busy.items(), key=lambda row: -row[1]))

    def bottleneck(self, threads: tuple[tuple[str, ...], ...]) -> str:
        """Return the largest stage of the busiest thread; "" before any work."""
        busy = self.busy()
        sums = [(sum(busy.get(s, 0.0) for s in stages), stages) for stages in threads]
        total, stages = max(sums, default=(0.0, ()))
        return max(stages, key=lambda s: busy.get(s, 0.0)) if total > 0 else ""


class _Nothing:
    pass


_NOTHING = _Nothing()
