"""Makes decoding times valid where presentation times are not quite in order.

Some files give a frame an earlier timestamp than its predecessor, or the same one. The frame keeps its
timestamp. But a muxer requires decoding times that increase and are not after the presentation time, so the
decoding times of the few packets before such a frame are reduced. In a file in order nothing changes.
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from math import floor
from typing import Any

from av.packet import Packet

from vsr.media.files.pyav import time_base_of

HELD = 8
"""The number of packets held back: a frame may be this far behind its neighbours and still keep its
timestamp."""


class DecodingOrder:
    """Corrects the decoding times of packets, which it takes in the encoder's order and holds for a while."""

    def __init__(self) -> None:
        self.raised = 0
        """The number of frames whose timestamp was too far back and had to be changed."""
        self._held: deque[Packet[Any]] = deque()
        self._last: int | None = None
        self._first_decoded = 0
        self._first_shown = 0

    def push(self, packet: Packet[Any]) -> list[Packet[Any]]:
        """Take the next packet; return those that no later packet can affect."""
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
        """Return the packets that are still held."""
        return [self._released() for _ in range(len(self._held))]

    def _released(self) -> Packet[Any]:
        """Return the oldest packet. Its duration is limited to the time until the next frame.

        Muxers treat the latest end of any frame as the end of the video. The durations in some sources are
        steps between decoding times (MP4), or those of a rate that does not apply everywhere.
        """
        ready = self._held.popleft()
        self._last = ready.dts
        assert ready.pts is not None
        later = [packet.pts for packet in self._held if packet.pts is not None and packet.pts > ready.pts]
        if later and ready.duration:
            ready.duration = min(ready.duration, min(later) - ready.pts)
        return ready

    def fill_up(self, end: int) -> None:
        """Make the video end at `end`, in ticks, where its last frame ends; called before `flush`.

        MP4 stores no durations of frames. FFmpeg's muxer uses the sum of the steps between decoding times and
        the last packet's duration as the length of the track, and the latest sum of presentation time and
        duration as the end of its edit, which players obey. If the last packet's duration would have to
        extend beyond `end` to make the track as long as its edit, the packet is decoded later instead.
        """
        if not self._held:
            return
        shown, last = max(self._held, key=_presented), self._held[-1]
        shown.duration = max(1, end - _presented(shown))
        assert last.dts is not None
        needed = end - self._first_shown - (last.dts - self._first_decoded)
        beyond = needed - (end - _presented(last))
        if beyond > 0:
            last.dts += beyond  # its presentation time minus the delay of the first packet
        if last is not shown:
            last.duration = max(1, min(needed, end - _presented(last)))

    def _settle(self) -> None:
        """Reduce the held decoding times to below the newest packet's, each below the next."""
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
    """Keeps decoding times of copied streams increasing, because otherwise the muxer stops with an error."""

    def __init__(self, *, strict: bool) -> None:
        """Start before the first packet; with `strict`, times must not repeat (MP4)."""
        self.moved = 0
        """The number of packets whose time had to be increased."""
        self._step = int(strict)
        self._last: dict[int, int] = {}

    def push(self, packet: Packet[Any]) -> Packet[Any]:
        """Convert the packet to its output stream's ticks, in place, and increase its time if necessary."""
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
    """Convert a time to other ticks, rounded to the nearest."""
    return None if time is None else floor(time * ratio + Fraction(1, 2))
