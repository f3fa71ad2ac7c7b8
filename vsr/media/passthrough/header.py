"""Copies metadata, chapters and track tags to the output's header."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
from av.container import InputContainer, OutputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from vsr.frame import VideoInfo
from vsr.media.files.opening import reopen_media
from vsr.media.files.pyav import TEXT, fraction
from vsr.media.formats.containers import Container
from vsr.media.formats.matroska_track import NOT_IN_WEBM, can_project, stereo_mode
from vsr.media.formats.mp4_track import can_mark
from vsr.media.metadata.timecode import move_codes
from vsr.media.passthrough.extras import keep_extras, note_on_links
from vsr.media.passthrough.marks import Pending, apply_marks, lost_marks, read_marks
from vsr.media.passthrough.metadata_keys import keys_box, keys_for, spelt, usual_places
from vsr.media.passthrough.stream_kinds import StreamPlan, name_track, stream_metadata

if TYPE_CHECKING:  # PyAV has it in its stubs only
    from av.container.core import Chapter

_MUXERS_OWN = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "software", "duration"}
)
"""Keys that describe the old file and not its content; the muxer writes its own values."""
_MP4_TRACK_TAGS = frozenset(
    {"language", "title", "handler_name", "vendor_id", "creation_time", "timecode", "filename", "mimetype"}
    | {"rotate", "encoder", "bps", "number_of_frames", "number_of_bytes", "_statistics_writing_app"}
    | {"_statistics_tags", "_statistics_writing_date_utc", "alpha_mode", "stereo_mode"}
)
"""Keys of a stream that MP4 keeps, or that do not describe the content."""


def copy_header(
    source: Path,
    output: OutputContainer,
    video: VideoStream,
    info: VideoInfo,
    *,
    container: Container,
    streams: StreamPlan,
    shift: Fraction,
    start: Fraction | None,
    end: Fraction | None,
    skipped: Fraction | None,
    pending: list[Pending],
) -> list[str]:
    """Copy the metadata and chapters of `source` to `output`, and those of its video stream to `video`.

    Args:
        source: Path of the input.
        output: Not started yet.
        video: Video stream of the output.
        info: Of the source's video.
        container: Container of `output`.
        streams: The other streams that are kept.
        shift: Seconds added to every time.
        start: In seconds on the source's clock; chapters that ended before are left out.
        end: In seconds on the source's clock; chapters that begin later are left out.
        skipped: Seconds left out at the start of the video, as the user gave them: timecodes are counted from
            them, because `start` is rounded to a tick, which may last as long as a frame.
        pending: Gets the marks of the video that must be written into the finished file.

    Returns:
        A sentence for each kind of metadata that the container does not support.
    """
    with reopen_media(source) as media:
        stream = media.streams[info.stream_index]
        tags, kept = _tags_of(media, stream)
        # Matroska's muxer uses this tag for its own field, but only the encoder knows whether there is alpha.
        video.metadata.update({key: value for key, value in kept.items() if key.lower() != "alpha_mode"})
        if container.family == "mp4":
            name_track(video)
        notes = _mark_views(video, info, container)
        others = [media.streams[planned.index] for planned in streams.kept]
        own = [kept, *(stream_metadata(other, encoded=True) for other in others)]
        lost = _lost(container, tags)
        keys = keys_for(container, tags, lost)
        lost = {key for key in lost if spelt(key) not in keys} | _lost_of_streams(container, own)
        marks = read_marks(source, media)[stream.index]
        own_marks = replace(marks, flags=marks.flags & ~Disposition.attached_pic)
        box = keys_box(keys, quicktime=container.muxer == "mov")
        mark = apply_marks(video, own_marks, container, box=box)
        pending += [] if mark is None else [mark]
        lost_note = lost_marks(own_marks, "the video", container)
        notes += [] if lost_note is None else [lost_note]
        moved = (_moved(chapter, shift, start, end) for chapter in media.chapters())
        chapters = [chapter for chapter in moved if chapter is not None]
        clock = (shift, start, end)
        more, lost_chapters = keep_extras(source, media, output, chapters, container, clock=clock)
        pending += [] if more is None else [more]
        notes += lost_chapters or _note_on_ends(chapters, container)
        notes += note_on_links(source, media, container)
    output.metadata.update(tags | usual_places(container, tags))
    output.set_chapters(chapters)
    if skipped is not None:
        holders = [output.metadata, *(made.metadata for made in output.streams)]
        move_codes(holders, start=skipped, rate=info.frame_rate)
    if lost:
        names = ", ".join(sorted(lost))
        notes.append(f"{container.name} does not support the metadata {names}; write to .mkv to keep them")
    return notes


def _mark_views(video: VideoStream, info: VideoInfo, container: Container) -> list[str]:
    """Tag the arrangement of two views for Matroska's muxer; return sentences for what the container does not
    support.
    """
    notes = []
    tagged = video.metadata.pop("stereo_mode", None) or stereo_mode(info.stereo)
    if container.family == "mp4":
        taken = tagged is None or (info.stereo is not None and can_mark(info.stereo))
    else:
        taken = tagged is None or container.muxer != "webm" or tagged not in NOT_IN_WEBM
        video.metadata.update({"stereo_mode": tagged} if tagged and taken else {})
    if not taken:
        words = f"the arrangement of two views ({str(tagged).replace('_', ' ')})"
        notes.append(f"{container.name} does not support {words}; write to .mkv to keep it")
    if info.spherical is not None and not can_project(info.spherical):
        notes.append("the output lacks the mark of 360 degree video: no container supports its projection")
    return notes


def _note_on_ends(chapters: list[Chapter], container: Container) -> list[str]:
    """Return a sentence if the container changes where chapters end: in MP4 each lasts until the next."""
    times = sorted(
        (chapter["start"] * base, chapter["end"] * base) for chapter, base in _with_bases(chapters)
    )
    apart = any(abs(begin - end) > _ROUNDED for (_, end), (begin, _) in pairwise(times))
    if container.family != "mp4" or not apart:
        return []
    return [
        f"chapters of {container.name} last until the next one, so some end at another time; write to .mkv "
        "to keep their ends"
    ]


def _with_bases(chapters: list[Chapter]) -> Iterator[tuple[Chapter, Fraction]]:
    for chapter in chapters:
        base = fraction(chapter["time_base"])
        if base is not None:
            yield chapter, base


_ROUNDED = Fraction(1, 100)
"""Seconds by which the end of a chapter may differ from the start of the next one."""
_NS = Fraction(1, 10**9)


def _moved(chapter: Chapter, shift: Fraction, start: Fraction | None, end: Fraction | None) -> Chapter | None:
    """Return the chapter on the output's clock, trimmed to the range; None if it is outside."""
    base = fraction(chapter["time_base"])
    if base is None or (not shift and start is None and end is None):
        return chapter
    first, last = chapter["start"] * base, chapter["end"] * base
    first = first if start is None else max(first, start)
    last = last if end is None else min(last, end)
    if first >= last:
        return None
    moved = chapter.copy()
    moved["start"], moved["end"] = round((first + shift) / _NS), round((last + shift) / _NS)
    moved["time_base"] = cast(Any, _NS)  # PyAV 19 accepts fractions, too, but its types do not
    return moved


