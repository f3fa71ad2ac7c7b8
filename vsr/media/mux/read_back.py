"""Reads a finished file again, and counts its packets."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import av

from vsr.errors import OutputError, VsrError
from vsr.media.files.opening import reopen_media


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamCount:
    """The packets of a stream in a file."""

    kind: str
    """FFmpeg's media type."""
    codec: str
    """FFmpeg's name; empty if there is none."""
    packets: int
    """The number of packets with content."""
    bytes: int
    """Size of all packets."""


@dataclass(frozen=True, slots=True)
class Written:
    """The packets that were muxed into a stream."""

    kind: str
    """FFmpeg's media type."""
    packets: int
    bytes: int | None = None
    """Size of all packets; for streams of which a muxer may divide or join packets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recount:
    """A file that was read from its first packet to its last."""

    streams: tuple[StreamCount, ...]
    bytes: int

    def count(self, kind: str) -> int:
        """Return the number of streams of a media type."""
        return sum(stream.kind == kind for stream in self.streams)


def recount(path: Path) -> Recount:
    """Open a file and count the packets of each stream; frames are not decoded.

    Raises:
        InputError: the file cannot be opened.
        OutputError: the file cannot be read to its end.
    """
    packets: Counter[int] = Counter()
    sizes: Counter[int] = Counter()
    with reopen_media(path) as media:
        try:
            for packet in media.demux():
                if packet.size:
                    packets[packet.stream_index] += 1
                    sizes[packet.stream_index] += packet.size
        except av.FFmpegError as error:
            raise OutputError(f"{path}: cannot be read back ({error.strerror})") from error
        streams = tuple(
            StreamCount(
                kind=stream.type,
                codec=_codec(stream),
                packets=packets[stream.index],
                bytes=sizes[stream.index],
            )
            for stream in media.streams
        )
    return Recount(streams=streams, bytes=path.stat().st_size)


def _codec(stream: av.stream.Stream) -> str:
    context = getattr(stream, "codec_context", None)
    return context.name if context is not None else ""


def check_written(path: Path, wanted: list[Written], *, name: str, refused: int = 0) -> Recount:
    """Compare a finished file with what was muxed into it.

    Args:
        path: Path of the file, which still has its temporary name.
        wanted: For each stream, in the order in which they were added. An attached file has no packets. MP4
            leaves out streams without packets, and adds a text track for chapters.
        name: Name of the file in messages.
        refused: The number of packets of any stream except the video that the muxer refused.

    Raises:
        OutputError: something is missing.
    """
    try:
        found = recount(path)
    except VsrError as error:
        raise OutputError(
            f"{name}: the written file cannot be read back ({error}); check the disk"
        ) from error
    if refused:
        _check_sum(found, wanted, refused, name)
        wanted = [written for written in wanted if written.kind == "video"]
    for kind in dict.fromkeys(written.kind for written in wanted):
        streams = _of(kind, found)
        for place, written in enumerate(_put(kind, wanted)):
            lack = _lack(streams[place] if place < len(streams) else None, written)
            if lack is not None:
                raise OutputError(f"{name}: {kind} stream {place} has {lack} were written; check the disk")
    return found


def _of(kind: str, found: Recount) -> list[StreamCount]:
    return [stream for stream in found.streams if stream.kind == kind and stream.packets]


def _put(kind: str, wanted: list[Written]) -> list[Written]:
    return [written for written in wanted if written.kind == kind and written.packets]


def _lack(stream: StreamCount | None, written: Written) -> str | None:
    """Return the difference if a stream does not have what was written, else None.

    Muxers divide and join some packets: MP4's splits PCM and joins the parts of E-AC-3 frames, and Matroska's
    joins the segments of PGS subtitles. Their bytes stay the same. QuickTime text may have more packets,
    because the muxer fills the gaps between lines with empty ones.
    """
    if stream is None:
        return f"0 packets where {written.packets}"
    if stream.codec.startswith("pcm_") and written.bytes is not None:
        same = stream.bytes == written.bytes
        return None if same else f"{stream.bytes} bytes where {written.bytes}"
    more = stream.codec == "mov_text" and stream.packets > written.packets
    same = stream.packets == written.packets or more or stream.bytes == written.bytes
    return None if same else f"{stream.packets} packets where {written.packets}"


def _check_sum(found: Recount, wanted: list[Written], refused: int, name: str) -> None:
    """Check the sum of packets of all streams except the video: it is unknown which streams the refused
    packets belong to.
    """
    kinds = {written.kind for written in wanted} - {"video"}
    pairs = [pair for kind in kinds for pair in zip(_of(kind, found), _put(kind, wanted), strict=False)]
    there = sum(put.packets if got.bytes == put.bytes else got.packets for got, put in pairs)
    number = sum(written.packets for written in wanted if written.kind in kinds) - refused
    if there < number:
        raise OutputError(
            f"{name}: audio and subtitles have {there} packets where {number} were written; check the disk"
        )
