"""What a result lacks of what its source carried: for any two files, whoever made the second."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

from av import VideoFrame
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.codeccontext import VideoCodecContext

from vsr.color.spec import Matrix
from vsr.frame import VideoInfo
from vsr.media.decoder import READ_ERRORS, choose_stream, decoder_of, leave_out_others, read_packets
from vsr.media.frame_times import FrameTimes
from vsr.media.opening import MAX_PIXELS, reopen_media
from vsr.media.parts import nominal_step
from vsr.media.probe import probe
from vsr.media.timeline import Timeline

_TAGS = ("title", "artist", "comment", "language")
"""Of a file or stream: those that every container has a place for."""
_SHORT = Fraction(1, 1000)
"""Seconds by which times may differ: what Matroska can say, at its usual millisecond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """A stream beside the picture."""

    kind: str
    codec: str
    language: str
    packets: int
    digest: str
    """Of all packets' bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a file carries."""

    info: VideoInfo
    times: tuple[Fraction, ...]
    """Of every picture that decodes, in seconds from the first."""
    broken: int
    """Packets that did not decode."""
    tracks: tuple[Track, ...]
    attachments: tuple[str, ...]
    chapters: tuple[str, ...]
    """Their titles."""
    tags: dict[str, str]


def read_contents(path: Path, *, max_pixels: int = MAX_PIXELS) -> Contents:
    """Decode every picture of a file, and read everything else.

    Raises:
        InputError: it cannot be opened, or holds no picture.
    """
    info = probe(path, max_pixels=max_pixels)
    times, broken = _picture_times(path, info, max_pixels)
    with reopen_media(path) as media:
        tracks = _tracks(media, info.stream_index)
        chapters = tuple(_title(chapter["metadata"]) for chapter in media.chapters())
        attached = tuple(sorted(s.metadata.get("filename", "") for s in media.streams if _is_attached(s)))
        tags = {k.lower(): v for k, v in media.metadata.items() if k.lower() in _TAGS}
    return Contents(
        info=info,
        times=times,
        broken=broken,
        tracks=tracks,
        attachments=attached,
        chapters=chapters,
        tags=tags,
    )


def _picture_times(path: Path, info: VideoInfo, max_pixels: int) -> tuple[tuple[Fraction, ...], int]:
    """Times in display order, so that a frame that is shown at another's time is seen."""
    errors: list[Exception] = []
    with reopen_media(path) as media:
        stream = choose_stream(media, str(path), index=info.stream_index)
        leave_out_others(media, stream)
        decoder = decoder_of(stream, max_pixels=max_pixels)
        chosen, timeline = FrameTimes(), Timeline(time_base=info.time_base, step=nominal_step(stream))
        frames = _frames(media, stream.index, decoder, chosen, errors)
        stamps = [timeline.stamp(*timed) for timed in chosen.timed(frames, lambda: decoder.has_b_frames)]
    times = [stamp.seconds for stamp in stamps]
    return tuple(time - times[0] for time in times), len(errors)


def _frames(
    media: InputContainer,
    index: int,
    decoder: VideoCodecContext,
    chosen: FrameTimes,
    errors: list[Exception],
) -> Iterator[VideoFrame]:
    for packet in chain(_of(read_packets(media, errors.append), index), [None]):
        try:
            if packet is not None:
                chosen.packet(packet.pts)
            yield from decoder.decode(packet)
        except READ_ERRORS as error:
            errors.append(error)


def _of(packets: Iterable[Packet[Any]], index: int) -> Iterable[Packet[Any]]:
    return (packet for packet in packets if packet.stream_index == index)


def _tracks(media: InputContainer, picture: int) -> tuple[Track, ...]:
    others = [s for s in media.streams if s.index != picture and s.type in ("audio", "subtitle", "video")]
    others = [s for s in others if not s.disposition & Disposition.attached_pic]
    counts = {s.index: 0 for s in others}
    digests = {s.index: hashlib.sha256() for s in others}
    for packet in read_packets(media, lambda _: None):
        if packet.stream_index in counts:
            counts[packet.stream_index] += 1
            digests[packet.stream_index].update(bytes(packet))
    return tuple(
        Track(
            kind=s.type,
            codec=s.codec_context.name if s.codec_context is not None else "",
            language=s.metadata.get("language", "und"),
            packets=counts[s.index],
            digest=digests[s.index].hexdigest(),
        )
        for s in others
    )


