"""What happens to everything that is not the picture, decided before the first frame is computed.

A stream is copied packet for packet where the target's container takes it. Whether it does is not looked up
but tried: a file with its first packets is written in memory, from header to index. What it does not take is
converted where the user loses nothing by it (text subtitles), attached (cover pictures in Matroska), or left
out with one warning that names the remedy.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import av
from av import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import AttachmentStream, Disposition, Stream

from vsr.media.containers import Container, container_of
from vsr.media.decoder import read_packets
from vsr.media.muxing import REFUSED
from vsr.media.opening import reopen_media, shown
from vsr.media.pipes import is_pipe
from vsr.media.pyav import TEXT, fraction
from vsr.media.subtitles import is_text

PICTURE_ONLY = "a pipe carries the picture only"
Way = Literal["copy", "convert", "attach"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStream:
    """A stream of the source that goes into the output."""

    index: int
    """In the source, counting all streams."""
    kind: str
    """FFmpeg's media type."""
    codec: str
    """FFmpeg's name in the source; empty for data without one."""
    way: Way
    to: str = ""
    """Codec that it is converted to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedStream:
    """A stream of the source that stays behind."""

    index: int
    kind: str
    codec: str
    reason: str
    """For people: why, and what would keep it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """All streams but the picture."""

    kept: tuple[PlannedStream, ...] = ()
    """In the source's order."""
    dropped: tuple[DroppedStream, ...] = ()
    notes: tuple[str, ...] = ()
    """What changes in streams that are kept."""
    sound_bases: tuple[Fraction, ...] = ()
    """Time bases of the sound that is kept."""

    @property
    def copied(self) -> tuple[PlannedStream, ...]:
        return tuple(stream for stream in self.kept if stream.way != "convert")

    @property
    def converted(self) -> tuple[PlannedStream, ...]:
        return tuple(stream for stream in self.kept if stream.way == "convert")

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each stream that is left out or changed."""
        return (*(stream.reason for stream in self.dropped), *self.notes)


def plan_streams(source: Path, *, video_index: int, target: Path) -> StreamPlan:
    """Decide for every stream of `source` but the picture.

    Args:
        source: The input.
        video_index: Of the picture that is upscaled, among all streams.
        target: Its suffix names the container.

    Raises:
        InputError: the source cannot be opened.
        ConfigError: the suffix is unknown.
    """
    container = container_of(target)
    with reopen_media(source) as media:
        film = media.streams[video_index]
        others = [stream for stream in media.streams if stream.index != video_index]
        if is_pipe(source):
            return StreamPlan(dropped=tuple(_dropped(stream, PICTURE_ONLY) for stream in others))
        first = _first_packets(media, [stream for stream in others if stream.type in ("audio", "data")])
        chosen = [_decide(media, film, stream, container, first.get(stream.index, [])) for stream in others]
        kept = tuple(plan for plan in chosen if isinstance(plan, PlannedStream))
        bases = [fraction(media.streams[plan.index].time_base) for plan in kept if plan.kind == "audio"]
    return StreamPlan(
        kept=kept,
        dropped=tuple(plan for plan in chosen if isinstance(plan, DroppedStream)),
        notes=tuple(
            _styling_note(plan) for plan in kept if plan.way == "convert" and plan.codec in ("ass", "ssa")
        ),
        sound_bases=tuple(base for base in bases if base),
    )


def _decide(
    media: InputContainer, film: Stream, stream: Stream, container: Container, first: list[Packet[Any]]
) -> PlannedStream | DroppedStream | None:
    """The plan for one stream; None for what FFmpeg makes anew (the tracks behind chapters and timecode)."""
    kind, codec = stream.type, _codec(stream)
    if container.family == "mp4" and _is_timecode_of(film, stream):
        return None
    if kind == "video" and not is_cover(stream):
        return _dropped(stream, f"a further video stream; upscale it with --video-stream {stream.index}")
    if isinstance(stream, AudioStream) and stream.codec_context and not stream.codec_context.sample_rate:
        return _dropped(stream, "it begins too late in the file to learn what it is; remux the source first")
    way = _way(stream, container, first)
    if way is not None:
        return PlannedStream(index=stream.index, kind=kind, codec=codec, way=way)
    if is_text(stream):
        return PlannedStream(
            index=stream.index, kind=kind, codec=codec, way="convert", to=container.text_subtitles
        )
    if kind == "data" and media.chapters() and "mov" in media.format.name:
        return None
    remedy = ".mov keeps some of them" if kind == "data" else "write to .mkv to keep it"
    return _dropped(stream, f"{container.name} cannot hold it; {remedy}")


def _is_timecode_of(film: Stream, stream: Stream) -> bool:
    """Whether FFmpeg's MP4 muxer makes this track from a tag of the picture."""
    code = stream.metadata.get("timecode")
    return stream.type == "data" and code is not None and code == film.metadata.get("timecode")


