"""Decoding times for pictures whose presentation times are not quite in order.

Some files show a picture with a timestamp before its predecessor's, or twice the same. The picture keeps
what the source says. But a muxer wants decoding times that never run back and never come after the
presentation, so those of the few packets before such a picture are moved down. In a file in order nothing
changes.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from av.packet import Packet

HELD = 8
"""Packets held back: how far behind its neighbours a stray picture may be and still keep its timestamp."""


class DecodingOrder:
    """Takes packets with `pts` and `dts` in the encoder's order, gives them back a little later."""

    def __init__(self) -> None:
        self.raised = 0
        """Pictures whose timestamp had to be moved, because it lay too far back."""
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
        ready = self._held.popleft()
        self._last = ready.dts
        return [ready]

    def flush(self) -> list[Packet[Any]]:
        """The packets that are still held."""
        rest = list(self._held)
        self._held.clear()
        return rest

    def fill_up(self, end: int) -> None:
        """Make the last packet's duration end the film at `end`, where its last picture ends; before `flush`.

        MP4 adds up the steps between decoding times, and only for the last packet asks for a duration.
        """
        if self._held:
            last = self._held[-1]
            assert last.dts is not None
            last.duration = max(1, end - self._first_shown - (last.dts - self._first_decoded))

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
