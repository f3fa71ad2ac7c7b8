"""Recordings joined end to end, whose clock starts again.

FFmpeg hands such files out as they are. What decides is the picture: its decoding times only ever rise within
a part. The source and the copier of the other streams both read through `Parts`, so both find the same joins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from av import Packet, VideoStream
from av.container import InputContainer

from vsr.media.files.pyav import fraction
from vsr.media.integrity.stray_times import FAR, StrayTimes

AHEAD = 3
"""Packets of the picture read ahead: the last of a part may come behind the first sound of the next."""
MOST = 2000
"""Packets of all streams held at most, for files whose picture ends early."""


def can_start_over(container: InputContainer) -> bool:
    """Whether the file is of a kind that can be joined byte by byte."""
    return container.format.name in ("mpegts", "mpeg", "flv")


def nominal_step(stream: VideoStream) -> int:
    """Ticks between pictures at the stream's nominal rate, at least 1."""
    rate = fraction(stream.guessed_rate) or fraction(stream.average_rate) or Fraction(25)
    return max(1, round(1 / (rate * (fraction(stream.time_base) or Fraction(1, 1000)))))


@dataclass(frozen=True, slots=True)
class _Part:
    position: int
    """Where in the file its first picture lies; -1 where that is unknown."""
    offset: Fraction
    """Seconds to add to its times."""


class Parts:
    """Moves the times of packets, in place, so that each part of a file follows the one before."""

    def __init__(self, picture: VideoStream) -> None:
        """Decide by the packets of `picture`."""
        self.notes: list[str] = []
        """A sentence for the first join."""
        self._picture = picture.index
        self._base = fraction(picture.time_base) or Fraction(1, 1000)
        self._step = nominal_step(picture)
        self._parts = [_Part(-1, Fraction(0))]
        self._undecided: Packet[Any] | None = None
        self._decided: deque[int] = deque()
        """Part of each packet of the picture that is still held."""
        self._last: int | None = None
        self._first: int | None = None
        self._end = 0
        """Where the next part goes on, in ticks."""
        self._strays: StrayTimes[Packet[Any]] = StrayTimes(self._base)
        self._part_of: dict[int, int] = {}
        self._last_of: dict[int, int] = {}

    def joined(self, packets: Iterable[Packet[Any]]) -> Iterator[Packet[Any]]:
        """All packets in their order, a little later."""
        held: deque[Packet[Any]] = deque()
        pictures = 0
        for packet in self._repaired(packets):
            held.append(packet)
            if packet.stream_index == self._picture:
                self._see(packet)
                pictures += 1
            while pictures > AHEAD or len(held) > MOST:
                pictures -= held[0].stream_index == self._picture
                yield self._moved(held.popleft())
        self._see(None)
        for packet in held:
            yield self._moved(packet)

    @property
    def repaired(self) -> int:
        """Packets of the picture whose time alone lay far from their neighbours': no new part, but damage."""
        return self._strays.repaired

    def _repaired(self, packets: Iterable[Packet[Any]]) -> Iterator[Packet[Any]]:
        for packet in packets:
            time = _decoded(packet)
            if packet.stream_index != self._picture or time is None:
                yield packet
            else:
                yield from map(self._at_time, self._strays.push(packet, time))
        yield from map(self._at_time, self._strays.flush())

    def _at_time(self, settled: tuple[Packet[Any], int]) -> Packet[Any]:
        """The packet at the time that it is decoded; it is shown as much later as before."""
        packet, time = settled
        before = _decoded(packet)
        if before is None or time == before:
            return packet
        if packet.pts is not None and abs(packet.pts - before) * self._base <= FAR:
            packet.pts += time - before  # else only one of the two was damaged
        packet.dts = time
        return packet

    def _see(self, packet: Packet[Any] | None) -> None:
        """Take the next packet of the picture; the one before it can now be decided."""
        if self._undecided is not None:
            self._decide(self._undecided, None if packet is None else _decoded(packet))
        self._undecided = packet

    def _decide(self, packet: Packet[Any], following: int | None) -> None:
        now = _decoded(packet)
        if now is not None:
            if self._starts_over(now, following):
                self._join(packet, now)
            shown = (packet.pts if packet.pts is not None else now) + self._ticks(len(self._parts) - 1)
            self._end = max(self._end, shown + self._step) if self._last is not None else shown + self._step
            self._first = now if self._first is None else self._first
            self._last = now
        self._decided.append(len(self._parts) - 1)

    def _starts_over(self, now: int, following: int | None) -> bool:
        """Whether times fall back and stay there; a single one that does is stray."""
        if self._last is None or self._first is None or now >= self._last:
            return False
        return now <= self._first if following is None else following <= self._last

    def _join(self, packet: Packet[Any], now: int) -> None:
        begins = packet.pts if packet.pts is not None else now
        position = -1 if packet.pos is None else packet.pos
        self._parts.append(_Part(position, (self._end - begins) * self._base))
        self._first = now
        if not self.notes:
            seconds = float((self._end - self._step) * self._base)
            self.notes.append(
                f"timestamps jump back at {seconds:.3f} s; pictures and sound after it continue from there"
            )

    def _moved(self, packet: Packet[Any]) -> Packet[Any]:
        index = packet.stream_index
        if index == self._picture:
            if not self._decided:
                self._see(None)
            part = self._decided.popleft()
        else:
            part = self._part_of[index] = self._part_with(packet)
        if self._parts[part].offset:
            ticks = round(self._parts[part].offset / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
        return packet

    def _part_with(self, packet: Packet[Any]) -> int:
        """Part of a packet that is no picture: by its place in the file, or its own times falling back."""
        index, now = packet.stream_index, _decoded(packet)
        part = self._part_of.get(index, 0)
        falls_back = now is not None and now < self._last_of.get(index, now)
        if now is not None:
            self._last_of[index] = now
        if falls_back and part + 1 < len(self._parts):
            part += 1
        if packet.pos is not None:
            while part + 1 < len(self._parts) and 0 <= self._parts[part + 1].position <= packet.pos:
                part += 1
        return part

    def _ticks(self, part: int) -> int:
        return round(self._parts[part].offset / self._base)


def _decoded(packet: Packet[Any]) -> int | None:
    return packet.dts if packet.dts is not None else packet.pts
