"""Decoded frames of a stream with their times, of which single stray ones are repaired."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from av import Packet, VideoFrame, VideoStream
from av.container import InputContainer

from vsr.frame import VideoInfo
from vsr.media.decode.frame_times import FrameTimes
from vsr.media.decode.hwaccel import Decoding, as_software, is_on_card
from vsr.media.decoders.concatenated import Parts, can_start_over
from vsr.media.decoders.decoder import READ_ERRORS, FrameDecoder, leave_out_others, read_packets
from vsr.media.decoders.sequences import Sequences
from vsr.media.files.stdio import is_pipe
from vsr.media.integrity.damage import DamageWatch
from vsr.media.integrity.stray_times import StrayTimes
from vsr.media.integrity.truncation import POSITIONED


class FrameReader:
    """Reads the packets of one stream and decodes them, counting damage in a `DamageWatch`."""

    def __init__(
        self, info: VideoInfo, decoding: Decoding, watch: DamageWatch, warn: Callable[[str], None]
    ) -> None:
        """Nothing is read yet.

        Args:
            info: Of the stream as it is decoded, before filters.
            decoding: What decodes.
            watch: Sees each packet, and each error of the decoder.
            warn: Takes a sentence for each repair; may be given the same one again.
        """
        self._info, self._decoding, self._watch, self._warn = info, decoding, watch, warn
        self._stray_packets = 0

    def frames(
        self, container: InputContainer, stream: VideoStream, decoder: FrameDecoder
    ) -> Iterator[tuple[VideoFrame, int | None]]:
        """Every frame of the stream in display order, with its time in ticks where it has one."""
        return self._with_repaired_times(self._decoded(container, stream, decoder))

    def _with_repaired_times(
        self, frames: Iterable[tuple[VideoFrame, int | None]]
    ) -> Iterator[tuple[VideoFrame, int | None]]:
        """The frames, single times that lie far from their neighbours' repaired and counted."""
        if is_pipe(self._info.path):  # there a frame is not to wait for the next one
            yield from frames
            return
        strays = StrayTimes[VideoFrame](self._info.time_base)
        for frame, time in frames:
            if time is None:
                yield from self._repaired(strays, strays.flush())
                yield frame, None
            else:
                yield from self._repaired(strays, strays.push(frame, time))
        yield from self._repaired(strays, strays.flush())

    def _repaired(
        self, strays: StrayTimes[VideoFrame], settled: list[tuple[VideoFrame, int]]
    ) -> Iterator[tuple[VideoFrame, int]]:
        self._watch.stray_times(strays.repaired + self._stray_packets)
        for frame, time in settled:
            if frame.pts is not None:
                frame.pts = time
            yield frame, time

    def _decoded(
        self, container: InputContainer, stream: VideoStream, decoder: FrameDecoder
    ) -> Iterator[tuple[VideoFrame, int | None]]:
        """Every frame of the stream in display order, with its time in ticks where it has one."""
        times = FrameTimes()
        frames = self._frames_of(container, stream, decoder, times)
        return times.timed(frames, lambda: decoder.has_b_frames)

    def _frames_of(
        self,
        container: InputContainer,
        stream: VideoStream,
        decoder: FrameDecoder,
        times: FrameTimes,
    ) -> Iterator[VideoFrame]:
        positioned = container.format.name.split(",")[0] in POSITIONED
        if not positioned:  # else the packets of all streams are needed to see holes between them
            leave_out_others(container, stream)
        parts, sequences = Parts(stream), Sequences(self._info.codec, decoder)
        packets = read_packets(container, self._watch.unreadable)
        for packet in parts.joined(packets) if can_start_over(container) else packets:
            self._stray_packets = parts.repaired
            for note in parts.notes:
                self._warn(note)
            if positioned:
                self._watch.position(packet.pos, packet.size)
            if packet.stream_index != stream.index:
                continue
            self._watch.packet(packet)
            times.packet(packet.pts)
            try:
                for frame in sequences.decode(packet):
                    yield self._from(decoder, frame)
            except READ_ERRORS as error:
                self._watch.refused(error, _seconds(packet))
        try:
            for frame in sequences.decode(None):
                yield self._from(decoder, frame)
        except READ_ERRORS as error:
            self._watch.refused(error, None)

    def _from(self, decoder: FrameDecoder, frame: VideoFrame) -> VideoFrame:
        """A picture as software gives it, whoever decoded it."""
        if self._decoding.card is None:
            return frame
        if not is_on_card(decoder):
            self._warn(
                "the video changes on the way to what the card cannot decode; software goes on with it"
            )
        return as_software(frame, self._info.pixel_format)


def _seconds(packet: Packet[Any]) -> float | None:
    ticks = packet.pts if packet.pts is not None else packet.dts
    return None if ticks is None else float(ticks * packet.time_base)
