"""Converts times from the source's clock to the output's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil, lcm
from typing import Any

from av.packet import Packet

from vsr.errors import InputError
from vsr.media.files.pyav import time_base_of
from vsr.media.formats.matroska import MILLISECOND

_NS = 10**9
_MAX_TIMESCALE = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The conversion of packets' times for a muxer."""

    shift: Fraction = Fraction(0)
    """Seconds added to every time; a whole number of ticks of the video."""
    tick: int | None = None
    """Nanoseconds in a tick that the Matroska muxer treats as a millisecond; None for muxers with exact
    times."""
    delays: Mapping[int, int] = field(default_factory=dict)
    """Maps the index of a stream to the nanoseconds that the Matroska muxer adds to its times, in its
    "milliseconds"."""

    def stamp(self, packet: Packet[Any]) -> Packet[Any]:
        """Convert the packet's times in place. Its stream must already be the output's.

        Raises:
            InputError: a time is too far off for the output's ticks, which happens in damaged sources.
        """
        hours = float((packet.pts or packet.dts or 0) * packet.time_base / 3600)
        try:
            return self._stamp(packet)
        except OverflowError as error:
            raise InputError(
                f"a timestamp of the source is at {hours:.3g} hours, beyond what the output can store: the "
                "source is damaged; leave that part out with `start` and `end`"
            ) from error

    def _stamp(self, packet: Packet[Any]) -> Packet[Any]:
        base = time_base_of(packet)
        if self.tick is None:
            offset = round(self.shift / base)
            packet.pts, packet.dts = _plus(packet.pts, offset), _plus(packet.dts, offset)
            return packet
        late = self._late(packet.stream_index)
        duration = packet.duration or 0
        packet.pts, packet.dts = self._ticks(packet.pts, base, late), self._ticks(packet.dts, base, late)
        packet.duration = round(duration * base * _NS / self.tick)
        packet.time_base = Fraction(1, 1000)
        return packet

    def not_before_zero(self, first: Fraction, video: Fraction) -> Clock:
        """Return this clock, or a later one if the first frame would otherwise come before zero.

        Args:
            first: Time of the first frame in seconds on the source's clock.
            video: Time base of the video.
        """
        more = shift_for(first + self.shift, video)
        return replace(self, shift=self.shift + more)

    def _ticks(self, time: int | None, base: Fraction, late: int) -> int | None:
        assert self.tick is not None
        return None if time is None else round((time * base + self.shift) * _NS / self.tick) + late

    def _late(self, index: int) -> int:
        """Return the ticks that the muxer, which assumes milliseconds, fails to add for the priming of a
        stream.
        """
        assert self.tick is not None
        delay = self.delays.get(index, 0)
        return half_up(Fraction(delay, self.tick)) - half_up(Fraction(delay, MILLISECOND))


def half_up(number: Fraction) -> int:
    """Return the nearest whole number of a value that is not negative, rounded like FFmpeg's av_rescale."""
    return int(number + Fraction(1, 2))


def _plus(time: int | None, offset: int) -> int | None:
    return None if time is None else time + offset


def shift_for(earliest: Fraction, video: Fraction) -> Fraction:
    """Return the seconds to add so that nothing begins before zero, in whole ticks of the video's time base.

    Args:
        earliest: The earliest time in the output, in seconds.
        video: Time base of the video.
    """
    return ceil(-earliest / video) * video if earliest < 0 else Fraction(0)


def timescale_for(bases: list[Fraction]) -> int:
    """Return the ticks per second that represent all time bases exactly, for MP4's edit lists.

    If no such number fits into 31 bits, later time bases are ignored first.
    """
    best = bases[0].denominator
    for base in bases[1:]:
        both = lcm(best, base.denominator)
        best = both if both <= _MAX_TIMESCALE else best
    while best < 1000:
        best *= 10
    return best
