"""The plan for everything that is not the video stream.

A stream is copied packet for packet where the target's container takes it. Whether it does is not looked up
but tried: a file with its first packets is written in memory, from header to index. What it does not take is
converted where the user loses nothing by it (text subtitles), attached (cover pictures in Matroska), or left
out with one warning that names the remedy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from av.container import OutputContainer
from av.stream import AttachmentStream, Disposition, Stream

from vsr.media.audio.latm import LatmConfig
from vsr.media.files.opening import reopen_media
from vsr.media.formats.containers import Container

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
    latm: LatmConfig | None = None
    """Of AAC that is unpacked."""


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
    """All streams but the frame."""

    kept: tuple[PlannedStream, ...] = ()
    """In the source's order."""
    dropped: tuple[DroppedStream, ...] = ()
    notes: tuple[str, ...] = ()
    """What changes in streams that are kept."""
    sound_bases: tuple[Fraction, ...] = ()
    """Time bases of the audio that is kept."""

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


def is_cover(stream: Stream) -> bool:
    """Whether a video stream is a cover picture."""
    return bool(stream.disposition & Disposition.attached_pic)


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


def add_attachment(output: OutputContainer, stream: Stream, data: bytes) -> Stream:
    """A file in `output` with the name, type and metadata of `stream`."""
    suffix = codec_name(stream) or "bin"
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


def codec_name(stream: Stream) -> str:
    """FFmpeg's name of what a stream holds; empty where there is none."""
    context = getattr(stream, "codec_context", None)
    return context.name if context is not None else getattr(stream, "name", None) or ""
