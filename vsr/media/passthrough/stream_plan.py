"""What becomes of each stream: copied, converted or left out.

A stream is copied packet for packet where the target's container takes it. Whether it does is not looked up
but tried: a file with its first packets is written in memory, from header to index. What it does not take is
converted where the user loses nothing by it (text subtitles, audio whose samples stay the same), attached
(cover pictures in Matroska), or left out with one warning that names the remedy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from vsr.media.files.opening import reopen_media, shown
from vsr.media.files.pyav import fraction
from vsr.media.files.stdio import is_pipe
from vsr.media.formats.containers import CONTAINERS, Container, container_of
from vsr.media.integrity.programmes import programmes
from vsr.media.passthrough.marks import TrackMarks, lost_marks, read_marks
from vsr.media.passthrough.stream_kinds import (
    DroppedStream,
    PlannedStream,
    StreamPlan,
    Way,
    codec_name,
    is_cover,
)
from vsr.media.text.captions import CAPTION_DECODERS
from vsr.media.text.subtitles import is_text

PICTURE_ONLY = "a pipe carries the video only"
_FRAGILE = frozenset({"tta"})
"""Audio that is always converted: its decoder needs the number of samples, which Matroska does not keep."""
_TRIED = 10
"""Packets of a stream that are muxed in a trial: after a damaged one, FFmpeg cuts a few in wrong places."""
_SEARCHED = 2000
"""Packets of a file that are read at most to find them."""


def plan_streams(source: Path, *, video_index: int, target: Path) -> StreamPlan:
    """Decide for every stream of `source` but the frame.

    Args:
        source: The input.
        video_index: Of the frame that is upscaled, among all streams.
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
        heard = [stream for stream in others if stream.type in ("audio", "data")]
        first = _first_packets(media, heard)
        parts = programmes(source) if media.format.name == "mpegts" else []
        known = _Known(media, film, first, audio_facts(media), read_marks(source, media), parts)
        chosen = [_decide(known, stream, container) for stream in others]
        kept = tuple(plan for plan in chosen if isinstance(plan, PlannedStream))
        notes = tuple(note for plan in kept for note in _notes(known, plan, container))
        bases = [_audio_base(known, plan) for plan in kept if plan.kind == "audio"]
    return StreamPlan(
        kept=kept,
        dropped=tuple(plan for plan in chosen if isinstance(plan, DroppedStream)),
        notes=notes,
        sound_bases=tuple(base for base in bases if base),
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a source while its streams are decided."""

    media: InputContainer
    film: Stream
    """The frame."""
    first: Mapping[int, list[Packet[Any]]]
    """Index of a stream to its first packets."""
    audio: Mapping[int, AudioFacts]
    marks: Mapping[int, TrackMarks]
    programmes: Sequence[frozenset[int]]
    """Numbers (PID) of the streams of each programme of a transport stream."""

    def elsewhere(self, stream: Stream) -> bool:
        """Whether a stream belongs to other programmes only than the frame's."""
        own = [programme for programme in self.programmes if stream.id in programme]
        return bool(own) and not any(self.film.id in programme for programme in own)


def _decide(known: _Known, stream: Stream, container: Container) -> PlannedStream | DroppedStream | None:
    """The plan for one stream; None for what FFmpeg makes anew (the tracks behind chapters and timecode)."""
    kind, media = stream.type, known.media
    if container.family == "mp4" and _is_timecode_of(known.film, stream):
        return None
    if known.elsewhere(stream):
        return _dropped(
            stream, f"it belongs to another programme of the broadcast; {_way_there(known, stream)}"
        )
    if kind == "video" and not is_cover(stream):
        return _dropped(stream, f"a further video stream; upscale it with --video-stream {stream.index}")
    if isinstance(stream, AudioStream) and stream.codec_context and not stream.codec_context.sample_rate:
        return _dropped(stream, "it begins too late in the file to learn what it is; remux the source first")
    kept = _kept(known, stream, container)
    if kept is not None:
        return kept
    if kind == "data" and media.chapters() and "mov" in media.format.name:
        return None
    return _dropped(stream, f"{container.name} cannot hold it; {_remedy(known, stream, container)}")


def _way_there(known: _Known, stream: Stream) -> str:
    """How the programme of a stream is upscaled."""
    pids = {pid for programme in known.programmes if stream.id in programme for pid in programme}
    video = next((other.index for other in known.media.streams.video if other.id in pids), None)
    if video is None:
        return "it has no video"
    return f"upscale that one with --video-stream {video}"


def _kept(known: _Known, stream: Stream, container: Container) -> PlannedStream | None:
    """The plan for a stream that a container takes, as it is or converted without a loss."""
    plan = partial(PlannedStream, index=stream.index, kind=stream.type, codec=codec_name(stream))
    facts, first = known.audio.get(stream.index), known.first.get(stream.index, [])
    if codec_name(stream) == "aac_latm" and facts is not None and container.muxer != "webm":
        config = latm_config(first)
        if config is not None:
            return plan(way="convert", to="aac", latm=config)
    way = _way(stream, container, first, facts) if codec_name(stream) not in _FRAGILE else None
    if way is not None:
        return plan(way=way)
    to: str | None = container.text_subtitles if is_text(stream) else None
    if codec_name(stream) in CAPTION_DECODERS and container.muxer == "matroska":
        to = "ass"  # which keeps where on the screen a caption stands
    if stream.type == "audio":
        to = exact_target(stream, facts, container.muxer)
    return None if to is None else plan(way="convert", to=to)


def _remedy(known: _Known, stream: Stream, container: Container) -> str:
    """What keeps a stream that a container cannot hold: another one that was tried, where there is one."""
    if stream.type == "data":
        return ".mov keeps some of them"
    for suffix in (".mkv", ".mov", ".mp4"):
        other = CONTAINERS[suffix]
        if other is not container and _kept(known, stream, other) is not None:
            return f"write to {suffix} to keep it"
    return "nor can any other that vsr writes"


def _audio_base(known: _Known, plan: PlannedStream) -> Fraction | None:
    """Time base of an audio stream in the output."""
    if plan.way == "convert" and plan.latm is None:
        return Fraction(1, known.audio[plan.index].rate)
    return fraction(known.media.streams[plan.index].time_base)


def _is_timecode_of(film: Stream, stream: Stream) -> bool:
    """Whether FFmpeg's MP4 muxer makes this track from a tag of the frame."""
    code = stream.metadata.get("timecode")
    return stream.type == "data" and code is not None and code == film.metadata.get("timecode")


def _way(
    stream: Stream, container: Container, first: list[Packet[Any]], facts: AudioFacts | None
) -> Way | None:
    """How the container takes a stream as it is, if it does."""
    if stream.type == "attachment":
        return "attach" if container.attachments else None
    if stream.type == "video" and container.covers != "stream":
        return "attach" if container.covers == "attachment" else None
    return "copy" if muxer_takes(stream, container.muxer, first, facts) else None


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


def _dropped(stream: Stream, why: str) -> DroppedStream:
    kind, codec = stream.type, codec_name(stream)
    language = stream.metadata.get("language", "und")
    label = " ".join(
        part for part in (kind, codec, "" if language == "und" else language, _name(stream)) if part
    )
    reason = f"stream {stream.index} ({label}) is left out: {why}"
    return DroppedStream(index=stream.index, kind=kind, codec=codec, reason=reason)


def _name(stream: Stream) -> str:
    name = stream.metadata.get("filename") or stream.metadata.get("title") or ""
    return repr(shown(name)) if name else ""


_LOSSY_WAYS = {
    "ass": "the text stays, positions and fonts do not",
    "ssa": "the text stays, positions and fonts do not",
    "cc_dec": "the text stays, its place on the screen does not",
    "truehd": "its samples stay, Atmos objects, where there are any, do not",
}
"""Codec of which a conversion keeps less than all, and what."""


def _notes(known: _Known, plan: PlannedStream, container: Container) -> list[str]:
    """A sentence for each thing of a kept stream that does not come along."""
    said = []
    label = f"stream {plan.index} ({plan.kind} {plan.codec})"
    if plan.way == "convert" and plan.codec in _LOSSY_WAYS and plan.to != "ass":
        said.append(f"{label} becomes {plan.to}: {_LOSSY_WAYS[plan.codec]}; write to .mkv to keep all of it")
    facts = known.audio.get(plan.index)
    if facts is not None and facts.custom and container.family == "matroska":
        said.append(
            f"{label} has channels of its own order, {facts.layout}, which {container.name} cannot say; "
            "write to .mov to keep it"
        )
    mark = lost_marks(known.marks[plan.index], label, container)
    return said if mark is None else [*said, mark]
