"""What a file says about itself and its picture: titles, chapters, dispositions; copied before the header."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.container import OutputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from vsr.frame import VideoInfo
from vsr.media.containers import Container
from vsr.media.opening import open_media
from vsr.media.streams import stream_metadata

if TYPE_CHECKING:  # PyAV has it in its stubs only
    from av.container.core import Chapter

_MUXERS_OWN = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "duration"})
"""Keys that describe the old file, not the film; the muxer writes its own."""


def copy_header(
    source: Path,
    output: OutputContainer,
    picture: VideoStream,
    info: VideoInfo,
    *,
    container: Container,
    shift: Fraction,
    start: Fraction | None,
    end: Fraction | None,
) -> list[str]:
    """Give `output` the metadata and chapters of `source`, and `picture` those of its picture.

    Args:
        source: The input.
        output: Not yet started.
        picture: Its video stream.
        info: Of the source's picture.
        container: What `output` is.
        shift: Seconds added to every time.
        start: Seconds on the source's clock; chapters that ended before are left out.
        end: Seconds on the source's clock; chapters that begin later are left out.

    Returns:
        A sentence for metadata that the container has no place for.
    """
    with open_media(source) as media:
        stream = media.streams[info.stream_index]
        picture.metadata.update(stream_metadata(stream, encoded=True))
        picture.disposition = stream.disposition & ~Disposition.attached_pic
        tags = {key: value for key, value in media.metadata.items() if key.lower() not in _MUXERS_OWN}
        chapters = [_moved(chapter, shift, start, end) for chapter in media.chapters()]
    output.metadata.update(tags)
    output.set_chapters([chapter for chapter in chapters if chapter is not None])
    lost = _lost(container, tags)
    if not lost:
        return []
    return [f"{container.name} has no place for the metadata {', '.join(lost)}; write to .mkv to keep them"]


_NS = Fraction(1, 10**9)


def _moved(chapter: Chapter, shift: Fraction, start: Fraction | None, end: Fraction | None) -> Chapter | None:
    """The chapter on the output's clock, cut to the range; None where it lies outside."""
    base = chapter["time_base"]
    if base is None or (not shift and start is None and end is None):
        return chapter
    first, last = chapter["start"] * base, chapter["end"] * base
    first = first if start is None else max(first, start)
    last = last if end is None else min(last, end)
    if first >= last:
        return None
    moved = chapter.copy()
    moved["start"], moved["end"] = round((first + shift) / _NS), round((last + shift) / _NS)
    moved["time_base"] = _NS
    return moved


def _lost(container: Container, tags: Mapping[str, str]) -> list[str]:
    """Keys of file metadata that do not come back from a file of one packet, made in memory."""
    if container.family == "matroska" or not tags:
        return []
    buffer = io.BytesIO()
    output = av.open(buffer, "w", format=container.muxer)
    try:
        stream = output.add_mux_stream("mjpeg", width=16, height=16, time_base=Fraction(1, 25))
        output.metadata.update(tags)
        packet = av.Packet(b"\xff\xd8\xff\xd9")
        packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, Fraction(1, 25)
        output.mux_one(packet)
        output.close()
        buffer.seek(0)
        with av.open(buffer, "r", metadata_errors="replace") as back:
            # A creation time of zero is the format's word for "unknown".
            return sorted(set(tags) - set(back.metadata) - {"creation_time"})
    except av.FFmpegError:
        return []
    finally:
        with suppress(av.FFmpegError):
            output.close()