def _way(stream: Stream, container: Container, first: list[Packet[Any]]) -> Way | None:
    """How the container takes a stream as it is, if it does."""
    if stream.type == "attachment":
        return "attach" if container.attachments else None
    if stream.type == "video" and container.covers != "stream":
        return "attach" if container.covers == "attachment" else None
    return "copy" if muxer_takes(stream, container.muxer, first) else None


def is_cover(stream: Stream) -> bool:
    """Whether a video stream is a cover picture."""
    return bool(stream.disposition & Disposition.attached_pic)


def _first_packets(media: InputContainer, streams: list[Stream]) -> dict[int, list[Packet[Any]]]:
    """The first few packets of each stream, as far as they stand near the beginning."""
    first: dict[int, list[Packet[Any]]] = {stream.index: [] for stream in streams}
    waiting = set(first)
    packets = read_packets(media, lambda _: None) if waiting else iter(())
    for packet in islice(packets, _SEARCHED):
        index = packet.stream_index
        if index in waiting:
            first[index].append(packet)
            waiting -= {index} if len(first[index]) == _TRIED else set()
        if not waiting:
            break
    return first


def muxer_takes(stream: Stream, muxer: str, packets: list[Packet[Any]]) -> bool:
    """Whether FFmpeg's muxer writes a copy of `stream`; tried in memory, to the end: some faults show there.

    Args:
        stream: Of an open source.
        muxer: FFmpeg's name.
        packets: The first of the stream, used up; damaged ones do not count, unless all are. Without any
            (an empty stream), the header decides.
    """
    output = av.open(io.BytesIO(), "w", format=muxer, **TEXT)
    try:
        made = add_copy(output, stream)
        output.start_encoding()
        if packets:
            taken = [_taken(output, made, n, packet) for n, packet in enumerate(packets)]
            output.close()
            return any(taken)
    except (av.FFmpegError, ValueError):
        return False
    finally:
        with suppress(av.FFmpegError):  # a trailer without packets may fail; it is thrown away
            output.close()
    return True


def _taken(output: OutputContainer, stream: Stream, second: int, packet: Packet[Any]) -> bool:
    """Mux a packet at a given second; False where it is damaged."""
    packet.stream = stream
    packet.pts = packet.dts = round(second / packet.time_base)
    try:
        output.mux_one(packet)
    except REFUSED:
        return False
    return True


def left_empty(container: Container, streams: StreamPlan, counts: Mapping[int, int]) -> list[str]:
    """A warning for each stream that MP4 leaves out, because nothing was in it.

    Args:
        container: Of the output.
        streams: What was planned.
        counts: Index in the output to packets written, of all streams that are not attached, in their order.
    """
    if container.family != "mp4":
        return []
    planned = (stream for stream in streams.kept if stream.way != "attach")  # the order of `counts`
    return [
        f"stream {stream.index} ({stream.kind} {stream.codec}) is left out: it holds no packets, and "
        f"{container.name} keeps no empty tracks; write to .mkv to keep it"
        for stream, count in zip(planned, counts.values(), strict=True)
        if not count
    ]


def add_copy(output: OutputContainer, stream: Stream) -> Stream:
    """A stream of `output` with the codec parameters, metadata and disposition of `stream`."""
    made = output.add_stream_from_template(stream, opaque=True)
    if isinstance(made, AudioStream) and output.format.name in ("mp4", "mov"):
        _name_speakers(made)
    made.metadata.update(stream_metadata(stream))
    made.disposition = stream.disposition
    return made


