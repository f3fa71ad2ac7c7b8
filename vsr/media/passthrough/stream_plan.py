"""Decides for each stream whether it is copied, converted or left out.

A stream is copied packet by packet if the output's container supports it. This is tested: a file with the
stream's first packets is written in memory, from header to index. A stream that is not supported is converted
if that loses nothing (text subtitles, audio whose samples stay the same), attached (cover pictures in
Matroska), or left out with a warning that names an alternative.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from av import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from vsr.media.audio.audio_facts import AudioFacts, audio_facts
from vsr.media.audio.copies import muxer_takes
from vsr.media.audio.exact_audio import exact_target
from vsr.media.audio.latm import latm_config
from vsr.media.decoders.decoder import read_packets
from vsr.media.files.ffmpeg_log import described_codec, described_tag
from vsr.media.files.opening import reopen_media, shown
from vsr.media.files.pyav import fraction
from vsr.media.files.stdio import is_pipe
from vsr.media.formats.containers import CONTAINERS, Container, container_of
from vsr.media.integrity.programmes import programmes
from vsr.media.passthrough.marks import WEBVTT, TrackMarks, lost_marks, read_marks
from vsr.media.passthrough.stream_kinds import (
    DroppedStream,
    Fate,
    PlannedStream,
    StreamFate,
    StreamPlan,
    Way,
    codec_name,
    is_cover,
    title_of,
)
from vsr.media.text.captions import CAPTION_DECODERS
from vsr.media.text.subtitles import is_text

VIDEO_ONLY = "a pipe carries the video only"
_FRAGILE = frozenset({"tta"})
"""Audio codecs that are always converted: the decoder needs the number of samples, which Matroska does not
store."""
_CHAPTER_TAGS = frozenset({"text", "tx3g", "sbtl"})
"""QuickTime's names of the texts that a track of chapters consists of."""
_TRIED = 10
"""The number of packets of a stream that are muxed as a test. After a damaged one, FFmpeg splits a few
wrongly."""
_SEARCHED = 2000
"""The largest number of packets of a file that are read to find them."""


def plan_streams(source: Path, *, video_index: int, target: Path) -> StreamPlan:
    """Plan every stream of `source` except the video.

    Args:
        source: Path of the input.
        video_index: Index of the upscaled video among all streams.
        target: Path of the output; its suffix names the container.

    Raises:
        InputError: the source cannot be opened.
        ConfigError: the suffix is unknown.
    """
    container = container_of(target)
    with reopen_media(source) as media:
        video = media.streams[video_index]
        others = [stream for stream in media.streams if stream.index != video_index]
        if is_pipe(source):
            return only_video(media.streams, video_index)
        tried = [stream for stream in others if stream.type in ("audio", "data")]
        first = _first_packets(media, tried)
        parts = programmes(source) if media.format.name == "mpegts" else []
        known = _Known(media, video, first, audio_facts(media), read_marks(source, media), parts)
        chosen = [_decide(known, stream, container) for stream in others]
        kept = tuple(plan for plan in chosen if isinstance(plan, PlannedStream))
        notes = {plan.index: _notes(known, plan, container) for plan in kept}
        plans = dict(zip((stream.index for stream in others), chosen, strict=True))
        fates = [fate_of(stream, plans.get(stream.index), notes, video_index) for stream in media.streams]
        audio = [plan for plan in kept if plan.kind == "audio"]
        bases = [base for plan in audio for base in _audio_bases(known, plan, container)]
    return StreamPlan(
        kept=kept,
        dropped=tuple(plan for plan in chosen if isinstance(plan, DroppedStream)),
        notes=tuple(note for found in notes.values() for note in found),
        audio_bases=tuple(bases),
        fates=tuple(fates),
    )


def only_video(streams: Iterable[Stream], video_index: int) -> StreamPlan:
    """Return the plan for a pipe, which carries nothing but the video."""
    plans = {s.index: _dropped(s, VIDEO_ONLY) for s in streams if s.index != video_index}
    fates = [fate_of(stream, plans.get(stream.index), {}, video_index) for stream in streams]
    return StreamPlan(dropped=tuple(plans.values()), fates=tuple(fates))


