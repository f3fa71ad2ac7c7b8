"""Notices times of audio and subtitles that run back, while the video is read."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from av import Packet

ROUNDED = Fraction(1, 500)
"""In seconds; times in whole milliseconds may run back by less through rounding."""


class BackwardTimes:
    """Takes the packets of all streams in file order."""

    def __init__(self) -> None:
        self._latest: dict[int, Fraction] = {}
        self._told: set[int] = set()

    def note(self, packet: Packet[Any]) -> str | None:
        """Take the next packet; return a sentence where the times of its stream run back the first time."""
        if packet.stream.type not in ("audio", "subtitle") or packet.pts is None:
            return None
        index, now = packet.stream_index, Fraction(packet.pts * packet.time_base)
        latest = self._latest.get(index, now)
        self._latest[index] = max(latest, now)
        if now > latest - ROUNDED or index in self._told:
            return None
        self._told.add(index)
        return (
            f"{packet.stream.type} of stream {index} runs back in time at {float(latest):.3f} s; its packets "
            "are written after those before them"
        )
