"""Counts the frames that all workers of a job have computed, each frame of the video once."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class FramesDone:
    """The frames of finished segments, and those of segments that workers are making.

    A segment that two workers make counts as far as the faster one is. What a worker has computed of an
    unfinished segment is lost with the worker.
    """

    length: int
    """The number of frames in a segment."""
    finished: set[int]
    """Numbers of the segments that are finished; the caller adds to it."""
    frames: int = 0
    """All frames that count now."""
    _begun: dict[int, dict[str, int]] = field(default_factory=dict)
    """For each segment that is being made, the frames that each of its workers has computed."""

    def computed(self, worker: str, index: int) -> None:
        """Count the frame with a number in the video; those of a finished segment are counted already."""
        number = index // self.length
        if number in self.finished:
            return
        workers = self._begun.setdefault(number, {})
        before = max(workers.values(), default=0)
        workers[worker] = workers.get(worker, 0) + 1
        self.frames += max(before, workers[worker]) - before

    def made(self, number: int, frames: int) -> None:
        """Count a finished segment, in place of what was counted of it."""
        self.frames += frames - _most(self._begun.pop(number, {}))

    def lost(self, worker: str) -> None:
        """Take back what a worker has computed of unfinished segments."""
        for workers in self._begun.values():
            before = _most(workers)
            workers.pop(worker, None)
            self.frames += _most(workers) - before


def _most(workers: dict[str, int]) -> int:
    return max(workers.values(), default=0)
