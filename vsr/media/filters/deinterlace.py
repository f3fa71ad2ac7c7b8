"""Deinterlacing with FFmpeg's bwdif."""

from __future__ import annotations

from collections.abc import Iterator

from av import VideoFrame

from vsr.frame import FieldOrder, Stamp
from vsr.media.filters.filters import Filter, FilterChain, Stamped

__all__ = ["Deinterlacer", "Stamped"]

_MARKED = Filter("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
_FORCED: dict[FieldOrder, Filter] = {
    "top-first": Filter("bwdif", "mode=send_frame:parity=tff:deint=all"),
    "bottom-first": Filter("bwdif", "mode=send_frame:parity=bff:deint=all"),
}


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
            self._chain = FilterChain([_MARKED if self._forced is None else _FORCED[self._forced]])
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
