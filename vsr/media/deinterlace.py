"""Interlaced pictures through FFmpeg's bwdif: one picture out for one in, progressive ones untouched."""

from __future__ import annotations

from collections.abc import Iterator

from av import VideoFrame

from vsr.frame import Stamp
from vsr.media.filters import Filter, FilterChain, Stamped

__all__ = ["Deinterlacer", "Stamped"]

_BWDIF = Filter("bwdif", "mode=send_frame:parity=auto:deint=interlaced")


class Deinterlacer:
    """Starts with the first interlaced picture; before that, pictures pass as they are.

    bwdif looks one picture ahead, so pictures come out one late, and `drain` gives the last.
    """

    def __init__(self) -> None:
        self._chain: FilterChain | None = None

    @property
    def running(self) -> bool:
        """Whether an interlaced picture was seen."""
        return self._chain is not None

    def push(self, frame: VideoFrame, stamp: Stamp) -> Iterator[Stamped]:
        """Take a picture; all pictures must have one size and format. Gives what is ready."""
        if self._chain is None:
            if not frame.interlaced_frame:
                yield frame, stamp
                return
            self._chain = FilterChain([_BWDIF])
        yield from self._chain.push(frame, stamp)

    def drain(self) -> Iterator[Stamped]:
        """The pictures still inside; the end."""
        if self._chain is not None:
            yield from self._chain.drain()
