"""Counts damage while a file is decoded, and judges at the end whether frames were lost.

A demuxer that meets damage often reports nothing: it skips to the next place that it understands, or takes
the end of a truncated file for the end of the video. Therefore three independent signs are watched: what the
decoder and demuxer refuse or mark as corrupt, the number of frames in the index, and gaps between timestamps.
A gap alone proves nothing (variable rate, recordings with dropped frames); it counts only where the file also
skips bytes or where another fault is near.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from av import Packet, VideoFrame

from vsr.errors import InputError
from vsr.frame import Damage, Stamp

NEAR = 64
"""A fault and a gap between timestamps are related within this many packets; frames are never reordered
further."""
SKIPPED_BYTES = 64
"""More bytes than this between two packets, which belong to neither, are damage. A container's own headers
are shorter."""
GAP = Fraction(9, 5)
"""A step between two frames that is at least this many times the usual step is a gap."""
CONSTANT = Fraction(9, 10)
"""If at least this share of the steps are equal, the rate is constant. Gaps are counted only then."""


_STRAYS = "timestamps of the video are damaged"
_STARTS_OVER = "the clock of the video starts over"


class DamageWatch:
    """Fills a `Damage`. With `strict`, it raises `InputError` at the first fault instead."""

    def __init__(
        self,
        path: str,
        *,
        strict: bool = False,
        confirm: Callable[[], bool] | None = None,
        harmless: Callable[[int, int], bool] | None = None,
    ) -> None:
        """Start counting.

        Args:
            path: Name of the file in messages.
            strict: Raise at the first fault.
            confirm: Called at the end if there are gaps; returns whether the file lost anything. It is for
                containers that show no fault near a gap.
            harmless: Called with the first and last offset of bytes between two packets; returns whether the
                container put them there without a frame in them.
        """
        self.damage = Damage()
        self._harmless = harmless
        self._confirm = confirm
        self._path = path
        self._strict = strict
        self._packets = self._bytes = 0
        self._last_fault = -NEAR - 1
        self._end_of_last = 0
        self._frames = self._interlaced = 0
        self._steps: Counter[int] = Counter()
        self._gaps: list[tuple[int, float]] = []
        self._last_pts: int | None = None
        self._strays = self._restarts = 0

    def packet(self, packet: Packet[Any]) -> None:
        """Record a packet of the video before it is decoded."""
        self._packets += 1
        self._bytes += packet.size
        if packet.is_corrupt:
            self._last_fault = self._packets

    def position(self, position: int | None, size: int) -> None:
        """Record where a packet of any stream lies in the file. A hole before it is a sign of damage, but not
        yet a fault.
        """
        if position is None or position < 0:
            return
        skipped = self._end_of_last and position - self._end_of_last > SKIPPED_BYTES
        if skipped and not (self._harmless and self._harmless(self._end_of_last, position)):
            self._last_fault = self._packets
        self._end_of_last = position + size

    def refused(self, error: Exception, seconds: float | None) -> None:
        """Record that the decoder refused a packet."""
        self._last_fault = self._packets
        self.damage.broken_packets += 1
        if self.damage.broken_packets == 1 or self._strict:
            self._fault(f"a packet{_at(seconds)} cannot be decoded ({_reason(error)})")

    def unreadable(self, error: Exception) -> None:
        """Record that the demuxer failed."""
        self._last_fault = self._packets
        if not any("cannot be read" in note for note in self.damage.notes):
            self._fault(f"a part of the file cannot be read ({_reason(error)})")

    def left_out(self, frames: int) -> None:
        """Record how many frames before the first one are not decoded."""
        self._frames += frames

    def frame(self, frame: VideoFrame, stamp: Stamp) -> None:
        """Record a decoded frame."""
        if frame.is_corrupt:
            self._last_fault = self._packets
            self.damage.corrupt_frames += 1
            if self.damage.corrupt_frames == 1 or self._strict:
                self._fault(f"the frame{_at(float(stamp.seconds))} is damaged; errors in it were concealed")
        if self._last_pts is not None:
            self._step(stamp.pts - self._last_pts, stamp)
        self._last_pts = stamp.pts
        self._frames += 1
        self._interlaced += frame.interlaced_frame

    def stray_times(self, number: int) -> None:
        """Record how many wrong timestamps have been repaired so far."""
        if number > self._strays:
            self._strays = number
            self.damage.notes = [note for note in self.damage.notes if _STRAYS not in note]
            self._fault(f"{number} {_STRAYS}; their frames are shown between their neighbours")

    def starts_over(self, number: int) -> None:
        """Record how many times the clock has started over so far, in a container whose clock never does."""
        if number > self._restarts:
            self._restarts = number
            self.damage.notes = [note for note in self.damage.notes if _STARTS_OVER not in note]
            times = "once" if number == 1 else f"{number} times"
            self._fault(f"{_STARTS_OVER} {times}: the file is damaged")

    @property
    def end_of_last_packet(self) -> int:
        """Offset in the file in bytes; 0 if `position` was never called."""
        return self._end_of_last

    def finish(self, *, promised: int | None, exact: bool, cut_off: str | None, unread: int = 0) -> None:
        """Judge, after the last frame, whether frames are missing.

        Args:
            promised: The number of frames that the container states, or None.
            exact: Whether `promised` is a count, not an estimate.
            cut_off: Why the file is known to be truncated, or None.
            unread: Bytes at the end that should be packets but were not read.
        """
        lost_in_gaps = self._count_gaps()
        missing = max(0, (promised or 0) - self._frames - self._second_fields())
        if cut_off is not None:
            self.damage.missing_frames = max(missing, lost_in_gaps)
            about = f"; about {missing} frames are missing" if missing else ""
            self._fault(f"{cut_off}{about}")
        elif missing and unread > max(SKIPPED_BYTES, missing * self._bytes // (4 * max(1, self._packets))):
            self.damage.missing_frames = max(missing, lost_in_gaps)
            self._fault(f"the last {unread} bytes cannot be read; about {missing} frames are missing")
        elif exact and missing:
            self.damage.missing_frames = max(missing, lost_in_gaps)
            self._fault(f"the index promises {promised} frames, but {self._frames} were decoded")
        elif lost_in_gaps:
            self.damage.missing_frames = lost_in_gaps

    def _second_fields(self) -> int:
        """Return the packets that are second fields: an index counts them, a decoder joins them."""
        return min(self._interlaced, max(0, self._packets - self._frames - self.damage.broken_packets))

    def _step(self, ticks: int, stamp: Stamp) -> None:
        self._steps[ticks] += 1
        near = self._confirm is not None or self._packets - self._last_fault <= NEAR
        if near and ticks >= GAP * min(self._steps):
            self._gaps.append((ticks, float(stamp.seconds)))

    def _count_gaps(self) -> int:
        """Return the number of frames missing in gaps near a fault, without those already counted as
        refused.
        """
        if not self._gaps:
            return 0
        usual, _ = self._steps.most_common(1)[0]
        regular = sum(count for ticks, count in self._steps.items() if abs(ticks - usual) <= 1)
        if regular < CONSTANT * self._steps.total():
            return 0
        gaps = [(round(Fraction(t, usual)) - 1, at) for t, at in self._gaps if t >= GAP * usual]
        lost = max(0, sum(count for count, _ in gaps) - self.damage.broken_packets)
        if lost and (self._confirm is None or self._confirm()):
            self._fault(f"{lost} frames are missing before {gaps[0][1]:.3f} s, where the file is damaged")
            return lost
        return 0

    def _fault(self, what: str) -> None:
        if self._strict:
            raise InputError(f"{self._path}: {what}. Without `strict`, vsr continues and counts the damage")
        self.damage.notes.append(what)


def _at(seconds: float | None) -> str:
    return "" if seconds is None else f" at {seconds:.3f} s"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
