"""The part of the source that `--start` and `--end` select."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from vsr.media.audit.contents import Chapter, Contents
from vsr.settings.schema import Deinterlace


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A range in seconds after the first frame of the source; None stands for its start or end."""

    start: Fraction | None = None
    end: Fraction | None = None
    """Frames at this time are not part of the range."""

    @property
    def whole(self) -> bool:
        """Whether it is the whole source."""
        return self.start is None and self.end is None

    @property
    def from_start(self) -> bool:
        """Whether it begins at the start of the source."""
        return not self.start

    def frames(self, times: Sequence[Fraction]) -> list[int]:
        """Return the numbers of the frames in the range."""
        return [i for i, time in enumerate(times) if self.holds(time)]

    def holds(self, time: Fraction) -> bool:
        """Return whether a time is in the range."""
        return (self.start is None or time >= self.start) and (self.end is None or time < self.end)

    def origin(self, times: Sequence[Fraction]) -> Fraction:
        """Return the time of the first frame in the range."""
        return next((time for time in times if self.holds(time)), Fraction(0))

    def chapters(self, contents: Contents) -> list[Chapter]:
        """Return the chapters in the range, trimmed to it, with times after its first frame."""
        origin = self.origin(contents.frames.times)
        cut = []
        for chapter in contents.chapters:
            begin = chapter.begin if self.start is None else max(chapter.begin, self.start)
            end = chapter.end if self.end is None else min(chapter.end, self.end)
            if self.whole or begin < end:
                cut.append(Chapter(begin - origin, end - origin, chapter.title))
        return cut


def likely_work(before: Contents, after: Contents, span: Span) -> list[Deinterlace]:
    """Return which work on fields may explain the number of the result's frames; usually none."""
    old, new = len(span.frames(before.frames.times)), len(after.frames.times)
    if new > old:
        return ["double"]
    return ["film"] if old * Fraction(3, 4) < new < old * Fraction(99, 100) else []
