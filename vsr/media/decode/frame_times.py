"""Chooses the time of a decoded frame from its presentation time and its decoding time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from av import VideoFrame

SETTLED_AFTER = 8
"""The number of frames held back, at most, at the start of a stream whose presentation times may be in the
wrong order."""


class FrameTimes:
    """Chooses one of the two times of each frame, like FFmpeg's `best_effort_timestamp`.

    Some containers store frames in decoding order but give them rising times (AVI, packed B-frames, H.264 in
    MXF), so the times of B-frames are wrong. The decoder outputs frames in display order whatever the
    container says. Presentation times that decrease repeatedly are therefore wrong, and the decoding times,
    which increase, replace them. The rule is `guess_correct_pts` of FFmpeg's libavcodec/decode.c, with one
    difference: FFmpeg distrusts all presentation times after the first that decreases. This class tolerates
    one such time.
    """

    def __init__(self) -> None:
        self._shown_before: int | None = None
        self._decoded_before: int | None = None
        self._shown_faults = self._decoded_faults = 0
        self._decoded_seen = False
        self._packet_before: int | None = None
        self._packets_reordered = False

    def packet(self, pts: int | None) -> None:
        """Record the presentation time of the next packet, in decoding order."""
        if pts is not None:
            self._packets_reordered |= self._packet_before is not None and pts < self._packet_before
            self._packet_before = pts

    def timed(
        self, frames: Iterable[VideoFrame], reorders: Callable[[], bool]
    ) -> Iterator[tuple[VideoFrame, int | None]]:
        """Yield each frame with its time in ticks, or None where no trustworthy time is known.

        The first frames of a stream are held back until it is clear which of the two times is right, so that
        a stream does not start with times of one kind and continue with the other.

        Args:
            frames: Frames in the decoder's output order. `packet` must have seen a frame's packet before the
                frame comes.
            reorders: Returns whether the decoder may reorder frames. If not, no frame is held back.
        """
        held: list[VideoFrame] = []
        settled = False
        for frame in frames:
            held.append(frame)
            self._count(frame)
            settled = settled or self._is_settled(len(held)) or not reorders()
            if settled:
                yield from ((one, self._time(one)) for one in held)
                held.clear()
        yield from ((one, self._time(one)) for one in held)

    def _is_settled(self, held: int) -> bool:
        return self._packets_reordered or self._distrusted or held >= SETTLED_AFTER

    @property
    def _distrusted(self) -> bool:
        return self._decoded_seen and self._shown_faults > self._decoded_faults + 1

    def _count(self, frame: VideoFrame) -> None:
        shown = frame.dts if frame.pts is None else frame.pts
        decoded = frame.pts if frame.dts is None else frame.dts
        if frame.pts is not None:
            self._shown_faults += _runs_back(frame.pts, self._shown_before)
        if frame.dts is not None:
            self._decoded_seen = True
            self._decoded_faults += _runs_back(frame.dts, self._decoded_before)
        self._shown_before = self._shown_before if shown is None else shown
        self._decoded_before = self._decoded_before if decoded is None else decoded

    def _time(self, frame: VideoFrame) -> int | None:
        return frame.dts if frame.pts is None or self._distrusted else frame.pts


def _runs_back(time: int, before: int | None) -> bool:
    return before is not None and time <= before
