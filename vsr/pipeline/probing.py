"""What a video file contains, and what a container for the result would lose of it; torch is not imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.container import InputContainer
from av.stream import Disposition

from vsr.color.spec import ColorSpec
from vsr.errors import ConfigError
from vsr.frame import VideoInfo
from vsr.media.audio.audio_facts import AudioFacts, audio_facts
from vsr.media.decode.facts.probe import probe as probe_video
from vsr.media.encode.encoder_choice import codec_of, losses_of
from vsr.media.files.opening import MAX_PIXELS, open_media
from vsr.media.files.stdio import is_pipe, place_of
from vsr.media.formats.containers import container_of
from vsr.media.metadata.messages import loss_note
from vsr.media.passthrough.stream_kinds import StreamFate, codec_name, title_of
from vsr.media.passthrough.stream_plan import plan_streams
from vsr.settings.schema import EncoderSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """Facts of one stream of a file, as its headers state them."""

    index: int
    kind: str
    """`video`, `audio`, `subtitle`, `attachment` or `data`."""
    codec: str
    """FFmpeg's name; empty for data without a codec."""
    language: str | None
    title: str | None
    disposition: tuple[str, ...] = ()
    """FFmpeg's names of the flags that are set, such as `default` and `forced`."""
    sample_rate: int | None = None
    """Of audio, in Hz."""
    channels: str | None = None
    """Of audio: FFmpeg's name of the layout, such as `5.1(side)`."""
    width: int | None = None
    """Of video, in pixels."""
    height: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """A chapter of a file."""

    start_seconds: Fraction
    end_seconds: Fraction
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What a file contains, and what of it a result would lose."""

    path: str
    format: str
    """FFmpeg's name of the demuxer, such as `matroska,webm`."""
    video: VideoInfo
    """The video stream that would be upscaled."""
    streams: tuple[StreamInfo, ...]
    """All streams, the video among them, in the order of the file."""
    chapters: tuple[Chapter, ...]
    metadata: Mapping[str, str]
    """Of the file as a whole."""
    into: str
    """The suffix of the container that `fates` and `lost` are about."""
    fates: tuple[StreamFate, ...]
    """What would become of each stream."""
    lost: tuple[str, ...]
    """A sentence for each thing that a result in that container would lose; empty if nothing."""

    @property
    def width(self) -> int:
        """Width of the video in pixels, as stored."""
        return self.video.width

    @property
    def height(self) -> int:
        """Height of the video in pixels, as stored."""
        return self.video.height

    @property
    def frame_rate(self) -> Fraction | None:
        """Frames per second as a label; None if the file does not state it."""
        return self.video.frame_rate

    @property
    def duration_seconds(self) -> Fraction | None:
        """Duration of the video; None if the file does not state it."""
        return self.video.duration_seconds

    @property
    def color(self) -> ColorSpec:
        """Colour tags, with guesses where the file has none; `video.tagged` has those of the file."""
        return self.video.color


def probe(
    path: Path | str,
    *,
    into: str = ".mkv",
    encoder: str | None = None,
    video_stream: int | None = None,
    max_pixels: int | None = None,
) -> Probe:
    """Read what a video file contains, from its headers and its first frame, in a fraction of a second.

    Args:
        path: A video file.
        into: The suffix of a result, `.mkv`, `.mp4`, `.mov`, `.m4v` or `.webm`: `lost` says what a run with
            the default settings and this container would lose.
        encoder: Of that run; None is the default one.
        video_stream: Index of the video among all streams; None takes FFmpeg's choice.
        max_pixels: Larger frames are refused; None is 8192 x 8192.

    Raises:
        InputError: the file cannot be opened, or contains no video.
        ConfigError: the suffix is unknown, the encoder does not fit, or the path is a pipe.

    >>> found = vsr.probe("in.mp4", into=".mp4")
    >>> found.width, found.height, [stream.kind for stream in found.streams], found.lost
    (64, 48, ['video'], ())
    """
    place, target = place_of(path), Path(f"result{into}")
    if is_pipe(place):
        raise ConfigError("a pipe can be read only once, by the run itself; probe a file")
    container, limit = container_of(target), max_pixels or MAX_PIXELS
    video = probe_video(place, video_stream=video_stream, max_pixels=limit)
    settings = EncoderSettings(encoder=encoder)
    codec, notes = losses_of(
        settings, video, width=2 * video.width, height=2 * video.height, container=container
    )
    plan = plan_streams(place, video_index=video.stream_index, target=target)
    marks = loss_note(video.side_data, codec=codec_of(codec), dolby_vision=video.dolby_vision)
    with open_media(place, max_pixels=limit) as media:
        return Probe(
            path=video.path,
            format=media.format.name,
            video=video,
            streams=streams_of(media),
            chapters=tuple(_chapter(chapter) for chapter in media.chapters()),
            metadata=dict(media.metadata),
            into=into,
            fates=plan.fates,
            lost=(*notes, *marks, *plan.warnings),
        )


def streams_of(media: InputContainer) -> tuple[StreamInfo, ...]:
    """Return the facts of all streams of an open file."""
    audio = audio_facts(media)
    return tuple(_stream(stream, audio.get(stream.index)) for stream in media.streams)


def _stream(stream: Any, facts: AudioFacts | None) -> StreamInfo:
    context = getattr(stream, "codec_context", None) if stream.type == "video" else None
    return StreamInfo(
        index=stream.index,
        kind=stream.type,
        codec=_codec(stream),
        language=stream.language,
        title=title_of(stream) or None,
        disposition=tuple(str(flag.name) for flag in Disposition if flag in stream.disposition),
        sample_rate=None if facts is None else facts.rate,
        channels=None if facts is None else facts.layout,
        width=None if context is None else context.width,
        height=None if context is None else context.height,
        metadata=dict(stream.metadata),
    )


def _codec(stream: Any) -> str:
    """Return the name of the codec, where FFmpeg's decoder has another one (`libdav1d` decodes `av1`)."""
    codec = getattr(getattr(stream, "codec_context", None), "codec", None)
    return codec_name(stream) if codec is None else str(codec.canonical_name)


def _chapter(chapter: Any) -> Chapter:
    ticks = Fraction(chapter["time_base"] or 0)
    return Chapter(
        start_seconds=chapter["start"] * ticks,
        end_seconds=chapter["end"] * ticks,
        title=chapter["metadata"].get("title", ""),
    )
