"""Gives every frame a timestamp, and repairs timestamps that are missing or jump."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction

from av import VideoFrame

from vsr.frame import Stamp
from vsr.media.decode.entry import Entry

DECODING_TIMES = "presentation times are missing or in the wrong order; decoding times are used instead"
JUMP_SECONDS = Fraction(1)
"""A timestamp that is lower than the previous one by more than this, or lower than the start of its section,
starts a new section, which is shifted. After a smaller step back the timestamp is kept. Formats that are
often joined were put in order before (`Parts`)."""


def until_the_next(
    frames: Iterable[tuple[VideoFrame, Stamp]], end: Callable[[], int | None]
) -> Iterator[tuple[VideoFrame, Stamp]]:
    """Set the duration of each frame to the time until the next frame; for MP4 and QuickTime.

    These containers store only the steps between decoding times. With B-frames and a variable rate, these are
    not how long a frame is shown. Each frame is yielded when the next one is known.

    Args:
        frames: In display order.
        end: Called after the last frame; returns when it ends, in ticks. If the result is None or too early,
            the last frame keeps its own duration.
    """
    held: tuple[VideoFrame, Stamp] | None = None
    for frame, stamp in frames:
        if held is not None:
            yield _lasting_until(stamp.pts, *held)
        held = frame, stamp
    if held is not None:
        known = end()
        yield held if known is None else _lasting_until(known, *held)


def with_both_fields(frames: Iterable[tuple[VideoFrame, Stamp]]) -> Iterator[tuple[VideoFrame, Stamp]]:
    """Double the duration of frames whose fields are packets of their own, for FFmpeg gives a frame that of
    the first one.

    An interlaced frame is yielded when the next one is known.

    Args:
        frames: In display order.
    """
    held: tuple[VideoFrame, Stamp] | None = None
    step = 0
    for frame, stamp in frames:
        if held is not None:
            step = stamp.pts - held[1].pts
            yield _of_two_fields(step, *held)
            held = None
        if frame.interlaced_frame:
            held = frame, stamp
        else:
            yield frame, stamp
    if held is not None:
        yield _of_two_fields(step, *held)


def _of_two_fields(step: int, frame: VideoFrame, stamp: Stamp) -> tuple[VideoFrame, Stamp]:
    """Return the frame with a duration of `step` ticks if it states half of it, but for rounding."""
    half = stamp.duration > 0 and abs(step - 2 * stamp.duration) <= 1
    return frame, replace(stamp, duration=step) if half else stamp


def _lasting_until(end: int, frame: VideoFrame, stamp: Stamp) -> tuple[VideoFrame, Stamp]:
    return frame, stamp if end <= stamp.pts else replace(stamp, duration=end - stamp.pts)


@dataclass(slots=True)
class Timeline:
    """Gives each frame its `Stamp`, in display order."""

    time_base: Fraction
    step: int
    """Ticks between frames at the stream's nominal rate, at least 1; used for frames without a timestamp."""
    notes: list[str] = field(default_factory=list)
    """One sentence for each kind of repair."""
    sections: int = 0
    """How many times the timestamps jumped back."""
    first_pts: int | None = None
    """Timestamp of the first frame, in ticks."""
    _next_index: int = 0
    _last: int | None = None
    _offset: int = 0
    _begin: tuple[int, int] = (0, 0)
    """Index and pts of the first frame of the current section."""
    _shown: bool = False
    _decoded: bool = False
    """Whether any frame so far had a presentation time (`_shown`) or a decoding time (`_decoded`)."""

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

    def begin_at(self, entry: Entry) -> None:
        """Continue as if all frames before the entry had been stamped."""
        self.first_pts = entry.first.pts
        self._begin, self._last, self._next_index = (0, entry.first.pts), entry.previous, entry.index
        self._shown = True

    @property
    def first_seconds(self) -> Fraction:
        """Time of the first frame of the stream; 0 before it."""
        return (self.first_pts or 0) * self.time_base

    @property
    def count(self) -> int:
        """The number of frames stamped so far."""
        return self._next_index

    def _own_pts(self, frame: VideoFrame, time: int | None) -> int:
        """Return the chosen time, else one from the nominal rate (raw streams, the end of an AVI file)."""
        self._shown |= frame.pts is not None
        self._decoded |= frame.dts is not None
        if time is not None:
            if time != frame.pts and (frame.pts is not None or not self._shown):
                self._note(DECODING_TIMES)  # no note where single times are missing, as is usual in MPEG-PS
            return time
        if not self._decoded:  # else these are only the last few frames of the decoder's delay
            rate = float(1 / (self.step * self.time_base))
            self._note(f"frames without a timestamp got one from the nominal rate of {rate:.6g} a second")
        return 0 if self._last is None else self._last + self.step - self._offset

    def _continued(self, pts: int) -> int:
        """Return the source's pts, or one after the last frame if the source's pts starts a new section."""
        if self._last is None:
            self._begin = (0, pts)
            return pts
        if pts > self._last:
            return pts
        seconds = float(self._last * self.time_base)
        began, first = self._begin
        back = (self._last - pts) * self.time_base > JUMP_SECONDS
        if not back and (pts > first or self._next_index - began < 2):
            self._note(f"a timestamp at {seconds:.3f} s repeats or decreases; it is kept")
            return pts
        self._offset += self._last + self.step - pts
        self.sections += 1
        self._note(f"timestamps jump back at {seconds:.3f} s; the frames after it continue from there")
        self._begin = (self._next_index, self._last + self.step)
        return self._last + self.step

    def _note(self, text: str) -> None:
        """Keep one note of each kind; its numbers are those of the first case."""
        if not any(note.split(" at ")[0] == text.split(" at ")[0] for note in self.notes):
            self.notes.append(text)
