"""Repairs single timestamps far from those before and after them: damage such as one flipped bit.

Kept as it is, such a time would leave a long gap in the video, or stop the muxer near the end of a long run
because all later times seem to run back.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Generic, TypeVar

T = TypeVar("T")
FAR = Fraction(1)
"""In seconds; a time nearer than this to its neighbours is kept."""
AGES = Fraction(12 * 3600)
"""In seconds; a last time further away than this from the one before is damage, too, although no later time
confirms it."""


class StrayTimes(Generic[T]):
    """Takes the items of a stream with their times. A wrong time is replaced by one between its neighbours.

    An item is held back only if its time is far from the previous one, until the next time shows which is
    right.
    """

    def __init__(self, time_base: Fraction, *, far: Fraction = FAR) -> None:
        """Start before the first item; times are in ticks of `time_base`, and `far` is in seconds."""
        self.repaired = 0
        """The number of times that were replaced."""
        self._far, self._ages = int(far / time_base), int(max(far, AGES) / time_base)
        self._last: int | None = None
        self._step = 1
        self._held: tuple[T, int] | None = None

    def push(self, item: T, time: int) -> list[tuple[T, int]]:
        """Take the next item, and return those whose times are decided."""
        held, self._held = self._held, None
        if self._last is None or (held is None and self._is_near(time, self._last)):
            return [self._settled(item, time)]
        if held is None:
            self._held = item, time
            return []
        if self._is_near(time, held[1]):  # the stream itself continues there
            return [self._settled(*held), self._settled(item, time)]
        if self._last < time and self._is_near(time, self._last):
            self.repaired += 1
            return [self._settled(held[0], (self._last + time) // 2), self._settled(item, time)]
        self._held = item, time
        return [self._settled(*held)]

    def flush(self) -> list[tuple[T, int]]:
        """Return the item that is held at the end of the stream, if any."""
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
