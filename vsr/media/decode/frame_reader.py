"""Reads and decodes the frames of a stream, and repairs single wrong timestamps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from av import Packet, VideoFrame, VideoStream
from av.container import InputContainer

from vsr.frame import VideoInfo
from vsr.media.decode.entry import Entry
from vsr.media.decode.frame_times import FrameTimes
from vsr.media.decode.hwaccel import Decoding, as_software, is_decoded_on_gpu
from vsr.media.decoders.concatenated import Parts, can_start_over
from vsr.media.decoders.decoder import READ_ERRORS, FrameDecoder, leave_out_others, read_packets
from vsr.media.decoders.sequences import Sequences
from vsr.media.files.stdio import is_pipe
from vsr.media.integrity.backward_times import BackwardTimes
from vsr.media.integrity.damage import DamageWatch
from vsr.media.integrity.stray_times import StrayTimes
from vsr.media.integrity.truncation import POSITIONED


class FrameReader:
    """Reads the packets of one stream and decodes them. Damage is counted in a `DamageWatch`."""

    def __init__(
        self,
        info: VideoInfo,
        decoding: Decoding,
        watch: DamageWatch,
        warn: Callable[[str], None],
        entry: Entry | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Prepare the reader; nothing is read yet.

        Args:
            info: Of the stream as it is decoded, before filters.
            decoding: The device that decodes.
            watch: Gets each packet, and each error of the decoder.
            warn: Takes a sentence for each repair, possibly the same one repeatedly.
            entry: Where decoding begins; None is the start of the stream.
            stopped: Called for each packet before the entry; returns whether to give up.
        """
        self._stopped = stopped
        self._entry = entry
        self._info, self._decoding, self._watch, self._warn = info, decoding, watch, warn
        self._stray_packets = 0

    def frames(
        self, container: InputContainer, stream: VideoStream, decoder: FrameDecoder
    ) -> Iterator[tuple[VideoFrame, int | None]]:
        """Yield every frame from the entry on in display order, with its time in ticks, or None where it has
        no time.
        """
        return self._with_repaired_times(self._decoded(container, stream, decoder))

    def _with_repaired_times(
        self, frames: Iterable[tuple[VideoFrame, int | None]]
    ) -> Iterator[tuple[VideoFrame, int | None]]:
        """Yield the frames. Single times far from those of the neighbouring frames are repaired and
        counted.
        """
        if is_pipe(self._info.path):  # a live frame must not wait for the next one
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
        """Yield every frame in display order, with the time that `FrameTimes` chooses."""
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
        if not positioned:  # else gaps show only between the packets of all streams
            leave_out_others(container, stream)
        parts, sequences = Parts(stream), Sequences(self._info.codec, decoder)
        number, backward = 0, BackwardTimes()
        packets = read_packets(container, self._watch.unreadable, path=self._info.path)
        for packet in parts.joined(packets) if can_start_over(container) else packets:
            self._stray_packets = parts.repaired
            for note in parts.notes:
                self._warn(note)
            if positioned:
                self._watch.position(packet.pos, packet.size)
            self._warn_of(backward.note(packet))
            if packet.stream_index != stream.index:
                continue
            self._watch.packet(packet)
            times.packet(packet.pts)
            number += 1
            if self._entry is not None and number <= self._entry.packets:
                if self._stopped():
                    return
                continue
            try:
                for frame in sequences.decode(packet):
                    if not self._is_before(frame.pts):
                        yield self._as_software(decoder, frame)
            except READ_ERRORS as error:
                if not self._is_before(packet.pts):
                    self._watch.refused(error, _seconds(packet))
        try:
            for frame in sequences.decode(None):
                yield self._as_software(decoder, frame)
        except READ_ERRORS as error:
            self._watch.refused(error, None)

    def _warn_of(self, note: str | None) -> None:
        if note is not None:
            self._warn(note)

    def _is_before(self, pts: int | None) -> bool:
        """Return whether a time is before the entry: such frames may lack what they refer to."""
        return self._entry is not None and pts is not None and pts < self._entry.pts

    def _as_software(self, decoder: FrameDecoder, frame: VideoFrame) -> VideoFrame:
        """Return the frame in the pixel format of software decoding."""
        if self._decoding.card is None:
            return frame
        if not is_decoded_on_gpu(decoder):
            self._warn("the video changes to a format that the GPU cannot decode; software decodes the rest")
        return as_software(frame, self._info.pixel_format)


def _seconds(packet: Packet[Any]) -> float | None:
    ticks = packet.pts if packet.pts is not None else packet.dts
    return None if ticks is None else float(ticks * packet.time_base)
