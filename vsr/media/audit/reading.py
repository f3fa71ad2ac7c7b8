"""Reads a file once, and collects all data that is compared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from av import AudioStream, VideoFrame, VideoStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import AttachmentStream, Stream
from numpy.typing import NDArray

from vsr.frame import Stamp, VideoInfo
from vsr.media.audio.audio_facts import AudioFacts, audio_facts
from vsr.media.audit.contents import Chapter, Contents, Frames, Track
from vsr.media.audit.decoded_audio import AudioReader
from vsr.media.audit.layers import layers_of
from vsr.media.audit.side_data_digests import SideDataDigests, side_data_digests
from vsr.media.audit.texts import TextReader
from vsr.media.audit.thumbnails import CELLS, thumbnail
from vsr.media.decode.facts.probe import probe
from vsr.media.decode.frame_times import FrameTimes
from vsr.media.decode.interlacing import AUTOMATIC, FieldWork, deinterlaced
from vsr.media.decode.timeline import Timeline, until_the_next, with_both_fields
from vsr.media.decoders.concatenated import Parts, can_start_over, nominal_step
from vsr.media.decoders.decoder import READ_ERRORS, FrameDecoder, choose_stream, decoder_of, read_packets
from vsr.media.decoders.sequences import Sequences
from vsr.media.files.opening import MAX_PIXELS, open_media
from vsr.media.files.pyav import fraction, time_base_of
from vsr.media.filters.deinterlace import CAPTIONS
from vsr.media.passthrough.edits import Edits
from vsr.media.passthrough.marks import TrackMarks, read_marks
from vsr.media.passthrough.stream_kinds import attachment_data, codec_name, is_cover, title_of
from vsr.media.text.subtitles import is_text

UNITS = 128
"""Units of a thumbnail in one 8-bit code."""
_END_OF_DISPLAY_SET = b"\x80\0\0"
"""The last segment of a display set of PGS."""
_TAGS = ("title", "artist", "comment", "language")
"""Metadata keys of a file that every container supports."""


def read_contents(path: Path, *, max_pixels: int = MAX_PIXELS, fields: FieldWork = AUTOMATIC) -> Contents:
    """Decode every stream of a file, and read all other data.

    Args:
        path: Path of the file.
        max_pixels: Larger frames are refused.
        fields: Work on the fields of a source that changes number and times of its frames; other work is not
            done, because thumbnails hardly show it.

    Raises:
        InputError: the file cannot be opened, or contains no frame.
    """
    info = probe(path, max_pixels=max_pixels)
    with open_media(path, max_pixels=max_pixels) as media:
        video = choose_stream(media, str(path), index=info.stream_index)
        audio, marks = audio_facts(media), read_marks(path, media)
        tracks = [stream for stream in media.streams if _is_track(stream, video)]
        others = {s.index: _TrackReader(s, audio.get(s.index), marks[s.index]) for s in tracks}
        frames = _FrameReader(info, video, fields)
        decoder = decoder_of(video, max_pixels=max_pixels)
        frames.read(_decoded(media, video, decoder, frames, others), lambda: decoder.has_b_frames)
        matroska = "matroska" in media.format.name
        layers = layers_of(path, frames.origin) if matroska else ((), ())
        return Contents(
            info=info,
            matroska=matroska,
            layered_chapters=layers[0],
            layered_tags=layers[1],
            dispositions=marks[video.index].names,
            frames=frames.result(),
            tracks=tuple(other.result(frames.origin) for other in others.values()),
            attachments=tuple(sorted(_attachments(path, media))),
            chapters=_chapters(media, frames.origin),
            tags={k.lower(): v for k, v in media.metadata.items() if k.lower() in _TAGS},
            timecode=_timecode(media, video),
        )


def _decoded(
    media: InputContainer,
    video: VideoStream,
    decoder: FrameDecoder,
    frames: _FrameReader,
    others: Mapping[int, _TrackReader],
) -> Iterator[VideoFrame]:
    """Yield the frames of the video stream. Packets of other streams are given to their readers."""
    packets = read_packets(media, frames.failed, path=frames.path)
    parts, sequences = Parts(video), Sequences(video.codec_context.codec.canonical_name, decoder)
    for packet in chain(parts.joined(packets) if can_start_over(media) else packets, [None]):
        if packet is not None and packet.stream_index != video.index:
            if packet.stream_index in others:
                others[packet.stream_index].push(packet)
            continue
        try:
            if packet is not None:
                frames.times.packet(packet.pts)
            yield from sequences.decode(packet)
        except READ_ERRORS as error:
            frames.failed(error)


class _FrameReader:
    """Reduces the frames of the video stream to the data that is compared."""

    def __init__(self, info: VideoInfo, stream: VideoStream, fields: FieldWork) -> None:
        self._fields = fields
        self._stated = "mp4" in stream.container.format.name
        self.times = FrameTimes()
        self._info = info
        self._timeline = Timeline(time_base=info.time_base, step=nominal_step(stream))
        self._seconds: list[Fraction] = []
        self._thumbnails: list[NDArray[np.int16]] = []
        self._side_data: list[tuple[tuple[str, bytes], ...]] = []
        self._duration = Fraction(0)
        self._broken = 0

    @property
    def path(self) -> str:
        """Path of the file."""
        return self._info.path

    @property
    def origin(self) -> Fraction:
        """Time of the first frame, in seconds on the file's clock."""
        return self._seconds[0] if self._seconds else Fraction(0)

    def failed(self, _: Exception) -> None:
        """Count an error."""
        self._broken += 1

    def read(self, frames: Iterable[VideoFrame], reorders: Callable[[], bool]) -> None:
        """Read all frames."""
        stamped = self._stamped(frames, reorders)
        if self._fields.changes_times:
            shown = with_both_fields(stamped)
            shown = until_the_next(shown, lambda: None) if self._stated else shown
            stamped = deinterlaced(shown, self._info, self._fields, lambda _: None)
        for frame, stamp in stamped:
            self._seconds.append(stamp.seconds)
            self._duration = stamp.duration * stamp.time_base
            self._side_data.append(self._compared(frame, stamp))
            self._thumbnails.append(np.rint(thumbnail(frame, self._info) * UNITS).astype(np.int16))

    def _stamped(
        self, frames: Iterable[VideoFrame], reorders: Callable[[], bool]
    ) -> Iterator[tuple[VideoFrame, Stamp]]:
        for frame, time in self.times.timed(frames, reorders):
            self._broken += frame.is_corrupt
            yield frame, self._timeline.stamp(frame, time)

    def _compared(self, frame: VideoFrame, stamp: Stamp) -> SideDataDigests:
        """Return the side data without captions that belong to another frame of the result."""
        moved = self._fields.how == "film" or (self._fields.how == "double" and stamp.index % 2)
        return tuple(one for one in side_data_digests(frame) if not (moved and one[0] == CAPTIONS))

    def result(self) -> Frames:
        last = self._duration
        return Frames(
            times=tuple(time - self.origin for time in self._seconds),
            last_duration=last or None,
            thumbnails=np.array(self._thumbnails, np.int16).reshape(-1, 3, CELLS, CELLS),
            side_data=tuple(self._side_data),
            broken=self._broken,
        )


