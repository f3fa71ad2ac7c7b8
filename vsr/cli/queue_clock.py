"""Estimates the time that is left for a queue of files, and describes its progress."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vsr.cli.progress import Line, Words, clock
from vsr.errors import VsrError
from vsr.settings.schema import UpscaleSettings

if TYPE_CHECKING:
    from vsr.pipeline.run import Progress

ETA_FROM = 5.0
"""Seconds of work that must be measured before the time that is left is estimated."""


class QueueClock:
    """Estimates the time that is left for a queue, from the number of pixels done and the number left."""

    def __init__(self, sources: Sequence[Path], settings: UpscaleSettings) -> None:
        self._weights = [_pixels(source, settings) for source in sources]
        self._left = sum(self._weights)
        self._done = 0.0
        self._seconds = 0.0
        self.number = 0
        """Of the file that is next, the first being 1."""

    @property
    def count(self) -> int:
        """The number of files."""
        return len(self._weights)

    def begins(self, number: int) -> None:
        """Record that a file begins; `number` counts from 1."""
        self.number = number

    def ended(self, seconds: float, *, computed: bool) -> None:
        """Record that the file has ended after a number of seconds.

        `computed` is False for a file that was skipped or that failed: its time does not show the speed.
        """
        weight = self._weights[self.number - 1]
        self._left -= weight
        if computed:
            self._done += weight
            self._seconds += seconds

    def words(self) -> Words:
        """Return a function that describes the progress of the current file and of the queue."""
        line = Line()

        def describe(now: Progress) -> str:
            words = f"file {self.number} of {self.count}: {line(now)}"
            left = self.seconds_left(now)
            return words if left is None else f"{words}; {clock(left)} left for the queue"

        return describe

    def seconds_left(self, now: Progress) -> float | None:
        """Return the seconds that are left for the queue; None until that can be estimated."""
        weight = self._weights[self.number - 1]
        part = weight * min(1.0, now.frames / now.total) if now.total else 0.0
        done, seconds = self._done + part, self._seconds + now.seconds
        return None if seconds < ETA_FROM or not done else (self._left - part) * seconds / done


def _pixels(source: Path, settings: UpscaleSettings) -> float:
    """Return the number of pixels of all frames of a file together; 0 if its headers do not tell."""
    from vsr.media.decode.facts.probe import probe
    from vsr.media.files.opening import MAX_PIXELS

    with suppress(VsrError, OSError):
        most = settings.max_pixels or MAX_PIXELS
        info = probe(source, video_stream=settings.video_stream, max_pixels=most)
        frames = info.frames_promised or float((info.duration_seconds or 0) * (info.frame_rate or 0))
        return frames * info.width * info.height
    return 0.0
