"""Single timestamps that lie far from those before and after: damage, as one flipped bit makes it.

Taken as it is, such a time would tear a film apart, or end the muxing when days of work are done: what
follows seems to run back in time.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Generic, TypeVar

T = TypeVar("T")
FAR = Fraction(1)
"""Seconds: nearer to its neighbours a time is kept as it is."""
AGES = Fraction(12 * 3600)
"""Seconds: a last time further away than this is damage, too, though nothing follows to say so."""


class StrayTimes(Generic[T]):
    """Takes the items of a stream with their times; one whose time strays gets one between its neighbours'.

    An item is held back only where its time is far from the one before, until the next one tells.
    """

    def __init__(self, time_base: Fraction, *, far: Fraction = FAR) -> None:
        """Times are in ticks of `time_base`; `far` is in seconds."""
        self.repaired = 0
        """Times that strayed."""
        self._far, self._ages = int(far / time_base), int(max(far, AGES) / time_base)
        self._last: int | None = None
        self._step = 1
        self._held: tuple[T, int] | None = None

    def push(self, item: T, time: int) -> list[tuple[T, int]]:
        """Take the next item; give those whose time is settled."""
        held, self._held = self._held, None
        if self._last is None or (held is None and self._is_near(time, self._last)):
            return [self._settled(item, time)]
        if held is None:
            self._held = item, time
            return []
        if self._is_near(time, held[1]):  # the film itself goes on there
            return [self._settled(*held), self._settled(item, time)]
        if self._last < time and self._is_near(time, self._last):
            self.repaired += 1
            return [self._settled(held[0], (self._last + time) // 2), self._settled(item, time)]
        self._held = item, time
        return [self._settled(*held)]

    def flush(self) -> list[tuple[T, int]]:
        """What is held at the end."""
        held, self._held = self._held, None
        if held is None or self._last is None:
            return []
        if abs(held[1] - self._last) > self._ages:
            self.repaired += 1
            return [self._settled(held[0], self._last + self._step)]
        return [self._settled(*held)]

    def _is_near(self, time: int, other: int) -> bool:
        return abs(time - other) <= self._far

    def _settled(self, item: T, time: int) -> tuple[T, int]:
        if self._last is not None and time > self._last:
            self._step = time - self._last
        self._last = time
        return item, time
