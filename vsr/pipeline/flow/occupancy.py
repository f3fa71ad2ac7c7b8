"""Busy time of stages over the course of a run, in intervals of equal length.

The number of intervals is limited: when a run outgrows them, each two are joined. So a record takes the same
memory, and the same microsecond for each entry, whatever the length of the run.
"""

from __future__ import annotations

from typing import Any

MOST = 120
"""Largest number of intervals."""
_FIRST = 0.25
"""Seconds of an interval at the start of a run."""


class Occupancy:
    """Busy seconds of each stage in each interval; not thread-safe."""

    def __init__(self) -> None:
        self._interval = _FIRST
        self._rows: dict[str, list[float]] = {}

    def add(self, stage: str, begin: float, end: float) -> None:
        """Count a stage as busy from `begin` to `end`, in seconds from the start of the run, at least 0."""
        while end >= MOST * self._interval:
            self._join_pairs()
        row = self._rows.get(stage)
        if row is None:
            row = self._rows[stage] = [0.0] * MOST
        first, last = int(begin / self._interval), int(end / self._interval)
        if first == last:
            row[first] += end - begin
            return
        row[first] += (first + 1) * self._interval - begin
        for middle in range(first + 1, last):
            row[middle] += self._interval
        row[last] += end - last * self._interval

    def _join_pairs(self) -> None:
        self._interval *= 2
        for row in self._rows.values():
            row[:] = [a + b for a, b in zip(row[::2], row[1::2], strict=True)] + [0.0] * (MOST // 2)

    def merge(self, other: dict[str, Any], *, start: float) -> None:
        """Add another record, such as that of a worker.

        Args:
            other: What `as_dict` returns.
            start: When it began, in seconds from the start of this one; what was before counts as 0.
        """
        width = other["interval_seconds"]
        for stage, row in other["busy"].items():
            for number, busy in enumerate(row):
                begin = max(0.0, start + number * width)
                # The busy time is put at the beginning of its interval: where in it is not known.
                self.add(stage, begin, begin + min(busy, width))

    def as_dict(self) -> dict[str, Any]:
        """Return the seconds of an interval, and for each stage its busy seconds in each of them."""
        used = max((n + 1 for row in self._rows.values() for n, busy in enumerate(row) if busy), default=0)
        busy = {stage: [round(seconds, 3) for seconds in row[:used]] for stage, row in self._rows.items()}
        return {"interval_seconds": self._interval, "busy": busy}
