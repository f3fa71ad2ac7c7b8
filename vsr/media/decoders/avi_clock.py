"""Corrects the times of audio in AVI whose chunks FFmpeg counts by their bytes.

Where the header states no size of a sample, each chunk is one tick (Microsoft's AVI RIFF File Reference,
dwSampleSize). FFmpeg's demuxer counts as many ticks as a chunk has blocks, because some programs put several
frames of MP3 in one. G.722, G.726, Speex and DTS, as FFmpeg itself writes them, then seem up to 1,000 times
as long. Packets of Vorbis differ in length: their own durations add up to what the header states, and their
bytes do not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from av import AudioStream
from av.container import InputContainer
from av.packet import Packet


def by_chunks(container: InputContainer, packets: Iterator[Packet[Any]]) -> Iterator[Packet[Any]]:
    """Return the packets of a file; audio in AVI gets the time of its chunk.

    Args:
        container: The file that the packets are from.
        packets: Of all streams, in file order.
    """
    if container.format.name != "avi":
        return packets
    clocks, summed = _clocks(container), _summed(container)
    packets = _corrected(packets, clocks) if clocks else packets
    return _added_up(packets, summed) if summed else packets


def must_read_from_start(container: InputContainer) -> bool:
    """Return whether times are known only after all earlier packets were read."""
    return container.format.name == "avi" and bool(_summed(container))


def _corrected(packets: Iterator[Packet[Any]], clocks: dict[int, list[int]]) -> Iterator[Packet[Any]]:
    for packet in packets:
        times = clocks.get(packet.stream_index)
        if times is not None and packet.pts is not None:
            packet.pts = packet.dts = max(0, bisect_right(times, packet.pts) - 1)
        yield packet


def _added_up(packets: Iterator[Packet[Any]], summed: set[int]) -> Iterator[Packet[Any]]:
    ends: dict[int, int] = {}
    for packet in packets:
        if packet.stream_index in summed and packet.pts is not None:
            packet.pts = packet.dts = ends.get(packet.stream_index, packet.pts)
            ends[packet.stream_index] = packet.pts + (packet.duration or 0)
        yield packet


def _summed(container: InputContainer) -> set[int]:
    """Return the streams of Vorbis for which FFmpeg counts more ticks than the header states."""
    return {
        stream.index
        for stream in container.streams.audio
        if stream.codec_context is not None
        and stream.codec_context.codec.canonical_name == "vorbis"
        and stream.duration
        and len(stream.index_entries)
        and stream.index_entries[-1].timestamp >= stream.duration
    }


def _clocks(container: InputContainer) -> dict[int, list[int]]:
    """Map the index of each stream with wrong times to FFmpeg's time of each chunk.

    The header must count as many ticks as the file's index has chunks, but FFmpeg more. It states a duration
    only where samples have no size.
    """
    found = {}
    for stream in container.streams:
        if isinstance(stream, AudioStream) and stream.duration:
            times = [entry.timestamp for entry in stream.index_entries]
            if len(times) == stream.duration and times[-1] >= len(times):
                found[stream.index] = times
    return found