def _tags_of(media: InputContainer, video: Stream) -> tuple[dict[str, str], dict[str, str]]:
    """Return the metadata of the file, and those of its video stream. In Ogg those of the stream are the
    file's.
    """
    tags, kept = dict(media.metadata), stream_metadata(video, encoded=True)
    if media.format.name == "ogg":
        tags |= {key: value for key, value in kept.items() if key.lower() not in _MP4_TRACK_TAGS - {"title"}}
        kept = {key: value for key, value in kept.items() if key not in tags}
    return {key: value for key, value in tags.items() if key.lower() not in _MUXERS_OWN}, kept


def _lost_of_streams(container: Container, streams: list[dict[str, str]]) -> set[str]:
    """Return the keys of streams' metadata that MP4 does not support."""
    if container.family == "matroska":
        return set()
    keys = {key for metadata in streams for key in metadata}
    return {key for key in keys if key.lower().partition("-")[0] not in _MP4_TRACK_TAGS}


def _lost(container: Container, tags: Mapping[str, str]) -> set[str]:
    """Return the keys of file metadata that are missing after writing and reading a small file in memory."""
    if container.family == "matroska" or not tags:
        return set()
    buffer = io.BytesIO()
    output = av.open(buffer, "w", format=container.muxer, **TEXT)
    try:
        stream = output.add_mux_stream("mjpeg", width=16, height=16, time_base=Fraction(1, 25))
        output.metadata.update(tags)
        packet = av.Packet(b"\xff\xd8\xff\xd9")
        packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, Fraction(1, 25)
        output.mux_one(packet)
        output.close()
        buffer.seek(0)
        with av.open(buffer, "r", **TEXT) as back:
            # A creation time of zero means "unknown" in this format; a timecode becomes a track.
            found = {key.lower() for key in back.metadata} | {"creation_time", "timecode"}
            return {key for key in tags if key.lower() not in found}
    except av.FFmpegError:
        return set()
    finally:
        with suppress(av.FFmpegError):
            output.close()
