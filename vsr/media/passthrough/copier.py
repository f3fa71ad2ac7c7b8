"""Copies the packets of the streams other than the video, in order of time.

The source is opened a second time for this. Packets are never read further ahead than needed (except for the
first packet of each audio track), so memory does not grow with the length of the video.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from vsr.frame import Damage
from vsr.media.audio.aac_formats import AacFormats
from vsr.media.audio.audio_facts import AudioFacts, audio_facts
from vsr.media.audio.copies import add_copy
from vsr.media.files.opening import reopen_media
from vsr.media.files.pyav import time_base_of
from vsr.media.formats.containers import Container
from vsr.media.formats.matroska import codec_delay
from vsr.media.passthrough.conversion import Converter, converter_of
from vsr.media.passthrough.edits import Edits, hidden_start, priming_of
from vsr.media.passthrough.marks import Pending, apply_marks, read_marks
from vsr.media.passthrough.matroska_delay import add_hidden
from vsr.media.passthrough.source_packets import SourcePackets, muxing_time, presentation_time
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

_PEEK = 2000
"""The largest number of packets read to find the start of every audio track."""


class StreamCopier:
    """An open source whose video is ignored, connected to the streams of an output."""

    def __init__(
        self,
        source: Path,
        plan: StreamPlan,
        output: OutputContainer,
        container: Container,
        *,
        video: int,
        damage: Damage,
        start: Fraction | None = None,
        end: Fraction | None = None,
    ) -> None:
        """Add the planned streams to `output`.

        Args:
            source: Path of the input.
            plan: The streams to keep.
            output: Not started yet.
            container: Container of `output`.
            video: Index of the video stream in the source. Where its times start again, those of the others
                do, too.
            damage: Gets the damage that is found in the source.
            start: In seconds on the source's clock; packets that ended before are left out.
            end: In seconds on the source's clock; packets that begin then or later are left out.
        """
        self.notes: list[str] = []
        self.counts: dict[int, int] = {}
        """Maps an index in the output to the number of packets returned."""
        self.sizes: dict[int, int] = {}
        """Maps an index in the output to the number of bytes returned."""
        self.pending: list[Pending] = []
        """Languages and flags that must be written into the finished file."""
        self._damage, self._start = damage, start
        self._is_cut = start is not None or end is not None
        self._media = reopen_media(source)
        self._targets: dict[int, Stream] = {}
        self._converters: dict[int, Converter] = {}
        self._counted: dict[int, int] = {}
        self._before: dict[int, int] = {}
        self._texts: dict[int, LongTexts] = {}
        self._edits: dict[int, Edits] = {}
        self._priming: dict[int, Fraction] = {}
        try:
            facts = audio_facts(self._media)
            if container.family == "matroska" and start is None:
                copied = [planned.index for planned in plan.copied]
                self._priming = self._cut_off(copied) | priming_of(source, copied)
            self._marks = read_marks(source, self._media)
            for planned in plan.kept:
                self._add(source, planned, output, container, facts.get(planned.index))
            self._refine_texts(output)
            self._source = SourcePackets(
                self._media,
                self._targets.keys(),
                self._edits,
                path=source,
                video=video,
                damage=damage,
                start=start,
                end=end,
            )
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
        """Close the source; may be called repeatedly."""
        self._media.close()

    @property
    def from_mp4(self) -> bool:
        """Whether the source is MP4 or QuickTime."""
        return "mp4" in self._media.format.name

    @property
    def audio_tracks(self) -> dict[int, Stream]:
        """Maps the index in the output of each audio track to the stream in the source."""
        pairs = ((self._targets[index].index, self._media.streams[index]) for index in self._targets)
        return {target: stream for target, stream in pairs if stream.type == "audio"}

    @property
    def delays(self) -> dict[int, int]:
        """Maps the index in the output of each audio track to the nanoseconds that Matroska hides at its
        start.
        """
        found = {index: codec_delay(stream) for index, stream in self.audio_tracks.items()}
        primed = {self._targets[index].index: seconds for index, seconds in self._priming.items()}
        return found | {index: round(seconds * 10**9) for index, seconds in primed.items()}

    def earliest(self, delays: dict[int, Fraction], *, cuts: bool) -> Fraction | None:
        """Return the earliest time at which a packet plays, in seconds on the source's clock; None if there
        is none.

        Only the packets that `_peek` has read are considered.

        Args:
            delays: Maps an index in the output to the seconds by which a stream may begin before zero.
            cuts: Whether the container can hide what plays before zero (MP4's edit lists). Then packets that
                the source hides (an audio codec's priming) or that lie before the range do not count.
        """
        counted = [packet for packet in self._queue if not (cuts and self._hidden(packet))]
        shown = [(packet, presentation_time(packet)) for packet in counted]
        times = [
            (packet.stream_index, time if time is None or not cuts else time + hidden_start(packet))
            for packet, time in shown
        ]
        return min((time + delays.get(index, 0) for index, time in times if time is not None), default=None)

    def _hidden(self, packet: Packet[Any]) -> bool:
        time = presentation_time(packet)
        return packet.is_discard or (self._start is not None and time is not None and time < self._start)

    def packets_until(self, seconds: Fraction) -> Iterator[Packet[Any]]:
        """Yield the packets that are due by `seconds` on the source's clock; their stream is the output's."""
        while (packet := self._head()) is not None and muxing_time(packet) <= seconds:
            yield self._taken(self._queue.popleft())

    def rest(self) -> Iterator[Packet[Any]]:
        """Yield all remaining packets."""
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
        elif self._marks[planned.index].codec:  # SubRip is stored alike; its name is changed at the end
            target = output.add_mux_stream("subrip", time_base=time_base_of(stream))
        else:
            delay = self._priming.get(planned.index)
            target = add_copy(output, stream, facts) if delay is None else add_hidden(output, stream, delay)
            if planned.codec == "aac":
                several = container.family == "mp4"
                self._converters[planned.index] = AacFormats(stream, target, several=several)
        if self.from_mp4 and planned.kind != "video":
            self._edits[planned.index] = Edits(stream, hides=container.family == "mp4")
        encoded = planned.way == "convert"
        target.metadata.update(stream_metadata(stream, encoded=encoded, cut=self._is_cut))
        self._targets[planned.index] = target
        if container.family == "mp4":
            name_track(target)
        pending = apply_marks(target, self._marks[planned.index], container)
        self.pending += [] if pending is None else [pending]
        self.counts[target.index] = self.sizes[target.index] = 0

    def _cut_off(self, indices: list[int]) -> dict[int, Fraction]:
        """Return zero for each track whose priming FFmpeg derives from an edit list.

        FFmpeg 9 (PyAV 19) treats everything that the list hides at the start as priming, even trimmed audio.
        """
        if not self.from_mp4:
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
        """Yield the packets of the planned streams inside the range, converted and assigned to the output's
        streams.
        """
        if not self._targets:
            return
        for packet in self._source.read():
            yield from self._texts_until(muxing_time(packet))
            yield from self._placed(packet)
        for index, converter in self._converters.items():
            yield from self._at(index, converter.flush())
            self._count_broken(index, converter)
            self._damage.notes += filter(None, [converter.damage_note(index)])
            self.notes += filter(None, [converter.note(index)])

    def _with_duration(self, packet: Packet[Any]) -> None:
        """Give audio without a duration the step from the previous packet; MP4 would hide a last one without
        a duration.
        """
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
        """Assign packets made from stream `index` to the output's stream."""
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
        if converter is None:
            return self._at(index, [packet])
        made = self._at(index, converter.convert(packet))
        self._count_broken(index, converter)
        return made

    def _count_broken(self, index: int, converter: Converter) -> None:
        """Add the packets that the converter could not read since the last call to the damage."""
        self._damage.broken_packets += converter.broken - self._counted.get(index, 0)
        self._counted[index] = converter.broken

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
        """Read until every audio track has had its first packet, so that `earliest` knows them."""
        waiting = set(self.audio_tracks)
        while waiting and len(self._queue) < _PEEK:
            packet = next(self._packets, None)
            if packet is None:
                return
            self._queue.append(packet)
            waiting.discard(packet.stream_index)