class _TrackReader:
    """Reads a stream other than the video."""

    def __init__(self, stream: Stream, facts: AudioFacts | None, marks: TrackMarks) -> None:
        self._stream, self._marks = stream, marks
        self._packets: list[bytes] = []
        self._times: list[Fraction] = []
        self._audio = AudioReader(stream, facts) if isinstance(stream, AudioStream) else None
        self._text = TextReader(stream) if is_text(stream) else None
        self._joined = DisplaySets() if codec_name(stream) == "pgssub" else None
        edited = "mp4" in stream.container.format.name
        self._edits = Edits(stream, hides=True) if edited else None

    def push(self, packet: Packet[Any]) -> None:
        """Read a packet, unless an edit list hides it."""
        for shown in [packet] if self._edits is None else self._edits.push(packet):
            self._read(shown)

    def _read(self, packet: Packet[Any]) -> None:
        ticks = packet.pts if packet.pts is not None else packet.dts
        self._keep(bytes(packet), (ticks or 0) * time_base_of(packet))
        if self._audio is not None:
            self._audio.push(packet)
        if self._text is not None:
            self._text.push(packet)

    def _keep(self, data: bytes, time: Fraction) -> None:
        self._append(*((data, time) if self._joined is None else self._joined.push(data, time)))

    def _append(self, data: bytes, time: Fraction) -> None:
        if data:
            self._packets.append(hashlib.blake2b(data, digest_size=8).digest())
            self._times.append(time)

    def result(self, origin: Fraction) -> Track:
        for packet in [] if self._edits is None else self._edits.flush():
            self._read(packet)
        if self._joined is not None:
            self._append(*self._joined.flush())
        if self._audio is not None:
            self._audio.push(None)
        codec = getattr(self._stream, "codec_context", None)
        return Track(
            kind=self._stream.type,
            codec=codec.name if codec is not None else "",
            language=self._marks.language or "und",
            dispositions=self._marks.names,
            packets=tuple(self._packets),
            times=tuple(time - origin for time in self._times),
            audio=None if self._audio is None else self._audio.result(origin),
            lines=None if self._text is None else self._text.result(origin),
            title=title_of(self._stream),
        )


