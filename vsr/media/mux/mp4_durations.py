"""Sets durations of copied packets for MP4 and MOV, which state no times of their own for the last packet.

FFmpeg does not read back a last packet of no duration, and its muxer refuses one of 2^31 ticks and more, such
as the 49 days that FFmpeg itself writes into Matroska for a subtitle whose end it does not know.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any

from av.packet import Packet

from vsr.media.audio.packet_samples import tell_end
from vsr.media.files.pyav import time_base_of
from vsr.media.text.long_texts import MOST_TICKS

_DVD_TICK = Fraction(1024, 90000)
"""Seconds in the unit of a DVD subtitle's delays."""
_NEVER = 0xFFFF
_STOP = 2
"""The command that ends a DVD subtitle."""
_SIZES = {0: 1, 1: 1, 2: 1, 3: 3, 4: 3, 5: 7, 6: 5}
"""Bytes of each command of a DVD subtitle with its arguments."""


def state_duration(packet: Packet[Any], *, told: bool) -> None:
    """Set the duration of a packet that may be the last one of its track.

    Args:
        packet: Of the output, in ticks of its stream.
        told: Whether the source's durations state how much of audio is heard (MP4 and MOV).
    """
    if packet.stream.type == "audio":
        tell_end(packet, told=told)
    if 0 < (packet.duration or 0) <= MOST_TICKS:
        return
    shown = dvd_duration(bytes(packet)) if packet.stream.type == "subtitle" else None
    ticks = int(shown / time_base_of(packet)) if shown is not None else 0
    packet.duration = max(1, min(ticks, MOST_TICKS))


def dvd_duration(data: bytes) -> Fraction | None:
    """Return the seconds for which a DVD subtitle says that it is shown, or None; None as well for other
    subtitles.

    It consists of its size, the offset of its commands, the picture, and sequences of commands, each with a
    delay and the offset of the next one. The last one refers to itself.
    """
    if len(data) < 4 or int.from_bytes(data[:2], "big") != len(data):
        return None
    before, at = -1, int.from_bytes(data[2:4], "big")
    while before < at <= len(data) - 4:
        delay, following = struct.unpack_from(">HH", data, at)
        if _stops(data, at + 4):
            return delay * _DVD_TICK if delay < _NEVER else None
        before, at = at, following
    return None


def _stops(data: bytes, at: int) -> bool:
    while at < len(data) and data[at] in _SIZES:
        if data[at] == _STOP:
            return True
        at += _SIZES[data[at]]
    return False
