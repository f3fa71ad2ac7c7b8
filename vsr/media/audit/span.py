"""The part of the source that `--start` and `--end` chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from vsr.media.audit.contents import Chapter, Contents


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Seconds from the first frame of the source; None is where it begins or ends."""

    start: Fraction | None = None
    end: Fraction | None = None
    """Frames of this time are no longer part of it."""

    @property
    def whole(self) -> bool:
        """Whether it is all of the source."""
        return self.start is None and self.end is None

    @property
    def from_start(self) -> bool:
        """Whether it begins where the source begins."""
        return not self.start

    def frames(self, times: Sequence[Fraction]) -> list[int]:
        """Numbers of the frames inside."""
        return [i for i, time in enumerate(times) if self.holds(time)]

    def holds(self, time: Fraction) -> bool:
        """Whether a time lies inside."""
        return (self.start is None or time >= self.start) and (self.end is None or time < self.end)

    def origin(self, times: Sequence[Fraction]) -> Fraction:
        """Time of the first frame inside."""
        return next((time for time in times if self.holds(time)), Fraction(0))

    def chapters(self, contents: Contents) -> list[Chapter]:
        """The chapters inside, cut to the span and counted from its first frame."""
        origin = self.origin(contents.frames.times)
        cut = []
        for chapter in contents.chapters:
            begin = chapter.begin if self.start is None else max(chapter.begin, self.start)
            end = chapter.end if self.end is None else min(chapter.end, self.end)
            if self.whole or begin < end:
                cut.append(Chapter(begin - origin, end - origin, chapter.title))
        return cut