class DisplaySets:
    """Joins the packets of PGS subtitles to display sets: a transport stream has one for each segment."""

    def __init__(self) -> None:
        self._data = b""
        self._time = Fraction(0)

    def push(self, data: bytes, time: Fraction) -> tuple[bytes, Fraction]:
        """Take the next packet; return a display set with the time of its first packet, or nothing."""
        self._time = self._time if self._data else time
        self._data += data
        return self.flush() if self._data.endswith(_END_OF_DISPLAY_SET) else (b"", time)

    def flush(self) -> tuple[bytes, Fraction]:
        """Return what is left."""
        whole, self._data = self._data, b""
        return whole, self._time


def _is_track(stream: Stream, video: VideoStream) -> bool:
    kind = stream.type in ("audio", "subtitle", "video")
    return kind and stream.index != video.index and not is_cover(stream)


def _attachments(path: Path, media: InputContainer) -> list[tuple[str, str]]:
    """Return attached files with their names, and covers without names, because a container may change
    these.
    """
    found = []
    for stream in media.streams:
        if stream.type == "attachment" or is_cover(stream):
            name = stream.metadata.get("filename", "") if isinstance(stream, AttachmentStream) else ""
            is_image = stream.metadata.get("mimetype", "").startswith("image/")
            digest = hashlib.sha256(attachment_data(path, stream)).hexdigest()
            found.append(("" if is_image else name, digest))
    return found


def _chapters(media: InputContainer, origin: Fraction) -> tuple[Chapter, ...]:
    found = []
    for chapter in media.chapters():
        base = fraction(chapter["time_base"]) or Fraction(1)
        begin, end = (chapter[name] * base - origin for name in ("start", "end"))
        found.append(Chapter(begin, end, _title(chapter["metadata"])))
    return tuple(found)


def _title(metadata: Mapping[str, str]) -> str:
    return metadata.get("title", "")


def _timecode(media: InputContainer, video: VideoStream) -> str | None:
    """Return the timecode of the video stream or of the file. Matroska writes the key in capitals."""
    tags = {key.lower(): value for owner in (media, video) for key, value in owner.metadata.items()}
    return tags.get("timecode")
