"""Notices times of audio and subtitles that run back, while the video is read."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from av import Packet

ROUNDED = Fraction(1, 500)
"""In seconds; times in whole milliseconds may run back by less through rounding."""
TOO_LATE = Fraction(5)
"""In seconds; subtitles that come too late in the file by less are put in order."""


class BackwardTimes:
    """Takes the packets of all streams in file order."""

    def __init__(self) -> None:
        self._now = Fraction(0)
        """The latest time of any stream so far."""
        self._latest: dict[int, Fraction] = {}
        self._told: set[int] = set()

    def note(self, packet: Packet[Any]) -> str | None:
        """Take the next packet; return a sentence where the times of its stream run back the first time."""
        if packet.pts is None:
            return None
        kind, index, time = packet.stream.type, packet.stream_index, Fraction(packet.pts * packet.time_base)
        self._now = max(self._now, time)
        latest = self._latest.get(index, time)
        self._latest[index] = max(latest, time)
        late = {"audio": latest - time, "subtitle": self._now - TOO_LATE - time}.get(kind, Fraction(0))
        if late < ROUNDED or time >= latest or index in self._told:
            return None
        self._told.add(index)
        return (
            f"{kind} of stream {index} runs back in time at {float(latest):.3f} s; its packets are written "
            "after those before them"
        )
