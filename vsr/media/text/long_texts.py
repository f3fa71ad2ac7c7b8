"""Splits QuickTime texts that are shown for long, and fills long gaps between texts.

MP4's muxer counts durations in 31 bits, which in the fine ticks of `subtitles.fine_base` is half an hour. A
longer text is written as several texts, a longer gap as blank texts; a player shows the same.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from av.packet import Packet

from vsr.media.files.pyav import time_base_of

BLANK = b"\0\0"
"""A text without characters."""
MOST_TICKS = 2**31 - 2**20
"""Slightly less than the muxer's limit, for rounding."""


class LongTexts:
    """Takes the texts of one track in order; no returned text or gap is too long for the muxer."""

    def __init__(self) -> None:
        self._end: int | None = None

    def push(self, packet: Packet[Any], tick: Fraction) -> list[Packet[Any]]:
        """Take the next text, and return it with the texts that are needed before it.

        Args:
            packet: With times in its own time base, which is the same for all.
            tick: Length of the output's tick in seconds.
        """
        if packet.pts is None:
            return [packet]
        # FFmpeg 8.1 and 9.0 do not read back a text of no duration at a track's end.
        packet.duration = packet.duration or 1
        most = max(1, int(MOST_TICKS * tick / time_base_of(packet)))
        start, length = packet.pts, packet.duration
        before = [] if self._end is None else _pieces(packet, BLANK, self._end, start, most)
        self._end = max(start + length, self._end or start + length)
        if length <= most:
            return [*before, packet]
        text = _pieces(packet, bytes(packet), start, start + length, most)
        return [*before, *text, _piece(packet, bytes(packet), start + len(text) * most, start + length)]


def _pieces(packet: Packet[Any], payload: bytes, start: int, end: int, most: int) -> list[Packet[Any]]:
    """Return texts of the maximum length from `start` on, while more than that remains up to `end`."""
    whole = max(0, -(-(end - start) // most) - 1)
    return [_piece(packet, payload, at, at + most) for at in range(start, start + whole * most, most)]


def _piece(packet: Packet[Any], payload: bytes, start: int, end: int) -> Packet[Any]:
    made: Packet[Any] = Packet(payload)
    made.pts = made.dts = start
    made.duration, made.time_base = end - start, packet.time_base
    made.is_keyframe = packet.is_keyframe
    return made
