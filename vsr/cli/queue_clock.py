"""Estimates the time that is left for a queue of files, and describes its progress."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vsr.cli.progress import Line, Speed, Words, clock
from vsr.errors import VsrError
from vsr.settings.schema import UpscaleSettings

if TYPE_CHECKING:
    from vsr.pipeline.run import Progress

ETA_FROM = 5.0
"""Seconds of work that must be measured before the time that is left is estimated."""
WINDOW_SECONDS = 1800.0
"""Seconds of work over which the speed of a queue is measured: several files, because they differ."""


class QueueClock:
    """Estimates the time that is left for a queue, from the number of pixels done and the number left."""

    def __init__(self, sources: Sequence[Path], settings: UpscaleSettings) -> None:
        self._weights = [_pixels(source, settings) for source in sources]
        self._left = sum(self._weights)
        self._made: deque[tuple[float, float]] = deque()
        """Pixels and seconds of the last computed files."""
        self._file = _Current()
        self.number = 0
        """Of the file that is next, the first being 1."""
        self._header = ""

    @property
    def count(self) -> int:
        """The number of files."""
        return len(self._weights)

    def is_new(self, header: str) -> bool:
        """Return whether a header differs from that of the file before, which was printed."""
        before, self._header = self._header, header
        return header != before

    def begins(self, number: int) -> None:
        """Record that a file begins; `number` counts from 1."""
        self.number, self._file = number, _Current()

    def ended(self, seconds: float, *, computed: bool) -> None:
        """Record that the file has ended after a number of seconds.

        `computed` is False for a file that was skipped or that failed: its time does not show the speed.
        """
        weight = self._weights[self.number - 1]
        self._left -= weight
        if not computed:
            return
        worked = seconds - self._file.paused
        if not self._made and self._file.seconds:  # the first file alone waits until the model is loaded
            worked = self._file.seconds
        self._made.append((weight * self._file.computed, worked))
        while len(self._made) > 1 and self._seconds - self._made[0][1] > WINDOW_SECONDS:
            self._made.popleft()

    @property
    def _seconds(self) -> float:
        return sum(seconds for _, seconds in self._made)

    def words(self) -> Words:
        """Return a function that describes the progress of the current file and of the queue."""
        line = Line()

        def describe(now: Progress) -> str:
            words = line.parts(now)
            left = self.seconds_left(now, line.speed)
            if left is not None:
                words.insert(-1 if now.bottleneck else len(words), f"{clock(left)} for all")
            return f"[{self.number}/{self.count}] {', '.join(words)}"

        return describe

    def seconds_left(self, now: Progress, speed: Speed) -> float | None:
        """Return the seconds that are left for the queue; None until that can be estimated.

        Args:
            now: Progress of the current file.
            speed: Its speed, to which `now` has been added.
        """
        self._file = _Current.at(now, speed)
        weight = self._weights[self.number - 1]
        done = sum(pixels for pixels, _ in self._made) + weight * self._file.computed
        seconds = self._seconds + self._file.seconds
        left = self._left - weight * self._file.finished
        return None if seconds < ETA_FROM or not done else left * seconds / done


@dataclass(frozen=True, slots=True, kw_only=True)
class _Current:
    """How far the current file is; without its progress, all of it counts as computed in its time."""

    computed: float = 1.0
    """The part of the frames that this run has computed."""
    finished: float = 1.0
    """The same with the frames of an interrupted run."""
    seconds: float = 0.0
    """Of work since the first frame, without pauses."""
    paused: float = 0.0

    @classmethod
    def at(cls, now: Progress, speed: Speed) -> _Current:
        total = max(1, now.total or 0, now.kept + now.frames)
        seconds = now.seconds - speed.started - speed.paused
        computed, finished = now.frames / total, (now.kept + now.frames) / total
        if now.total is None:
            computed = finished = 0.0
        return cls(computed=computed, finished=finished, seconds=seconds, paused=speed.paused)


def _pixels(source: Path, settings: UpscaleSettings) -> float:
    """Return the number of pixels of all frames of a file together; 0 if its headers do not tell."""
    from vsr.media.decode.facts.probe import probe
    from vsr.media.files.opening import MAX_PIXELS
    from vsr.pipeline.job.frame_count import frames_expected

    with suppress(VsrError, OSError):
        most = settings.max_pixels or MAX_PIXELS
        info = probe(source, video_stream=settings.video_stream, max_pixels=most)
        return float((frames_expected(info, settings) or 0) * info.width * info.height)
    return 0.0
