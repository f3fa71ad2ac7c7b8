"""Decoding times where presentation times are not quite in order.

Some files show a frame with a timestamp before its predecessor's, or twice the same. The frame keeps
what the source says. But a muxer wants decoding times that never run back and never come after the
presentation, so those of the few packets before such a frame are moved down. In a file in order nothing
changes.
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from math import floor
from typing import Any

from av.packet import Packet

from vsr.media.files.pyav import time_base_of

HELD = 8
"""Packets held back: how far behind its neighbours a stray frame may be and still keep its timestamp."""


class DecodingOrder:
    """Takes packets with `pts` and `dts` in the encoder's order, gives them back a little later."""

    def __init__(self) -> None:
        self.raised = 0
        """Frames whose timestamp had to be moved, because it lay too far back."""
        self._held: deque[Packet[Any]] = deque()
        self._last: int | None = None
        self._first_decoded = 0
        self._first_shown = 0

    def push(self, packet: Packet[Any]) -> list[Packet[Any]]:
        """Take the next packet; give those that no later one can concern any more."""
        assert packet.pts is not None
        if packet.dts is None:
            packet.dts = packet.pts
        if self._last is None and not self._held:
            self._first_decoded, self._first_shown = packet.dts, packet.pts
        self._held.append(packet)
        self._settle()
        self._first_shown = min(self._first_shown, packet.pts)
        if len(self._held) <= HELD:
            return []
        return [self._released()]

    def flush(self) -> list[Packet[Any]]:
        """The packets that are still held."""
        return [self._released() for _ in range(len(self._held))]

    def _released(self) -> Packet[Any]:
        """Return the oldest packet; its frame lasts no longer than until the next one is shown.

        Muxers take the latest end of any frame for the film's, and the durations of some sources are steps
        between decoding times (MP4), or those of a rate that does not hold everywhere.
        """
        ready = self._held.popleft()
        self._last = ready.dts
        assert ready.pts is not None
        later = [packet.pts for packet in self._held if packet.pts is not None and packet.pts > ready.pts]
        if later and ready.duration:
            ready.duration = min(ready.duration, min(later) - ready.pts)
        return ready

    def fill_up(self, end: int) -> None:
        """Make the film end at `end`, in ticks, where its last frame ends; before `flush`.

        MP4 has no durations of frames. FFmpeg's muxer takes the sum of the steps between decoding times and
        the last packet's duration for the length of the track, and the latest sum of presentation time and
        duration for the end of its edit, which players obey. So the last packet is decoded later where its
        duration would have to reach beyond `end` for the track to be as long as its edit.
        """
        if not self._held:
            return
        shown, last = max(self._held, key=_presented), self._held[-1]
        shown.duration = max(1, end - _presented(shown))
        assert last.dts is not None
        needed = end - self._first_shown - (last.dts - self._first_decoded)
        beyond = needed - (end - _presented(last))
        if beyond > 0:
            last.dts += beyond  # its presentation time less the delay of the first packet
        if last is not shown:
            last.duration = max(1, min(needed, end - _presented(last)))

    def _settle(self) -> None:
        """Bring the held decoding times under the newest packet's, each before the next."""
        newest = self._held[-1]
        assert newest.pts is not None
        floor = None if self._last is None else self._last + len(self._held)
        if floor is not None and newest.pts < floor:
            newest.pts = floor
            self.raised += 1
        newest.dts = limit = min(newest.dts or 0, newest.pts)
        for packet in reversed(list(self._held)[:-1]):
            assert packet.dts is not None
            packet.dts = limit = min(packet.dts, limit - 1)


class RisingTimes:
    """Keeps decoding times of copied streams from running back, which would end the muxing half-way."""

    def __init__(self, *, strict: bool) -> None:
        """With `strict`, equal times are no good either (MP4)."""
        self.moved = 0
        """Packets whose time had to be raised."""
        self._step = int(strict)
        self._last: dict[int, int] = {}

    def push(self, packet: Packet[Any]) -> Packet[Any]:
        """The packet in its output stream's ticks, in place, its time raised if need be."""
        base = time_base_of(packet.stream)
        ratio = time_base_of(packet) / base
        pts, dts = _scaled(packet.pts, ratio), _scaled(packet.dts, ratio)
        if ratio != 1:
            packet.pts, packet.dts = pts, dts
            packet.duration = _scaled(packet.duration or 0, ratio)
            packet.time_base = base
        decoded = dts if dts is not None else pts
        if decoded is None:
            return packet
        least = self._last.get(packet.stream_index, decoded - self._step) + self._step
        if decoded < least:
            decoded = packet.dts = least
            packet.pts = decoded if pts is None else max(pts, decoded)
            self.moved += 1
        self._last[packet.stream_index] = decoded
        return packet


def _presented(packet: Packet[Any]) -> int:
    assert packet.pts is not None
    return packet.pts


def _scaled(time: int | None, ratio: Fraction) -> int | None:
    """In other ticks, to the nearest."""
    return None if time is None else floor(time * ratio + Fraction(1, 2))