@dataclass(frozen=True, slots=True)
class _Known:
    """Facts of a source that are needed to plan its streams."""

    media: InputContainer
    video: Stream
    first: Mapping[int, list[Packet[Any]]]
    """Maps the index of a stream to its first packets."""
    audio: Mapping[int, AudioFacts]
    marks: Mapping[int, TrackMarks]
    programmes: Sequence[frozenset[int]]
    """The PIDs of the streams in each programme of a transport stream."""

    def in_other_programme(self, stream: Stream) -> bool:
        """Return whether a stream belongs only to programmes other than the video's."""
        own = [programme for programme in self.programmes if stream.id in programme]
        return bool(own) and not any(self.video.id in programme for programme in own)


def _decide(known: _Known, stream: Stream, container: Container) -> PlannedStream | DroppedStream | None:
    """Return the plan for a stream; None for tracks that FFmpeg writes itself (for chapters and timecode)."""
    kind, media = stream.type, known.media
    if _is_timecode_of(known.video, stream):
        return None
    if known.in_other_programme(stream):
        return _dropped(
            stream, f"it belongs to another programme of the broadcast; {_programme_remedy(known, stream)}"
        )
    if kind == "video" and not is_cover(stream):
        return _dropped(stream, f"a further video stream; upscale it with `video_stream={stream.index}`")
    if isinstance(stream, AudioStream) and stream.codec_context and not stream.codec_context.sample_rate:
        return _dropped(stream, "it begins too late in the file to be identified; remux the source first")
    kept = _kept(known, stream, container)
    if kept is not None:
        return kept
    tag = described_tag(media, stream.index)
    if kind == "data" and media.chapters() and tag in _CHAPTER_TAGS:
        return None
    if kind == "data" and not codec_name(stream) and tag:
        return _dropped(stream, "FFmpeg does not know it, so that vsr cannot copy it; keep the source")
    return _dropped(stream, f"{container.name} does not support it; {_remedy(known, stream, container)}")


def _programme_remedy(known: _Known, stream: Stream) -> str:
    """Return how to upscale the programme of a stream."""
    pids = {pid for programme in known.programmes if stream.id in programme for pid in programme}
    video = next((other.index for other in known.media.streams.video if other.id in pids), None)
    if video is None:
        return "it has no video"
    return f"upscale that one with `video_stream={video}`"


def _kept(known: _Known, stream: Stream, container: Container) -> PlannedStream | None:
    """Return the plan for a stream that a container supports, copied or converted without loss; else None."""
    plan = partial(PlannedStream, index=stream.index, kind=stream.type, codec=codec_name(stream))
    facts, first = known.audio.get(stream.index), known.first.get(stream.index, [])
    if codec_name(stream) == "aac_latm" and facts is not None and container.muxer != "webm":
        config = latm_config(first)
        if config is not None:
            return plan(way="convert", to="aac", latm=config)
    if known.marks[stream.index].codec:
        return _kept_unknown(known.marks[stream.index].codec, stream, container)
    way = _way(stream, container, first, facts) if codec_name(stream) not in _FRAGILE else None
    if way is not None:
        return plan(way=way)
    to: str | None = container.text_subtitles if is_text(stream) else None
    if codec_name(stream) in CAPTION_DECODERS and container.muxer == "matroska":
        to = "ass"  # ASS keeps the position of captions on the screen
    if stream.type == "audio":
        to = exact_target(stream, facts, container.muxer)
    return None if to is None else plan(way="convert", to=to)


def _kept_unknown(codec: str, stream: Stream, container: Container) -> PlannedStream | None:
    """Return the plan for Matroska's subtitles of a codec that FFmpeg does not know."""
    if container.muxer == "matroska":
        return PlannedStream(index=stream.index, kind=stream.type, codec=codec, way="copy")
    if codec != WEBVTT:
        return None
    text = container.text_subtitles
    return PlannedStream(index=stream.index, kind=stream.type, codec="webvtt", way="convert", to=text)


def _remedy(known: _Known, stream: Stream, container: Container) -> str:
    """Return what would keep a stream that a container does not support: another container that supports it,
    if any.
    """
    for suffix in (".mkv", ".mov", ".mp4"):
        other = CONTAINERS[suffix]
        if other is not container and _kept(known, stream, other) is not None:
            return f"write to {suffix} to keep it"
    return "no other container that vsr writes supports it"


