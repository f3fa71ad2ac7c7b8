"""What a finished file really holds, found by reading it, not by trusting who wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av

from vsr.errors import OutputError, VsrError
from vsr.media.opening import reopen_media


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamCount:
    """A stream of a file."""

    kind: str
    """FFmpeg's media type."""
    codec: str
    """FFmpeg's name; empty where there is none."""
    packets: int
    """With content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recount:
    """A file, read from its first packet to its last."""

    streams: tuple[StreamCount, ...]
    bytes: int

    def count(self, kind: str) -> int:
        """Streams of a media type."""
        return sum(stream.kind == kind for stream in self.streams)


def recount(path: Path) -> Recount:
    """Open a file and count the packets of each stream; pictures are not decoded.

    Raises:
        InputError: it cannot be opened.
        OutputError: it cannot be read to its end.
    """
    packets: dict[int, int] = {}
    with reopen_media(path) as media:
        try:
            for packet in media.demux():
                if packet.size:
                    packets[packet.stream_index] = packets.get(packet.stream_index, 0) + 1
        except av.FFmpegError as error:
            raise OutputError(f"{path}: cannot be read back ({error.strerror})") from error
        streams = tuple(
            StreamCount(kind=stream.type, codec=_codec(stream), packets=packets.get(stream.index, 0))
            for stream in media.streams
        )
    return Recount(streams=streams, bytes=path.stat().st_size)


def _codec(stream: av.stream.Stream) -> str:
    context = getattr(stream, "codec_context", None)
    return context.name if context is not None else ""


def check_written(path: Path, wanted: list[tuple[str, int]], *, name: str, refused: int = 0) -> Recount:
    """Compare a finished file with what was put into it.

    Args:
        path: Of the file, still under its temporary name.
        wanted: Kind and number of packets of each stream, in the order in which they were added; an attached
            file has none. MP4 leaves out streams without packets, and adds a text track for chapters.
        name: Of the file for messages.
        refused: Packets, of any stream but the picture's, that the muxer would not take.

    Raises:
        OutputError: something is missing.
    """
    try:
        found = recount(path)
    except VsrError as error:
        raise OutputError(
            f"{name}: what was written cannot be read back ({error}); check the disk"
        ) from error
    if refused:
        _check_sum(found, wanted, refused, name)
        wanted = [(kind, number) for kind, number in wanted if kind == "video"]
    for kind in dict.fromkeys(kind for kind, _ in wanted):
        numbers = [number for other, number in wanted if other == kind and number]
        streams = [stream for stream in found.streams if stream.kind == kind and stream.packets]
        for place, number in enumerate(numbers):
            if place >= len(streams) or not _complete(streams[place], number):
                there = streams[place].packets if place < len(streams) else 0
                raise OutputError(
                    f"{name}: {kind} stream {place} holds {there} packets where {number} were written; "
                    "check the disk"
                )
    return found


def _check_sum(found: Recount, wanted: list[tuple[str, int]], refused: int, name: str) -> None:
    """Which streams the refused packets are of is not known: all others together lack those and no more."""
    kinds = {kind for kind, _ in wanted} - {"video"}
    there = sum(stream.packets for stream in found.streams if stream.kind in kinds)
    number = sum(number for kind, number in wanted if kind in kinds) - refused
    if there < number:
        raise OutputError(
            f"{name}: sound and subtitles hold {there} packets where {number} were written; check the disk"
        )


def _complete(stream: StreamCount, number: int) -> bool:
    """QuickTime text may hold more: the muxer fills the gaps between lines with empty packets."""
    return stream.packets == number or (stream.codec == "mov_text" and stream.packets > number)