def _is_attached(stream: Stream) -> bool:
    return stream.type == "attachment" or bool(stream.disposition & Disposition.attached_pic)


def _title(metadata: Mapping[str, str]) -> str:
    return metadata.get("title", "")


def lost(source: Path, result: Path, *, max_pixels: int = MAX_PIXELS) -> list[str]:
    """What `result` lacks of what `source` carried, a sentence each; empty where nothing is lost.

    Pictures are counted by decoding both files whole; times are compared from the first picture on, to the
    millisecond that Matroska has.

    Raises:
        InputError: one of them cannot be opened, holds no picture, or pictures of more than `max_pixels`.
    """
    before, after = (read_contents(path, max_pixels=max_pixels) for path in (source, result))
    return [line for check in _CHECKS for line in check(before, after)]


def _pictures(before: Contents, after: Contents) -> Iterable[str]:
    if len(before.times) != len(after.times):
        yield f"pictures: {len(after.times)} of {len(before.times)}"
    elif late := [
        i for i, (a, b) in enumerate(zip(before.times, after.times, strict=True)) if abs(a - b) > _SHORT
    ]:
        yield f"timestamps: {len(late)} pictures have another, from picture {late[0]} on"
    if after.broken:
        yield f"damage: {after.broken} packets of the result do not decode"


def _picture_tags(before: Contents, after: Contents) -> Iterable[str]:
    old, new = before.info, after.info
    if new.layout.bit_depth < old.layout.bit_depth:
        yield f"depth: {new.layout.bit_depth} bits of {old.layout.bit_depth}"
    if old.layout.family == new.layout.family == "yuv" and new.layout.chroma_shift > old.layout.chroma_shift:
        yield f"chroma: {new.pixel_format} of {old.pixel_format}"
    for name in ("primaries", "transfer", "matrix", "range"):
        was, now = getattr(old.tagged, name), getattr(new.tagged, name)
        if was.name != "UNSPECIFIED" and now is not was and new.tagged.matrix is not Matrix.RGB:
            yield f"colour: {name} {now.name.lower()}, not {was.name.lower()}"
    for name in ("mastering_display", "content_light"):
        if getattr(old, name) is not None and getattr(new, name) != getattr(old, name):
            yield f"colour: {name.replace('_', ' ')} is missing or another"


def _shape(before: Contents, after: Contents) -> Iterable[str]:
    old, new = before.info, after.info
    shapes = [Fraction(info.width, info.height) * (info.sample_aspect_ratio or 1) for info in (old, new)]
    if new.rotation % 180 != old.rotation % 180:
        shapes[1] = 1 / shapes[1]
    grain = Fraction(1, min(old.width, old.height))  # a size is rounded to whole, or even, pixels
    if abs(shapes[1] / shapes[0] - 1) > 2 * grain:
        yield f"shape: {float(shapes[1]):.3f} wide for 1 high, not {float(shapes[0]):.3f}"


def _other_streams(before: Contents, after: Contents) -> Iterable[str]:
    for kind in ("audio", "subtitle", "video"):
        old, new = ([t for t in c.tracks if t.kind == kind] for c in (before, after))
        if len(new) < len(old):
            yield f"{kind}: {len(new)} streams of {len(old)}"
        for number, (a, b) in enumerate(zip(old, new, strict=False)):
            name = f"{kind} {number}"
            if a.language != b.language and a.language != "und":
                yield f"{name}: language {b.language}, not {a.language}"
            if b.packets < a.packets:
                yield f"{name}: {b.packets} packets of {a.packets}"
            elif a.codec == b.codec and kind != "subtitle" and a.digest != b.digest:
                yield f"{name}: other packets than the source's"


def _rest(before: Contents, after: Contents) -> Iterable[str]:
    if len(after.attachments) < len(before.attachments):
        yield f"attached files: {len(after.attachments)} of {len(before.attachments)}"
    if after.chapters != before.chapters:
        yield f"chapters: {', '.join(after.chapters) or 'none'}, not {', '.join(before.chapters)}"
    for key, value in before.tags.items():
        if after.tags.get(key) != value:
            yield f"metadata: {key} is {after.tags.get(key, 'missing')!r}, not {value!r}"


_CHECKS: tuple[Callable[[Contents, Contents], Iterable[str]], ...] = (
    _pictures,
    _picture_tags,
    _shape,
    _other_streams,
    _rest,
)