def _name_speakers(sound: AudioStream) -> None:
    """Say which channel is which where the source (AVI) only counts them: MP4 refuses sound without it."""
    nameless = all(channel.name == "NONE" for channel in sound.codec_context.layout.channels)
    usual = _USUAL_SPEAKERS.get(sound.codec_context.channels)
    if nameless and usual is not None:
        sound.codec_context.layout = usual


def add_attachment(output: OutputContainer, stream: Stream, data: bytes) -> Stream:
    """A file in `output` with the name, type and metadata of `stream`."""
    suffix = _codec(stream) or "bin"
    name = stream.metadata.get("filename") or f"cover.{_SUFFIXES.get(suffix, suffix)}"
    mimetype = stream.metadata.get("mimetype") or _MIMETYPES.get(suffix, "application/octet-stream")
    made = output.add_attachment(name, mimetype, data)
    made.metadata.update(stream_metadata(stream))
    return made


def attachment_data(source: Path, stream: Stream) -> bytes:
    """The bytes of an attachment, or of a cover picture."""
    if isinstance(stream, AttachmentStream):
        return stream.data
    with reopen_media(source) as media:
        for packet in media.demux(media.streams[stream.index]):
            if packet.size:
                return bytes(packet)
    return b""


_USUAL_SPEAKERS = dict(enumerate(("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1"), start=1))
"""Number of channels to FFmpeg's default layout."""
_TRIED = 10
"""Packets of a stream that are muxed in a trial: after a damaged one, FFmpeg cuts a few in wrong places."""
_SEARCHED = 2000
"""Packets of a file that are read at most to find them."""
_SUFFIXES = {"mjpeg": "jpg"}
_MIMETYPES = {
    "mjpeg": "image/jpeg",
    "png": "image/png",
    "bmp": "image/bmp",
    "gif": "image/gif",
    "webp": "image/webp",
}
_STALE = frozenset({"duration", "number_of_frames", "number_of_bytes", "bps"})
"""Tags of a Matroska stream that count what is in it; the muxer writes the duration anew."""


def stream_metadata(stream: Stream, *, encoded: bool = False) -> dict[str, str]:
    """The metadata of a stream that still holds in the output.

    Args:
        stream: Of the source.
        encoded: Whether its packets are made anew, so that counts and the encoder's name no longer hold.
    """
    return {key: value for key, value in stream.metadata.items() if not _is_stale(key.lower(), encoded)}


def name_track(stream: Stream) -> None:
    """Keep a track's title in MP4, whose tracks have a handler's name only; players show it as the title."""
    if stream.metadata.get("title"):
        stream.metadata["handler_name"] = stream.metadata["title"]


def _is_stale(key: str, encoded: bool) -> bool:
    if key == "duration" or key.startswith("duration-"):
        return True
    counted = key.partition("-")[0] in _STALE or key.startswith("_statistics")
    return encoded and (counted or key == "encoder")


def _dropped(stream: Stream, why: str) -> DroppedStream:
    kind, codec = stream.type, _codec(stream)
    language = stream.metadata.get("language", "und")
    label = " ".join(
        part for part in (kind, codec, "" if language == "und" else language, _name(stream)) if part
    )
    reason = f"stream {stream.index} ({label}) is left out: {why}"
    return DroppedStream(index=stream.index, kind=kind, codec=codec, reason=reason)


def _name(stream: Stream) -> str:
    name = stream.metadata.get("filename") or stream.metadata.get("title") or ""
    return repr(shown(name)) if name else ""


def _styling_note(plan: PlannedStream) -> str:
    return (
        f"stream {plan.index} (subtitle {plan.codec}) becomes {plan.to}: the text stays, "
        "positions and fonts do not; write to .mkv to keep them"
    )


def _codec(stream: Stream) -> str:
    context = getattr(stream, "codec_context", None)
    return context.name if context is not None else getattr(stream, "name", None) or ""
