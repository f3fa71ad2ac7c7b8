"""Computes how many samples of an audio packet are heard: those that it contains, without those to discard.

In MP4 and MOV the duration of a track's last packet states this. FFmpeg 9's demuxer discards the rest, as
players do (Apple's QuickTime File Format, appendix G). Other containers state a duration that is rounded to
a millisecond, or is shorter although all samples are heard.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from math import ceil
from typing import Any

from av import AudioStream
from av.packet import Packet

from vsr.media.files.pyav import time_base_of

_SKIP = struct.Struct("<II")
"""AV_PKT_DATA_SKIP_SAMPLES begins with the samples to discard at the start and at the end."""
_BLOCK = 256
"""Samples in a block of AC-3 and Enhanced AC-3."""
_BLOCKS = (1, 2, 3, 6)
_DTS_CORE = b"\x7f\xfe\x80\x01"
_OPUS_FRAMES = {0: (480, 960, 1920, 2880), 12: (480, 960, 480, 960), 16: (120, 240, 480, 960)}
"""Maps the first configuration of Opus with a coding mode to the samples in a frame, at 48 kHz."""


def tell_end(packet: Packet[Any], *, told: bool) -> None:
    """Set the duration of a packet of audio for MP4 or MOV to what is heard of it, as it may be the last one.

    Args:
        packet: In ticks of its stream in the output.
        told: Whether the source's durations tell so, too (MP4 and MOV); then shorter ones stay.
    """
    heard = heard_samples(packet)
    if heard is None or not isinstance(packet.stream, AudioStream):
        return
    ticks = ceil(heard / (packet.stream.codec_context.sample_rate * time_base_of(packet)))
    if discarded_at_end(packet) or (not told and (packet.duration or 0) < ticks):
        packet.duration = max(1, ticks)


def heard_samples(packet: Packet[Any]) -> int | None:
    """Return the samples in each channel that are heard of a packet of audio, except what is discarded at its
    start; None if its codec is not known here.

    Args:
        packet: Its stream has a sampling rate and FFmpeg's name of the codec.
    """
    whole = samples_in(packet)
    return None if whole is None else max(0, whole - discarded_at_end(packet))


def discarded_at_end(packet: Packet[Any]) -> int:
    """Return the samples at the end of a packet that its container has discarded."""
    if not packet.has_sidedata("skip_samples"):
        return 0
    return int(_SKIP.unpack_from(bytes(packet.get_sidedata("skip_samples")))[1])


def samples_in(packet: Packet[Any]) -> int | None:
    """Return the samples in each channel of a packet whose codec has frames of a fixed length, or of Opus;
    else None.
    """
    context = packet.stream.codec_context if isinstance(packet.stream, AudioStream) else None
    if context is None or packet.size < 6:
        return None
    name = context.codec.canonical_name
    if name in _FIXED:
        return context.frame_size or None
    return _COUNTED[name](bytes(packet)) if name in _COUNTED else None


def _eac3(data: bytes) -> int:
    """ETSI TS 102 366, E.1.2.2: fscod and numblkscod follow the frame size."""
    code = data[4] >> 4
    return _BLOCK * (6 if code >> 2 == 3 else _BLOCKS[code & 3])


def _dts(data: bytes) -> int | None:
    """ETSI TS 102 114, 5.3.1: NBLKS follows the type of the frame, its deficit and the CRC's flag."""
    if not data.startswith(_DTS_CORE):
        return None
    return (((data[4] & 1) << 6 | data[5] >> 2) + 1) * 32


def _opus(data: bytes) -> int | None:
    """RFC 6716, 3.1: the first byte states the length of a frame and how many there are."""
    config, frames = data[0] >> 3, (1, 2, 2, data[1] & 63)[data[0] & 3]
    first = max(start for start in _OPUS_FRAMES if start <= config)
    return _OPUS_FRAMES[first][config & 3] * frames


_FIXED = frozenset({"aac", "mp1", "mp2", "mp3"})
"""Codecs whose frames FFmpeg counts when it opens a file."""
_COUNTED: dict[str, Callable[[bytes], int | None]] = {
    "ac3": lambda _: 6 * _BLOCK,
    "eac3": _eac3,
    "dts": _dts,
    "opus": _opus,
}
