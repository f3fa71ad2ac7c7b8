"""Applies the edit lists of MP4 and QuickTime to audio and text, so that hidden packets stay hidden.

FFmpeg returns the packets of a track edit by edit, and marks those that no edit shows. In the output only an
edit at the start is possible, so the marked packets are left out. Those before the first shown packet are
kept as far as the output can hide them again: an encoder's priming, and the packets that a decoder needs to
start.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Collection
from fractions import Fraction
from pathlib import Path
from typing import Any

from av import AudioStream
from av.packet import Packet
from av.stream import Stream

from vsr.media.decoders.decoder import read_packets
from vsr.media.files.opening import reopen_media

PRIMING = Fraction(1, 8)
"""In seconds; audio that is hidden at the start for longer is not an encoder's priming. HE-AAC has 0.12 s."""
RUN_UP = {"mp3": 2, "opus": 4}
"""The number of packets that a decoder needs before the first audible one (bit reservoir, 80 ms of
convergence)."""
_USUAL_RUN_UP = 1
"""For codecs with overlapping transforms."""
_MOST = 2000
"""The largest number of hidden packets that is kept: 45 seconds of AAC. Key frames of video are closer
together."""
_SEARCHED = 20_000
"""The largest number of packets of a file that are read to find the first shown one of each track."""
_SILENCE = {"pcm_u8": b"\x80", "pcm_alaw": b"\xd5", "pcm_mulaw": b"\xff"}
"""The bytes of silence in PCM; the other PCM codecs of QuickTime use zeros."""
_SKIP = struct.Struct("<I")
"""AV_PKT_DATA_SKIP_SAMPLES begins with the number of samples to skip at the start."""


class Edits:
    """Returns the packets of one track that are shown, and those of the hidden ones that must be kept."""

    def __init__(self, stream: Stream, *, hides: bool) -> None:
        """Start before the first packet.

        Args:
            stream: The track in the source.
            hides: Whether the output can hide any number of packets at its start (MP4). Otherwise only
                priming and the packets that a decoder needs are kept.
        """
        context = stream.codec_context if isinstance(stream, AudioStream) else None
        codec = context.name if context is not None else ""  # without a decoder, there is no context
        self._pcm = codec.startswith("pcm_")
        self._keeps = isinstance(stream, AudioStream) and not self._pcm
        self._run_up = _MOST if hides else RUN_UP.get(codec, _USUAL_RUN_UP)
        self._rate = context.sample_rate if context is not None else 0
        self._hidden: deque[Packet[Any]] = deque(maxlen=_MOST)
        self._silence = _SILENCE.get(codec, b"\0")
        self._held: Packet[Any] | None = None
        self._begun = self._jumped = False
        self.begin: int | None = None
        """The start of the shown part in the track's ticks; often inside a packet."""

    def push(self, packet: Packet[Any]) -> list[Packet[Any]]:
        """Take the next packet in file order, and return those that are kept."""
        if self.begin is None and packet.has_sidedata("skip_samples"):
            self.begin = _begin(packet) + self._skipped(packet)
        if packet.is_discard:
            self._jumped = True
            if not self._begun:
                self._hidden.append(packet)
            return []
        if self._begun:
            return self._cut(packet) if self._pcm else [packet]
        self._begun = True
        self.begin = _begin(packet) if self.begin is None else self.begin
        if self._pcm:
            self._held = _without_start(packet, self.begin - _begin(packet))
            return []
        return [*self._kept(), packet]

    def flush(self) -> list[Packet[Any]]:
        """Return the last packet, if it is still held."""
        held, self._held = self._held, None
        return [] if held is None else [held]

    def _skipped(self, packet: Packet[Any]) -> int:
        (samples,) = _SKIP.unpack_from(bytes(packet.get_sidedata("skip_samples")))
        return round(Fraction(samples, self._rate) / packet.time_base) if self._rate else 0

    def _kept(self) -> list[Packet[Any]]:
        hidden = list(self._hidden) if self._keeps else []
        self._hidden.clear()
        if hidden and (_begin(hidden[0]) - (self.begin or 0)) * hidden[0].time_base >= -PRIMING:
            return hidden
        return hidden[-self._run_up :]

    def _cut(self, packet: Packet[Any]) -> list[Packet[Any]]:
        """Return the previous packet, trimmed or extended to the start of this one if an edit lies between
        them.

        FFmpeg lets edits begin with whole packets. So up to one packet may be too much or missing, and MP4
        would show all later packets too late or too early.
        """
        ready, self._held = self._held, packet
        jumped, self._jumped = self._jumped, False
        if ready is None:
            return []
        samples, length = _begin(packet) - _begin(ready), ready.duration or 0
        if not jumped or samples == length or samples >= 2 * length:
            return [ready]
        return [_part(ready, 0, samples, self._silence)] if samples > 0 else []


def priming_of(source: Path, indices: Collection[int]) -> dict[int, Fraction]:
    """Return how much of each track a container that can only hide priming (Matroska) must hide at its start.

    Args:
        source: Path of the input; only MP4 and QuickTime hide anything.
        indices: Indices of streams.

    Returns:
        Maps an index to seconds, for tracks with more than zero.
    """
    found: dict[int, Fraction] = {}
    with reopen_media(source) as media:
        if "mp4" not in media.format.name:
            return {}
        audio = [s for s in media.streams.audio if s.index in indices]
        waiting = {stream.index: Edits(stream, hides=False) for stream in audio}
        for number, packet in enumerate(read_packets(media, lambda _: None)):
            edits = waiting.get(packet.stream_index)
            if edits is not None and (kept := edits.push(packet)):
                del waiting[packet.stream_index]
                ticks = (edits.begin or 0) - _begin(kept[0])
                found[packet.stream_index] = ticks * Fraction(packet.time_base)
            if not waiting or number >= _SEARCHED:
                break
    return {index: seconds for index, seconds in found.items() if seconds > 0}


def hidden_start(packet: Packet[Any]) -> Fraction:
    """Return the seconds at the start of an audio packet that its container hides, including a tick lost in
    rounding.
    """
    context = packet.stream.codec_context if isinstance(packet.stream, AudioStream) else None
    if context is None or not context.sample_rate or not packet.has_sidedata("skip_samples"):
        return Fraction(0)
    (samples,) = _SKIP.unpack_from(bytes(packet.get_sidedata("skip_samples")))
    begin, hidden = Fraction(_begin(packet) * packet.time_base), Fraction(samples, context.sample_rate)
    rounded = -packet.time_base < begin + hidden < 0
    return -begin if rounded else hidden


def _begin(packet: Packet[Any]) -> int:
    return packet.pts or 0


def _without_start(packet: Packet[Any], ticks: int) -> Packet[Any]:
    duration = packet.duration or 0
    return _part(packet, ticks, duration) if 0 < ticks < duration else packet


def _part(packet: Packet[Any], start: int, stop: int, silence: bytes = b"") -> Packet[Any]:
    """Return a packet of PCM from one tick to another; its bytes are spread evenly over its duration."""
    tick = packet.size // (packet.duration or 1)
    data = bytes(packet)[start * tick : stop * tick]
    cut: Packet[Any] = Packet(data + silence * ((stop - start) * tick - len(data)))
    cut.pts = cut.dts = _begin(packet) + start
    cut.duration, cut.time_base, cut.stream = stop - start, packet.time_base, packet.stream
    return cut
