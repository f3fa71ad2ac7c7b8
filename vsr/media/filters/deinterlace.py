"""Deinterlacing with FFmpeg's bwdif: one frame for each frame, or one for each field."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from av import VideoFrame

from vsr.frame import FieldOrder, Stamp
from vsr.media.filters.filters import Filter, FilterChain, FilterGraph, Stamped

__all__ = ["Deinterlacer", "Doubler", "Stamped"]

_FORCED: dict[FieldOrder, str] = {"top-first": "parity=tff:deint=all", "bottom-first": "parity=bff:deint=all"}
CAPTIONS = "A53_CC"
"""Side data that would be shown twice if both fields had it."""


def _bwdif(mode: str, forced: FieldOrder | None) -> Filter:
    how = "parity=auto:deint=interlaced" if forced is None else _FORCED[forced]
    return Filter("bwdif", f"mode={mode}:{how}")


class Deinterlacer:
    """Deinterlaces from the first frame that is flagged as interlaced; earlier frames pass unchanged.

    bwdif needs the next frame, so each frame is returned when the next one comes; `drain` returns the last
    one. It needs the previous frame as well, also where that one passed unchanged. So a frame's result
    depends on its neighbours alone, wherever the decoder began.
    """

    def __init__(self, forced: FieldOrder | None = None) -> None:
        """Start before the first frame.

        Args:
            forced: Field order of all frames, whatever their flags say; None uses the flags.
        """
        self._forced = forced
        self._chain: FilterChain | None = None
        self._passed: Stamped | None = None
        self._given = False
        """Whether the next frame of the chain was returned before."""

    @property
    def running(self) -> bool:
        """Whether deinterlacing has started."""
        return self._chain is not None

    def push(self, frame: VideoFrame, stamp: Stamp) -> Iterator[Stamped]:
        """Take a frame, and yield those that are ready. All frames must have the same size and format."""
        if self._chain is None:
            if self._forced is None and not frame.interlaced_frame:
                yield frame, stamp
                self._passed = frame, stamp
                return
            self._chain = FilterChain([_bwdif("send_frame", self._forced)])
            if self._passed is not None:
                self._given = True
                yield from self._new(self._chain.push(*self._passed))
                self._passed = None
        yield from self._new(self._chain.push(frame, stamp))

    def drain(self) -> Iterator[Stamped]:
        """Yield the remaining frames at the end of the stream."""
        if self._chain is not None:
            yield from self._new(self._chain.drain())

    def _new(self, frames: Iterator[Stamped]) -> Iterator[Stamped]:
        for one in frames:
            if self._given:
                self._given = False
            else:
                yield one


class Doubler:
    """Makes a frame of each field; frames that are not flagged as interlaced stay single.

    Stamps have ticks of half the length, because the second field is shown in the middle of its frame's time.
    A frame's number is twice that of its source frame, and one more for the second field. So the numbers do
    not depend on where decoding began, and they have gaps at single frames.
    """

    def __init__(self, forced: FieldOrder | None, step: int) -> None:
        """Start before the first frame.

        Args:
            forced: Field order of all frames, whatever their flags say; None uses the flags.
            step: Ticks for which a frame is shown that does not say it and has no next one.
        """
        self._graph = FilterGraph([_bwdif("send_field", forced)])
        self._forced, self._step = forced, step
        self._waiting: deque[tuple[Stamp, bool]] = deque()
        """Stamps of the frames whose fields have not all come, and whether the frame is interlaced."""
        self.running = False
        """Whether a frame was interlaced so far."""

    def push(self, frame: VideoFrame, stamp: Stamp) -> Iterator[Stamped]:
        """Take a frame, and yield those that are ready. All frames must have the same size and format."""
        woven = self._forced is not None or bool(frame.interlaced_frame)
        self.running |= woven
        self._waiting.append((stamp, woven))
        yield from self._stamped(self._graph.push(frame, stamp.index))

    def drain(self) -> Iterator[Stamped]:
        """Yield the remaining frames at the end of the stream."""
        yield from self._stamped(self._graph.drain())

    def _stamped(self, frames: Iterator[VideoFrame]) -> Iterator[Stamped]:
        for frame in frames:
            stamp, woven = self._waiting[0]
            second = woven and frame.pts != 2 * stamp.index  # bwdif's ticks are halved as well
            shown = self._shown(stamp, self._waiting[1][0] if len(self._waiting) > 1 else None)
            if second or not woven:
                self._waiting.popleft()
            yield frame, _of_field(stamp, shown, second=second) if woven else _of_frame(stamp)

    def _shown(self, stamp: Stamp, following: Stamp | None) -> int:
        """Return the ticks for which both fields of a frame are shown."""
        gap = 0 if following is None else following.pts - stamp.pts
        stated = stamp.duration or (gap if gap > 0 else self._step)
        return min(gap, stated) if gap > 0 else stated


def as_halves(frames: Iterator[Stamped]) -> Iterator[Stamped]:
    """Yield frames that are single fields already, with stamps as those of `Doubler`."""
    return ((frame, _of_frame(stamp)) for frame, stamp in frames)


def _of_frame(stamp: Stamp) -> Stamp:
    """Return the stamp in ticks of half the length."""
    return replace(
        stamp,
        index=2 * stamp.index,
        pts=2 * stamp.pts,
        duration=2 * stamp.duration,
        time_base=stamp.time_base / 2,
    )


def _of_field(stamp: Stamp, shown: int, *, second: bool) -> Stamp:
    """Return the stamp of a field, given for how long both are shown, in the frame's ticks."""
    whole = _of_frame(stamp)
    if not second:
        return replace(whole, duration=shown)
    kept = tuple(one for one in stamp.messages if one.kind != CAPTIONS)
    return replace(whole, index=whole.index + 1, pts=whole.pts + shown, duration=shown, messages=kept)