def _audio_bases(known: _Known, plan: PlannedStream, container: Container) -> Iterator[Fraction]:
    """Yield the time bases of an audio stream in the output: of its times, and in MP4 of its samples.

    MP4's edit list states the end of a track. In the milliseconds of Matroska it would hide the last samples.
    """
    facts = known.audio.get(plan.index)
    times = fraction(known.media.streams[plan.index].time_base)
    converted = plan.way == "convert" and plan.latm is None
    if times and not converted:
        yield times
    if facts and facts.rate and (converted or container.family == "mp4"):
        yield Fraction(1, facts.rate)


def _is_timecode_of(video: Stream, stream: Stream) -> bool:
    """Return whether this track is a timecode that is a tag of the video, too; MP4's muxer makes it again."""
    code = stream.metadata.get("timecode")
    return stream.type == "data" and code is not None and code == video.metadata.get("timecode")


def _way(
    stream: Stream, container: Container, first: list[Packet[Any]], facts: AudioFacts | None
) -> Way | None:
    """Return how the container stores a stream without conversion, or None."""
    if stream.type == "attachment":
        return "attach" if container.attachments else None
    if stream.type == "video" and container.covers != "stream":
        return "attach" if container.covers == "attachment" else None
    return "copy" if muxer_takes(stream, container.muxer, first, facts) else None


def _first_packets(media: InputContainer, streams: list[Stream]) -> dict[int, list[Packet[Any]]]:
    """Return the first few packets of each stream, if they are near the start of the file."""
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


def _dropped(stream: Stream, why: str) -> DroppedStream:
    kind, media, index = stream.type, stream.container, stream.index
    codec = codec_name(stream) or described_codec(media, index) or described_tag(media, index)
    language = stream.metadata.get("language", "und")
    label = " ".join(
        part for part in (kind, codec, "" if language == "und" else language, _name(stream)) if part
    )
    reason = f"stream {stream.index} ({label}) is left out: {why}"
    return DroppedStream(index=stream.index, kind=kind, codec=codec, reason=reason)


def _name(stream: Stream) -> str:
    name = stream.metadata.get("filename") or title_of(stream)
    return repr(shown(name)) if name else ""


_FATES: Mapping[Way, Fate] = {"copy": "copied", "convert": "converted", "attach": "attached"}


def fate_of(
    stream: Stream,
    plan: PlannedStream | DroppedStream | None,
    notes: Mapping[int, Sequence[str]],
    video_index: int,
) -> StreamFate:
    """Return what becomes of a stream.

    Args:
        stream: Of the source.
        plan: The plan for it; None for the video, and for a track that the muxer writes itself.
        notes: Sentences about what kept streams lose, by index.
        video_index: Index of the video that is upscaled.
    """
    language = stream.metadata.get("language", "")
    about = partial(StreamFate, index=stream.index, kind=stream.type, language=shown(language))
    if isinstance(plan, PlannedStream):
        reason = "; ".join(notes.get(stream.index, ()))
        return about(codec=plan.codec, fate=_FATES[plan.way], to=plan.to, reason=reason)
    if plan is not None:
        return about(codec=plan.codec, fate="left out", reason=plan.reason)
    fate: Fate = "upscaled" if stream.index == video_index else "rewritten"
    return about(codec=codec_name(stream), fate=fate)


_LOSSY_WAYS = {
    "ass": "the text stays, but not positions, drawings and fonts",
    "ssa": "the text stays, but not positions, drawings and fonts",
    "webvtt": "the text stays, positions and styles, where there are any, do not",
    "cc_dec": "the text stays, but not its position on the screen",
    "truehd": "its samples stay, but not Atmos objects, if there are any",
}
"""Maps a codec whose conversion loses something to a description of the loss."""


def _notes(known: _Known, plan: PlannedStream, container: Container) -> list[str]:
    """Return a sentence for each property of a kept stream that is lost."""
    said = []
    label = f"stream {plan.index} ({plan.kind} {plan.codec})"
    if plan.way == "convert" and plan.codec in _LOSSY_WAYS and plan.to != "ass":
        said.append(f"{label} becomes {plan.to}: {_LOSSY_WAYS[plan.codec]}; write to .mkv to keep all of it")
    facts = known.audio.get(plan.index)
    if facts is not None and facts.custom and container.family == "matroska":
        said.append(
            f"{label} has channels in a custom order, {facts.layout}, which {container.name} cannot store; "
            "write to .mov to keep it"
        )
    mark = lost_marks(known.marks[plan.index], label, container)
    return said if mark is None else [*said, mark]
