"""Packets of the other streams, handed out in the order of time.

It opens the source a second time and never reads ahead further than asked (but for the first packet of each
audio track), so memory does not grow with the film.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

from av import VideoStream
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Discard, Stream

from vsr.frame import Damage
from vsr.media.audio.audio_facts import AudioFacts, audio_facts
from vsr.media.audio.audio_gaps import SoundWatch
from vsr.media.audio.copies import add_copy
from vsr.media.decoders.concatenated import Parts, can_start_over
from vsr.media.decoders.decoder import read_packets
from vsr.media.files.opening import reopen_media
from vsr.media.files.pyav import time_base_of
from vsr.media.formats.containers import Container
from vsr.media.formats.matroska import codec_delay
from vsr.media.integrity.stray_times import AGES, FAR, StrayTimes
from vsr.media.integrity.transport import broken_pids
from vsr.media.passthrough.conversion import Converter, converter_of
from vsr.media.passthrough.edits import Edits, hidden_start, priming_of
from vsr.media.passthrough.marks import Pending, apply_marks, read_marks
from vsr.media.passthrough.matroska_delay import add_hidden
from vsr.media.passthrough.stream_kinds import (
    PlannedStream,
    StreamPlan,
    add_attachment,
    attachment_data,
    name_track,
    stream_metadata,
)
from vsr.media.text.long_texts import LongTexts
from vsr.media.text.subtitles import fine_base

_RUN_UP = 10
"""Seconds read before and after a range: for subtitles that still show, and files not quite in order."""
_PEEK = 2000
"""Packets read at most to find the start of every audio track."""


class StreamCopier:
    """An open source whose frame is ignored, tied to the streams of an output."""

    def __init__(
        self,
        source: Path,
        plan: StreamPlan,
        output: OutputContainer,
        container: Container,
        *,
        picture: int,
        damage: Damage,
        start: Fraction | None = None,
        end: Fraction | None = None,
    ) -> None:
        """Add the planned streams to `output`.

        Args:
            source: The input.
            plan: What of it is kept.
            output: Not yet started.
            container: What `output` is.
            frame: Index of the frame's stream in the source; where its times start over, the others do.
            damage: Takes what turns out to be wrong with the source.
            start: Seconds on the source's clock; what ended before is left out.
            end: Seconds on the source's clock; what begins then or later is left out.
        """
        self.notes: list[str] = []
        self.counts: dict[int, int] = {}
        """Index in the output to packets handed out."""
        self.sizes: dict[int, int] = {}
        """Index in the output to bytes handed out."""
        self.pending: list[Pending] = []
        """What is to be written into the finished file."""
        self._picture, self._damage = picture, damage
        self._start, self._end = start, end
        self._media = reopen_media(source)
        self._sound = SoundWatch()
        self._parts: Parts | None = None
        self._targets: dict[int, Stream] = {}
        self._converters: dict[int, Converter] = {}
        self._before: dict[int, int] = {}
        self._texts: dict[int, LongTexts] = {}
        self._edits: dict[int, Edits] = {}
        self._priming: dict[int, Fraction] = {}
        self._strays: dict[int, StrayTimes[Packet[Any]]] = {}
        try:
            facts = audio_facts(self._media)
            if container.family == "matroska" and start is None:
                copied = [planned.index for planned in plan.copied]
                self._priming = self._cut_off(copied) | priming_of(source, copied)
            self._marks = read_marks(source, self._media)
            for planned in plan.kept:
                self._add(source, planned, output, container, facts.get(planned.index))
            self._refine_texts(output)
            self._packets = self._read()
            self._queue: deque[Packet[Any]] = deque()
            self._peek()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> StreamCopier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the source; harmless when repeated."""
        self._media.close()

    @property
    def sounds(self) -> dict[int, Stream]:
        """Audio tracks: index in the output to the stream in the source."""
        pairs = ((self._targets[index].index, self._media.streams[index]) for index in self._targets)
        return {target: stream for target, stream in pairs if stream.type == "audio"}

    @property
    def delays(self) -> dict[int, int]:
        """Index in the output of each audio track to nanoseconds that a Matroska muxer hides at its start."""
        found = {index: codec_delay(stream) for index, stream in self.sounds.items()}
        primed = {self._targets[index].index: seconds for index, seconds in self._priming.items()}
        return found | {index: round(seconds * 10**9) for index, seconds in primed.items()}

    def earliest(self, delays: dict[int, Fraction], *, cuts: bool) -> Fraction | None:
        """Seconds on the source's clock at which the first of the first packets plays; None without any.

        Args:
            delays: Index in the output to the seconds that a stream may begin before zero.
            cuts: Whether the container can hide what plays before zero (MP4's edit lists): then packets do
                not count that the source hides (priming of an audio codec), or that the range cuts.
        """
        counted = [packet for packet in self._queue if not (cuts and self._hidden(packet))]
        heard = [(packet, _shown(packet)) for packet in counted]
        times = [
            (packet.stream_index, time if time is None or not cuts else time + hidden_start(packet))
            for packet, time in heard
        ]
        return min((time + delays.get(index, 0) for index, time in times if time is not None), default=None)

    def _hidden(self, packet: Packet[Any]) -> bool:
        time = _shown(packet)
        return packet.is_discard or (self._start is not None and time is not None and time < self._start)

    def packets_until(self, seconds: Fraction) -> Iterator[Packet[Any]]:
        """The packets that are due by `seconds` on the source's clock; their stream is the output's."""
        while (packet := self._head()) is not None and _due(packet) <= seconds:
            yield self._taken(self._queue.popleft())

    def rest(self) -> Iterator[Packet[Any]]:
        """All packets that are left."""
        while self._head() is not None:
            yield self._taken(self._queue.popleft())

    def _add(
        self,
        source: Path,
        planned: PlannedStream,
        output: OutputContainer,
        container: Container,
        facts: AudioFacts | None,
    ) -> None:
        stream = self._media.streams[planned.index]
        if planned.way == "attach":
            add_attachment(output, stream, attachment_data(source, stream))
            return
        if planned.way == "convert":
            converter = converter_of(source, stream, output, container, planned, facts)
            self._converters[planned.index] = converter
            target = converter.stream
        else:
            delay = self._priming.get(planned.index)
            target = add_copy(output, stream, facts) if delay is None else add_hidden(output, stream, delay)
        if "mp4" in self._media.format.name and planned.kind != "video":
            self._edits[planned.index] = Edits(stream, hides=container.family == "mp4")
        target.metadata.update(stream_metadata(stream, encoded=planned.way == "convert"))
        self._targets[planned.index] = target
        if container.family == "mp4":
            name_track(target)
        pending = apply_marks(target, self._marks[planned.index], container)
        self.pending += [] if pending is None else [pending]
        self.counts[target.index] = self.sizes[target.index] = 0

    def _cut_off(self, indices: list[int]) -> dict[int, Fraction]:
        """Return zero for each track whose priming FFmpeg claims to know from an edit list.

        FFmpeg 9 (PyAV 19) takes all that the list hides at the start for it, also what was cut off.
        """
        if "mp4" not in self._media.format.name:
            return {}
        audio = [stream for stream in self._media.streams.audio if stream.index in indices]
        return {stream.index: Fraction(0) for stream in audio if codec_delay(stream)}

    def _refine_texts(self, output: OutputContainer) -> None:
        bases = [time_base_of(stream) for stream in output.streams if stream.time_base]
        for stream in self._targets.values():
            context = getattr(stream, "codec_context", None)
            if context is not None and context.name == "mov_text" and stream.time_base:
                stream.time_base = fine_base(time_base_of(stream), bases)
                self._texts[stream.index] = LongTexts()

    def _read(self) -> Iterator[Packet[Any]]:
        """Packets of the planned streams, inside the range, converted and pointed at the output."""
        if not self._targets:
            return
        for packet in self._unedited():
            if packet.stream.type == "audio":
                self._sound.packet(packet)
            if self._end is not None and _due(packet) > self._end + _RUN_UP:
                break
            if self._inside(packet):
                yield from self._texts_until(_due(packet))
                yield from self._placed(packet)
        if repaired := sum(watch.repaired for watch in self._strays.values()):
            self._damage.notes.append(
                f"{repaired} timestamps of audio or subtitles are damaged; moved between their neighbours'"
            )
        self._damage.notes += self._sound.notes(broken=self._broken())
        for index, converter in self._converters.items():
            yield from self._at(index, converter.flush())
            if complaint := converter.complaint(index):
                self.notes.append(complaint)

    def _unedited(self) -> Iterator[Packet[Any]]:
        """The packets of the planned streams that no edit list hides."""
        for packet in self._with_repaired_times(self._continued()):
            if packet.stream_index not in self._targets:  # also streams that appear on the way
                continue
            if packet.pts is None:  # what is copied is never reordered
                packet.pts = packet.dts
            edits = self._edits.get(packet.stream_index)
            yield from [packet] if edits is None else edits.push(packet)
        for edits in self._edits.values():
            yield from edits.flush()

    def _with_repaired_times(self, packets: Iterable[Packet[Any]]) -> Iterator[Packet[Any]]:
        """The packets, single times that lie far from their neighbours' repaired and counted."""
        strays = self._strays
        for packet in packets:
            kind = packet.stream.type
            if packet.stream_index not in self._targets or kind == "video" or packet.pts is None:
                yield packet
                continue
            if packet.stream_index not in strays:
                far = FAR if kind == "audio" else AGES  # texts come when somebody speaks
                strays[packet.stream_index] = StrayTimes(time_base_of(packet), far=far)
            yield from map(_at_time, strays[packet.stream_index].push(packet, packet.pts))
        for watch in strays.values():
            yield from map(_at_time, watch.flush())

    def _continued(self) -> Iterator[Packet[Any]]:
        """The packets from shortly before the range, their times moved on where those of the frame are."""
        joins = can_start_over(self._media)
        wanted = {*self._targets, self._picture} if joins else set(self._targets)
        for stream in self._media.streams:
            if stream.index not in wanted:
                stream.discard = Discard.all
        if not joins and self._start is not None and self._start > _RUN_UP:
            self._media.seek(int((self._start - _RUN_UP) * 1_000_000))
        packets = read_packets(self._media, self._unreadable)
        picture = self._media.streams[self._picture]
        if not joins or not isinstance(picture, VideoStream):
            return packets
        self._parts = Parts(picture)
        return self._parts.joined(packets)

    def _broken(self) -> set[int]:
        """Streams with gaps whose packets were lost on the way, where the container counts them (MPEG-TS)."""
        gaps = self._sound.gaps
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
        """Whether a packet overlaps the range; a subtitle that began before is cut to it."""
        begins = _shown(packet)
        if begins is None or packet.stream.type == "video":  # a cover picture is of all times
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

    def _with_duration(self, packet: Packet[Any]) -> None:
        """Give audio without a duration the step from the packet before: MP4 hides a last one without."""
        index, before = packet.stream.index, self._before.get(packet.stream.index)
        if packet.stream.type != "audio" or packet.pts is None:
            return
        if not packet.duration:
            packet.duration = max(1, packet.pts - before) if before is not None else 1
        self._before[index] = packet.pts

    def _texts_until(self, seconds: Fraction) -> Iterator[Packet[Any]]:
        for index, converter in self._converters.items():
            yield from self._at(index, converter.until(seconds))

    def _at(self, index: int, packets: list[Packet[Any]]) -> list[Packet[Any]]:
        """Packets made from stream `index`, pointed at the output."""
        target = self._targets[index]
        texts = self._texts.get(target.index)
        if texts is not None:
            tick = time_base_of(target)
            packets = [piece for packet in packets for piece in texts.push(packet, tick)]
        for packet in packets:
            packet.stream = target
        return packets

    def _placed(self, packet: Packet[Any]) -> list[Packet[Any]]:
        index = packet.stream.index
        self._with_duration(packet)
        if packet.stream.type == "subtitle" and packet.dts is None:
            packet.dts = packet.pts
        converter = self._converters.get(index)
        return self._at(index, [packet] if converter is None else converter.convert(packet))

    def _head(self) -> Packet[Any] | None:
        if not self._queue:
            packet = next(self._packets, None)
            if packet is not None:
                self._queue.append(packet)
        return self._queue[0] if self._queue else None

    def _taken(self, packet: Packet[Any]) -> Packet[Any]:
        self.counts[packet.stream_index] += 1
        self.sizes[packet.stream_index] += packet.size
        return packet

    def _peek(self) -> None:
        """Read until every audio track has shown its first packet, so that `earliest` knows them."""
        waiting = set(self.sounds)
        while waiting and len(self._queue) < _PEEK:
            packet = next(self._packets, None)
            if packet is None:
                return
            self._queue.append(packet)
            waiting.discard(packet.stream_index)


def _at_time(settled: tuple[Packet[Any], int]) -> Packet[Any]:
    packet, time = settled
    if packet.pts != time:
        packet.pts = packet.dts = time
    return packet


def _shown(packet: Packet[Any]) -> Fraction | None:
    """When a packet is presented, in seconds."""
    ticks = packet.pts if packet.pts is not None else packet.dts
    return None if ticks is None else ticks * packet.time_base


def _due(packet: Packet[Any]) -> Fraction:
    """When a packet belongs into the file, in seconds; at once where it has no time."""
    ticks = packet.dts if packet.dts is not None else packet.pts
    return Fraction(-(10**9)) if ticks is None else ticks * packet.time_base
