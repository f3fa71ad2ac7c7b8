"""Corrects the times of audio in AVI whose chunks FFmpeg counts by their bytes.

Where the header states no size of a sample, each chunk is one tick (Microsoft's AVI RIFF File Reference,
dwSampleSize). FFmpeg's demuxer counts as many ticks as a chunk has blocks, because some programs put several
frames of MP3 in one. G.722, G.726, Speex and DTS, as FFmpeg itself writes them, then seem up to 1,000 times
as long.
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
    clocks = _clocks(container) if container.format.name == "avi" else {}
    return _corrected(packets, clocks) if clocks else packets


def _corrected(packets: Iterator[Packet[Any]], clocks: dict[int, list[int]]) -> Iterator[Packet[Any]]:
    for packet in packets:
        times = clocks.get(packet.stream_index)
        if times is not None and packet.pts is not None:
            packet.pts = packet.dts = max(0, bisect_right(times, packet.pts) - 1)
        yield packet


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
