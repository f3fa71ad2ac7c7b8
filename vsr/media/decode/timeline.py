"""Timestamps of frames: repaired where they are missing or jump."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction

from av import VideoFrame

from vsr.frame import Stamp

DECODING_TIMES = "presentation times are missing or in the wrong order; frames get their decoding times"
JUMP_SECONDS = Fraction(1)
"""A timestamp further back than this, or back at the stretch's beginning, starts a new stretch of film; a
smaller step is stray, and kept. Files that are often joined have been put in order before (`parts`)."""


def until_the_next(
    frames: Iterable[tuple[VideoFrame, Stamp]], end: Callable[[], int | None]
) -> Iterator[tuple[VideoFrame, Stamp]]:
    """Give each frame the duration until the next one, a frame late; for MP4 and QuickTime.

    They store the steps between decoding times only, which are not how long a frame is shown where there are
    B-frames and the rate varies.

    Args:
        frames: In display order.
        end: Asked after the last frame when it ends, in ticks; where that is unknown or wrong, it keeps its
            own duration.
    """
    held: tuple[VideoFrame, Stamp] | None = None
    for frame, stamp in frames:
        if held is not None:
            yield _lasting_until(stamp.pts, *held)
        held = frame, stamp
    if held is not None:
        known = end()
        yield held if known is None else _lasting_until(known, *held)


def _lasting_until(end: int, frame: VideoFrame, stamp: Stamp) -> tuple[VideoFrame, Stamp]:
    return frame, stamp if end <= stamp.pts else replace(stamp, duration=end - stamp.pts)


@dataclass(slots=True)
class Timeline:
    """Gives each picture, in the order in which it is shown, its `Stamp`."""

    time_base: Fraction
    step: int
    """Ticks between pictures at the stream's nominal rate, at least 1: for pictures without a timestamp."""
    notes: list[str] = field(default_factory=list)
    """A sentence for each kind of repair, once."""
    first_pts: int | None = None
    """Of the first picture, in ticks."""
    _next_index: int = 0
    _last: int | None = None
    _offset: int = 0
    _begin: tuple[int, int] = (0, 0)
    """Index and pts of the first picture of this stretch."""
    _shown: bool = False
    _decoded: bool = False
    """Whether any frame had a presentation time, or a decoding time."""

    def stamp(self, frame: VideoFrame, time: int | None) -> Stamp:
        """Return the stamp of the next frame, whose time in ticks `FrameTimes` has chosen."""
        pts = self._continued(self._own_pts(frame, time) + self._offset)
        stamp = Stamp(
            index=self._next_index, pts=pts, duration=max(0, frame.duration or 0), time_base=self.time_base
        )
        self._next_index += 1
        self._last = pts
        if self.first_pts is None:
            self.first_pts = pts
        return stamp

    @property
    def count(self) -> int:
        """Pictures stamped so far."""
        return self._next_index

    def _own_pts(self, frame: VideoFrame, time: int | None) -> int:
        """Return the time that was chosen, else one at the nominal rate (raw streams, the end of an AVI)."""
        self._shown |= frame.pts is not None
        self._decoded |= frame.dts is not None
        if time is not None:
            if time != frame.pts and (frame.pts is not None or not self._shown):
                self._note(DECODING_TIMES)  # not where single ones are missing, as is usual in MPEG-PS
            return time
        if not self._decoded:  # else these are only the last few frames, which the decoder held back
            rate = float(1 / (self.step * self.time_base))
            self._note(f"pictures without a timestamp got one from the nominal rate of {rate:.6g} a second")
        return 0 if self._last is None else self._last + self.step - self._offset

    def _continued(self, pts: int) -> int:
        """The source's pts, unless it begins a new stretch of film that must follow the last picture."""
        if self._last is None:
            self._begin = (0, pts)
            return pts
        if pts > self._last:
            return pts
        seconds = float(self._last * self.time_base)
        began, first = self._begin
        back = (self._last - pts) * self.time_base > JUMP_SECONDS
        if not back and (pts > first or self._next_index - began < 2):
            self._note(f"a timestamp at {seconds:.3f} s repeats or runs back; it is kept as it is")
            return pts
        self._offset += self._last + self.step - pts
        self._note(f"timestamps jump back at {seconds:.3f} s; the pictures after it continue from there")
        self._begin = (self._next_index, self._last + self.step)
        return self._last + self.step

    def _note(self, text: str) -> None:
        """Keep one note of each kind; the numbers in it are those of the first case."""
        if not any(note.split(" at ")[0] == text.split(" at ")[0] for note in self.notes):
            self.notes.append(text)
