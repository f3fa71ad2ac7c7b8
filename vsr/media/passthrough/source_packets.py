"""Reads the packets of streams other than the video: joined, with repaired times, cut to a range.

Packets are read in file order; only a stray time and the joins of a file hold a few of them back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from av import VideoStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard

from vsr.frame import Damage
from vsr.media.audio.audio_gaps import AudioWatch
from vsr.media.decoders.avi_clock import must_read_from_start
from vsr.media.decoders.concatenated import Parts, can_start_over
from vsr.media.decoders.decoder import read_packets
from vsr.media.files.pyav import time_base_of
from vsr.media.integrity.backward_times import TOO_LATE
from vsr.media.integrity.stray_times import AGES, FAR, StrayTimes
from vsr.media.integrity.transport import broken_pids
from vsr.media.passthrough.edits import Edits

_RUN_UP = 10
"""Seconds read before and after a time range: for subtitles that are still shown, and packets out of
order."""


def presentation_time(packet: Packet[Any]) -> Fraction | None:
    """Return when a packet is presented, in seconds, or None."""
    ticks = packet.pts if packet.pts is not None else packet.dts
    return None if ticks is None else ticks * packet.time_base


def muxing_time(packet: Packet[Any]) -> Fraction:
    """Return when a packet must be muxed, in seconds; a packet without a time is due at once."""
    ticks = packet.dts if packet.dts is not None else packet.pts
    return Fraction(-(10**9)) if ticks is None else ticks * packet.time_base


def in_order(packets: Iterable[Packet[Any]]) -> Iterator[Packet[Any]]:
    """Yield packets with a delay of `TOO_LATE` seconds. A subtitle that comes too late by less than that is
    put before later packets: players show it at its time, but muxers refuse times that run back.
    """
    held: deque[Packet[Any]] = deque()
    latest: Fraction | None = None
    for packet in packets:
        now = muxing_time(packet)
        latest = now if latest is None else max(latest, now)
        place = len(held)
        if packet.stream.type == "subtitle":
            place = next((n for n, one in enumerate(held) if muxing_time(one) > now), place)
        held.insert(place, packet)
        while held and latest - muxing_time(held[0]) > TOO_LATE:
            yield held.popleft()
    yield from held


class SourcePackets:
    """The packets of the chosen streams of an open file; what is damaged in them is added to `damage`."""

    def __init__(
        self,
        media: InputContainer,
        streams: Collection[int],
        edits: Mapping[int, Edits],
        *,
        path: Path,
        video: int,
        damage: Damage,
        start: Fraction | None = None,
        end: Fraction | None = None,
    ) -> None:
        """Prepare to read `media`, which must not have been read before.

        Args:
            media: The open file.
            streams: Indices of the streams whose packets are returned.
            edits: Maps an index to the edit list of that stream, where there is one.
            path: Path of the file.
            video: Index of the video stream. Where its times start again, those of the others do, too.
            damage: Gets a note for each kind of damage that is found.
            start: In seconds on the source's clock; packets that ended before are left out.
            end: In seconds on the source's clock; packets that begin then or later are left out.
        """
        self._media, self._streams, self._edits = media, streams, edits
        self._path = str(path)
        self._video, self._damage = video, damage
        self._start, self._end = start, end
        self._audio_watch = AudioWatch()
        self._parts: Parts | None = None
        self._strays: dict[int, StrayTimes[Packet[Any]]] = {}

    def read(self) -> Iterator[Packet[Any]]:
        """Yield the packets inside the range in file order; subtitles that come late are put in order."""
        subtitles = any(self._media.streams[index].type == "subtitle" for index in self._streams)
        if subtitles and "matroska" in self._media.format.name:
            return in_order(self._in_file_order())
        return self._in_file_order()

    def _in_file_order(self) -> Iterator[Packet[Any]]:
        for packet in self._unedited():
            if packet.stream.type == "audio":
                self._audio_watch.packet(packet)
            if self._end is not None and muxing_time(packet) > self._end + _RUN_UP:
                break
            if self._inside(packet):
                yield packet
        if repaired := sum(watch.repaired for watch in self._strays.values()):
            self._damage.notes.append(
                f"{repaired} timestamps of audio or subtitles are damaged; they get times between their "
                "neighbours'"
            )
        self._damage.notes += self._audio_watch.notes(broken=self._broken())

    def _unedited(self) -> Iterator[Packet[Any]]:
        """Yield the packets of the chosen streams that no edit list hides."""
        for packet in self._with_repaired_times(self._continued()):
            if packet.stream_index not in self._streams:  # also streams that appear later in the file
                continue
            if packet.pts is None:  # these streams are never reordered
                packet.pts = packet.dts
            edits = self._edits.get(packet.stream_index)
            yield from [packet] if edits is None else edits.push(packet)
        for edits in self._edits.values():
            yield from edits.flush()

    def _with_repaired_times(self, packets: Iterable[Packet[Any]]) -> Iterator[Packet[Any]]:
        """Yield the packets. Single times far from those of neighbouring packets are repaired and counted."""
        strays = self._strays
        for packet in packets:
            kind = packet.stream.type
            if packet.stream_index not in self._streams or kind == "video" or packet.pts is None:
                yield packet
                continue
            if packet.stream_index not in strays:
                far = FAR if kind == "audio" else AGES  # subtitles come at irregular intervals
                strays[packet.stream_index] = StrayTimes(time_base_of(packet), far=far)
            yield from map(_at_time, strays[packet.stream_index].push(packet, packet.pts))
        for watch in strays.values():
            yield from map(_at_time, watch.flush())

    def _continued(self) -> Iterator[Packet[Any]]:
        """Yield the packets from shortly before the range on. At joins, their times are shifted like the
        video's.
        """
        joins = can_start_over(self._media)
        wanted = {*self._streams, self._video} if joins else set(self._streams)
        for stream in self._media.streams:
            if stream.index not in wanted:
                stream.discard = Discard.all
        seeks = not joins and not must_read_from_start(self._media)
        if seeks and self._start is not None and self._start > _RUN_UP:
            self._media.seek(int((self._start - _RUN_UP) * 1_000_000))
        packets = read_packets(self._media, self._unreadable, path=self._path)
        video = self._media.streams[self._video]
        if not joins or not isinstance(video, VideoStream):
            return packets
        self._parts = Parts(video)
        return self._parts.joined(packets)

    def _broken(self) -> set[int]:
        """Return the streams with gaps in which packets were lost, according to the container's counters
        (MPEG-TS).
        """
        gaps = self._audio_watch.gaps
        joined = self._parts is not None and self._parts.notes
        if not gaps or joined or self._media.format.name != "mpegts":
            return set()
        pids = broken_pids(self._media.name.removeprefix("file:"))
        return {index for index in gaps if pids is None or self._media.streams[index].id in pids}

    def _unreadable(self, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or str(error)
        note = f"audio or subtitles may be missing: a part of the file cannot be read ({reason})"
        if note not in self._damage.notes:
            self._damage.notes.append(note)

    def _inside(self, packet: Packet[Any]) -> bool:
        """Return whether a packet overlaps the range. A subtitle that began before is trimmed to the
        range.
        """
        begins = presentation_time(packet)
        if begins is None or packet.stream.type == "video":  # a cover picture has no time
            return True
        if self._end is not None and begins >= self._end:
            return False
        if self._start is None or begins >= self._start:
            return True
        ends = begins + (packet.duration or 0) * packet.time_base
        if ends <= self._start:
            return False
        if packet.stream.type == "subtitle":
            packet.pts = packet.dts = round(self._start / packet.time_base)
            packet.duration = round((ends - self._start) / packet.time_base)
        return True


def _at_time(settled: tuple[Packet[Any], int]) -> Packet[Any]:
    packet, time = settled
    if packet.pts != time:
        packet.pts = packet.dts = time
    return packet
