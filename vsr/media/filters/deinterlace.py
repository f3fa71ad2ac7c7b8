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
    """Starts with the first picture that is marked as interlaced; before that, pictures pass as they are.

    bwdif looks one picture ahead, so pictures come out one late, and `drain` gives the last.
    """

    def __init__(self, forced: FieldOrder | None = None) -> None:
        """Nothing has been seen yet.

        Args:
            forced: Field order of all pictures, whatever they are marked as; None goes by their marks.
        """
        self._forced = forced
        self._chain: FilterChain | None = None

    @property
    def running(self) -> bool:
        """Whether pictures are deinterlaced."""
        return self._chain is not None

    def push(self, frame: VideoFrame, stamp: Stamp) -> Iterator[Stamped]:
        """Take a picture; all pictures must have one size and format. Gives what is ready."""
        if self._chain is None:
            if self._forced is None and not frame.interlaced_frame:
                yield frame, stamp
                return
            self._chain = FilterChain([_MARKED if self._forced is None else _FORCED[self._forced]])
        yield from self._chain.push(frame, stamp)

    def drain(self) -> Iterator[Stamped]:
        """The pictures still inside; the end."""
        if self._chain is not None:
            yield from self._chain.drain()
