"""Which worker makes which segment, and what happens to the segments of a worker that ends early.

Segments are handed out in the order of the video, so its first minutes are finished first. Nothing here knows
processes or files: a caller reports what happens, and asks what is next.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field

ATTEMPTS = 3
"""How often a segment may end its worker before it is given up."""


@dataclass(slots=True, kw_only=True)
class Claims:
    """The state of all segments of a job."""

    finished: set[int] = field(default_factory=set)
    """Numbers of the segments that are done."""
    duplicates: bool = False
    """Whether an idle worker gets a segment that another one is making, if nothing else is left; the first
    result counts. A slow machine then delays the end of a job less."""
    known: set[int] | None = None
    """Numbers of all segments of the video; None until it was decoded to its end."""
    _first: int = 0
    _end: int | None = None
    """The number after the last segment, as far as a worker has found it."""
    _holders: dict[int, str] = field(default_factory=dict)
    """The worker of each segment that is being made."""
    _again: dict[int, str] = field(default_factory=dict)
    """The second worker of each segment that two workers are making."""
    _strikes: dict[int, int] = field(default_factory=dict)
    """How many workers ended while they made a segment."""

    @property
    def failed(self) -> list[int]:
        """Numbers of the segments that were given up."""
        return sorted(n for n, strikes in self._strikes.items() if strikes >= ATTEMPTS)

    def take(self, worker: str, *, is_idle: bool) -> int | None:
        """Give a worker its next segment; None if there is none now.

        A segment that ended a worker before is made alone, so that no other segment is blamed for it: it is
        given only to an idle worker, which gets no other one until it is finished.

        Args:
            worker: The worker's name.
            is_idle: Whether the worker has finished its other segments.
        """
        if not is_idle and any(number in self._strikes for number in self.held_by(worker)):
            return None
        number = self._next(with_strikes=is_idle)
        if number is not None:
            self._holders[number] = worker
        elif is_idle and self.duplicates and self.known is not None:
            number = self._slowest()
            if number is not None:
                self._again[number] = worker
        return number

    def finish(self, number: int) -> list[str]:
        """Record that a segment is done; returns the workers that were making it."""
        workers = [name for holders in (self._holders, self._again) if (name := holders.pop(number, None))]
        self._strikes.pop(number, None)
        self.finished.add(number)
        return workers

    def skip(self, number: int, first: int) -> None:
        """Record that the video has no frame in segment `number`, and begins in segment `first`.

        A video that is cut at its beginning has frames from a later segment on.
        """
        self._holders.pop(number, None)
        self._first = max(self._first, first)

    def give_back(self, number: int, worker: str) -> None:
        """Hand back a segment that a worker has not begun."""
        for holders in (self._holders, self._again):
            if holders.get(number) == worker:
                del holders[number]

    def end(self, worker: str, number: int) -> None:
        """Record that the video ends before segment `number`, which a worker was to make."""
        self._end = number if self._end is None else min(self._end, number)
        for held in self.held_by(worker):
            if held >= number:
                self.give_back(held, worker)

    def lose(self, worker: str) -> list[int]:
        """Hand back the segments of a worker that ended, and count it against them; returns their numbers."""
        lost = self.held_by(worker)
        self.release(worker)
        for number in lost:
            self._strikes[number] = self._strikes.get(number, 0) + 1
        return lost

    def release(self, worker: str) -> None:
        """Hand back the segments of a worker, whose end has another cause."""
        for number in self.held_by(worker):
            self.give_back(number, worker)

    def held_by(self, worker: str) -> list[int]:
        """Return the numbers of the segments that a worker is making."""
        rows = [*self._holders.items(), *self._again.items()]
        return sorted(number for number, holder in rows if holder == worker)

    @property
    def is_over(self) -> bool:
        """Whether every segment is finished or given up."""
        return self.known is not None and not self.missing - set(self.failed)

    @property
    def missing(self) -> Set[int]:
        """Numbers of the segments that are not finished, of those that are known."""
        return (self.known or set()) - self.finished

    def _next(self, *, with_strikes: bool) -> int | None:
        for number in self._candidates():
            if self.known is None and self._end is not None and number >= self._end:
                return None
            strikes = self._strikes.get(number, 0)
            if strikes < ATTEMPTS and (with_strikes or not strikes):
                return number
        return None

    def _slowest(self) -> int | None:
        """The first segment that one worker alone is making."""
        return min(
            self._holders.keys() & self.missing - self._again.keys() - self._strikes.keys(), default=None
        )

    def _candidates(self) -> Iterable[int]:
        """Numbers of segments that nobody has made or is making, in order."""
        if self.known is not None:
            yield from sorted(self.missing - self._holders.keys() - self._again.keys())
            return
        number = self._first
        while True:
            if number not in self.finished and number not in self._holders:
                yield number
            number += 1
