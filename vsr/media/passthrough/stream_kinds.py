"""Types for the plan of all streams except the video, and what is known about kinds of streams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

from av.container import OutputContainer
from av.stream import AttachmentStream, Disposition, Stream

from vsr.media.audio.latm import LatmConfig
from vsr.media.files.opening import reopen_media
from vsr.media.formats.containers import Container
from vsr.media.remote.reader import check_read

Way = Literal["copy", "convert", "attach"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStream:
    """A stream of the source that is written to the output."""

    index: int
    """Index in the source, counting all streams."""
    kind: str
    """FFmpeg's media type."""
    codec: str
    """FFmpeg's name in the source; empty for data without a codec."""
    way: Way
    to: str = ""
    """The codec to which it is converted."""
    latm: LatmConfig | None = None
    """For AAC in LATM, which is unpacked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedStream:
    """A stream of the source that is left out."""

    index: int
    kind: str
    codec: str
    reason: str
    """A sentence with the reason, and what would keep the stream."""


Fate = Literal["upscaled", "copied", "converted", "attached", "rewritten", "left out"]
"""What becomes of a stream. `rewritten` are chapters and timecodes that are a track of their own in the
source; the muxer writes them anew from the file's header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFate:
    """What becomes of a stream of the source."""

    index: int
    """Index in the source, counting all streams."""
    kind: str
    """FFmpeg's media type: `video`, `audio`, `subtitle`, `attachment` or `data`."""
    codec: str
    """FFmpeg's name in the source; empty for data without a codec."""
    language: str = ""
    """As the source states it; empty if it does not."""
    fate: Fate
    to: str = ""
    """The codec in the output, if it is another one or the stream is upscaled."""
    reason: str = ""
    """Why it is left out, or what it loses: sentences."""

    def __str__(self) -> str:
        """Return it as `stream 1, audio aac: copied`."""
        how = f"converted to {self.to}" if self.fate == "converted" else self.fate
        return f"stream {self.index}, {self.kind} {self.codec}: {how}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """The plan for all streams except the video."""

    kept: tuple[PlannedStream, ...] = ()
    """In the source's order."""
    dropped: tuple[DroppedStream, ...] = ()
    notes: tuple[str, ...] = ()
    """Changes in streams that are kept."""
    audio_bases: tuple[Fraction, ...] = ()
    """Time bases of the times of the audio streams that are kept, and in MP4 of their samples."""
    fates: tuple[StreamFate, ...] = ()
    """What becomes of every stream of the source, the video among them, in the source's order."""

    @property
    def copied(self) -> tuple[PlannedStream, ...]:
        return tuple(stream for stream in self.kept if stream.way != "convert")

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each stream that is left out or changed."""
        return (*(stream.reason for stream in self.dropped), *self.notes)


def is_cover(stream: Stream) -> bool:
    """Return whether a video stream is a cover picture."""
    return bool(stream.disposition & Disposition.attached_pic)


def left_empty(container: Container, streams: StreamPlan, counts: Mapping[int, int]) -> dict[int, str]:
    """Return a warning for each stream that MP4 leaves out because it has no packets, by the stream's index.

    Args:
        container: Of the output.
        streams: The plan.
        counts: Maps an index in the output to the number of packets written, for all streams that are not
            attached, in their order.
    """
    if container.family != "mp4":
        return {}
    planned = (stream for stream in streams.kept if stream.way != "attach")  # the order of `counts`
    return {
        stream.index: f"stream {stream.index} ({stream.kind} {stream.codec}) is left out: it has no packets,"
        f" and {container.name} stores no empty tracks; write to .mkv to keep it"
        for stream, count in zip(planned, counts.values(), strict=True)
        if not count
    }


def without_empty(fates: Iterable[StreamFate], empty: Mapping[int, str]) -> tuple[StreamFate, ...]:
    """Return the fates after some streams turned out to be empty; `empty` is what `left_empty` returns."""
    return tuple(
        replace(one, fate="left out", to="", reason=empty[one.index]) if one.index in empty else one
        for one in fates
    )


def add_attachment(output: OutputContainer, stream: Stream, data: bytes) -> Stream:
    """Attach a file to `output` with the name, type and metadata of `stream`."""
    suffix = codec_name(stream) or "bin"
    name = stream.metadata.get("filename") or f"cover.{_SUFFIXES.get(suffix, suffix)}"
    mimetype = stream.metadata.get("mimetype") or _MIMETYPES.get(suffix, "application/octet-stream")
    made = output.add_attachment(name, mimetype, data)
    made.metadata.update(stream_metadata(stream))
    return made


def attachment_data(source: Path, stream: Stream) -> bytes:
    """Return the content of an attachment or a cover picture."""
    if isinstance(stream, AttachmentStream):
        return stream.data
    with reopen_media(source) as media:
        for packet in media.demux(media.streams[stream.index]):
            if packet.size:
                return bytes(packet)
        check_read(media)
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
"""Tags of a Matroska stream that count its content; the muxer writes a new duration."""


def stream_metadata(stream: Stream, *, encoded: bool = False, cut: bool = False) -> dict[str, str]:
    """Return the metadata of a stream that is still valid in the output.

    Args:
        stream: Of the source.
        encoded: Whether its packets are encoded again, so that counts and the encoder's name are invalid.
        cut: Whether only a part of its packets is copied, so that counts are invalid.
    """
    kept = (key for key in stream.metadata if not _is_stale(key.lower(), encoded=encoded, cut=cut))
    named = "name" if "mov" in stream.container.format.name.split(",") else ""  # FFmpeg's key of the title
    return {"title" if key == named else key: stream.metadata[key] for key in kept}


def title_of(stream: Stream) -> str:
    """Return the title of a track; empty if it has none."""
    return stream_metadata(stream).get("title", "")


def name_track(stream: Stream) -> None:
    """Keep a track's title in MP4 as the handler name, too, which some players show instead."""
    if stream.metadata.get("title"):
        stream.metadata["handler_name"] = stream.metadata["title"]


def _is_stale(key: str, *, encoded: bool, cut: bool) -> bool:
    if key == "duration" or key.startswith("duration-"):
        return True
    counted = key.partition("-")[0] in _STALE or key.startswith("_statistics")
    return (counted and (encoded or cut)) or (encoded and key == "encoder")


def codec_name(stream: Stream) -> str:
    """Return FFmpeg's name of a stream's codec; empty if there is none."""
    context = getattr(stream, "codec_context", None)
    return context.name if context is not None else getattr(stream, "name", None) or ""
