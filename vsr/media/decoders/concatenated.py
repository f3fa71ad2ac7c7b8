"""Makes times continuous in recordings joined end to end, whose clock starts again in each part.

FFmpeg returns the times of such files unchanged. The packets of the video decide where a part begins: their
decoding times increase within a part. The video source and the copier of the other streams both read packets
through `Parts`, so both find the same joins.
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
"""The number of video packets read ahead: the last one of a part may come after the first audio packet of the
next."""
MOST = 2000
"""The largest number of packets of all streams that are held, for files whose video ends early."""


def can_start_over(container: InputContainer) -> bool:
    """Return whether the container is of a kind that can be joined byte by byte."""
    return container.format.name in ("mpegts", "mpeg", "flv")


def nominal_step(stream: VideoStream) -> int:
    """Return the ticks between frames at the stream's nominal rate, at least 1."""
    rate = fraction(stream.guessed_rate) or fraction(stream.average_rate) or Fraction(25)
    return max(1, round(1 / (rate * (fraction(stream.time_base) or Fraction(1, 1000)))))


@dataclass(frozen=True, slots=True)
class _Part:
    position: int
    """Offset in the file of its first video packet; -1 where it is unknown."""
    offset: Fraction
    """Seconds to add to the times in this part."""


class Parts:
    """Shifts the times of packets, in place, so that each part of a file follows the previous one."""

    def __init__(self, video: VideoStream) -> None:
        """Start before the first packet; the packets of `video` decide where parts begin."""
        self.notes: list[str] = []
        """A sentence about the first join, if any."""
        self._video = video.index
        self._base = fraction(video.time_base) or Fraction(1, 1000)
        self._step = nominal_step(video)
        self._parts = [_Part(-1, Fraction(0))]
        self._undecided: Packet[Any] | None = None
        self._decided: deque[int] = deque()
        """The part of each video packet that is still held."""
        self._last: int | None = None
        self._first: int | None = None
        self._end = 0
        """The time in ticks at which the next part continues."""
        self._strays: StrayTimes[Packet[Any]] = StrayTimes(self._base)
        self._part_of: dict[int, int] = {}
        self._last_of: dict[int, int] = {}

    def joined(self, packets: Iterable[Packet[Any]]) -> Iterator[Packet[Any]]:
        """Yield all packets in their order, with a delay of a few packets."""
        held: deque[Packet[Any]] = deque()
        video_packets = 0
        for packet in self._repaired(packets):
            held.append(packet)
            if packet.stream_index == self._video:
                self._see(packet)
                video_packets += 1
            while video_packets > AHEAD or len(held) > MOST:
                video_packets -= held[0].stream_index == self._video
                yield self._moved(held.popleft())
        self._see(None)
        for packet in held:
            yield self._moved(packet)

    @property
    def repaired(self) -> int:
        """The number of video packets with a single wrong time, which is damage and not a new part."""
        return self._strays.repaired

    def _repaired(self, packets: Iterable[Packet[Any]]) -> Iterator[Packet[Any]]:
        for packet in packets:
            time = _decoded(packet)
            if packet.stream_index != self._video or time is None:
                yield packet
            else:
                yield from map(self._at_time, self._strays.push(packet, time))
        yield from map(self._at_time, self._strays.flush())

    def _at_time(self, settled: tuple[Packet[Any], int]) -> Packet[Any]:
        """Set the packet's decoding time, and move its presentation time by the same amount."""
        packet, time = settled
        before = _decoded(packet)
        if before is None or time == before:
            return packet
        if packet.pts is not None and abs(packet.pts - before) * self._base <= FAR:
            packet.pts += time - before  # otherwise only one of the two was damaged
        packet.dts = time
        return packet

    def _see(self, packet: Packet[Any] | None) -> None:
        """Record the next video packet; the part of the previous one can now be decided."""
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
        """Return whether times fall back and stay there. A single time that falls back does not start a
        part.
        """
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
                f"timestamps jump back at {seconds:.3f} s; frames and audio after it continue from there"
            )

    def _moved(self, packet: Packet[Any]) -> Packet[Any]:
        index = packet.stream_index
        if index == self._video:
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
        """Return the part of a packet of another stream, from its position in the file or from its own times
        falling back.
        """
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
