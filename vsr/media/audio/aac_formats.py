"""Copies AAC whose number of channels or sampling rate changes within the stream, as in broadcasts and live
streams.

Plain AAC does not state its format: the container does, once for each format. In transport streams each
packet has an ADTS header with the format (ISO/IEC 13818-7, 6.2). FLV and MP4 announce a new format in their
own way, which FFmpeg passes on as side data. MP4 and MOV support several formats in a track (ISO/IEC
14496-12, 8.5.2), and FFmpeg's muxer writes them. Matroska supports only one.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from av.bitstream import BitStreamFilterContext
from av.packet import Packet
from av.stream import Stream

_RUN = 3
"""The number of consecutive packets of a new format from which on it is not a damaged header."""
_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


class AacFormats:
    """Copies the packets of an AAC stream, and prepares its changes of format for the output."""

    def __init__(self, source: Stream, stream: Stream, *, several: bool) -> None:
        """Start before the first packet.

        Args:
            source: The stream in the source.
            stream: Its copy in the output.
            several: Whether the output's container supports several formats in a track.
        """
        self.stream = stream
        self._source, self._several = source, several
        self._filter: BitStreamFilterContext | None = None
        self._first = self._current = b""
        self._changed: tuple[Fraction, str] | None = None
        self._run: list[int | None] = []
        self.broken = 0
        """The number of packets that were left out."""

    def convert(self, packet: Packet[Any]) -> list[Packet[Any]]:
        """Return the packet as the muxer needs it."""
        head = bytes(memoryview(packet)[:4])
        if len(head) == 4 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
            return self._with_header(packet, bytes([head[2] & 0xFD, head[3] & 0xC0]))
        if self._filter is not None:  # the length of a packet without its header is unknown
            return self._leave_out()
        if self._several or not packet.has_sidedata("new_extradata"):
            return [packet]
        self._note(packet.pts, packet.time_base, "")
        return [_without_format(packet)]

    def until(self, seconds: object) -> list[Packet[Any]]:
        """Return nothing: no packet is held back."""
        return []

    def flush(self) -> list[Packet[Any]]:
        """Return nothing: no packet is held back."""
        return []

    def _leave_out(self) -> list[Packet[Any]]:
        self.broken += 1
        return []

    def damage_note(self, index: int) -> str | None:
        """Return a sentence if packets of the source's stream `index` were left out, else None."""
        said = f"{self.broken} packets of audio stream {index} are damaged and left out"
        return said if self.broken else None

    def note(self, index: int) -> str | None:
        """Return a sentence if packets may not play in the output, else None."""
        if self._changed is None or self._several:
            return None
        seconds, words = self._changed
        return (
            f"audio stream {index} changes its format at {float(seconds):.3f} s{words}, but Matroska has "
            "only one format in a track, so later audio may not play; write to .mp4 to keep it"
        )

    def _with_header(self, packet: Packet[Any], kind: bytes) -> list[Packet[Any]]:
        self._first = self._first or kind
        self._run = [*self._run[-_RUN:], packet.pts] if kind != self._first else []
        if len(self._run) == _RUN:
            self._note(self._run[0], packet.time_base, _words(kind))
        if not self._several:
            return [packet]
        if self._filter is None or kind != self._current:
            # A new filter announces the format of its first packet to the muxer.
            self._filter, self._current = BitStreamFilterContext("aac_adtstoasc", self._source), kind
        tick = packet.time_base  # the filter empties the packet
        try:
            found = self._filter.filter(packet)
        except av.FFmpegError:
            return self._leave_out()
        for made in found:
            made.time_base = tick
        return found

    def _note(self, pts: int | None, tick: Fraction, words: str) -> None:
        if self._changed is None:
            self._changed = (pts or 0) * tick, words


def _words(kind: bytes) -> str:
    """Return the sampling rate and channels in an ADTS header, in words."""
    rate, channels = kind[0] >> 2 & 15, (kind[0] & 1) << 2 | kind[1] >> 6
    if rate >= len(_RATES) or not channels:
        return ""
    return f" (to {channels} channels at {_RATES[rate]} Hz)"


def _without_format(packet: Packet[Any]) -> Packet[Any]:
    """Return the packet without the new format, with which FFmpeg's Matroska muxer (8.1) would overwrite the
    header.
    """
    made: Packet[Any] = Packet(bytes(packet))
    made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
    made.time_base, made.stream, made.is_keyframe = packet.time_base, packet.stream, packet.is_keyframe
    for data in packet.iter_sidedata():
        if data.data_type != "new_extradata":
            made.set_sidedata(data)
    return made
