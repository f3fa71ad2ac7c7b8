"""Conversion from the source's clock to the output's."""

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
    """How packets are stamped for a muxer."""

    shift: Fraction = Fraction(0)
    """Seconds added to every time; a whole number of the frame's ticks."""
    tick: int | None = None
    """Nanoseconds in a tick that the Matroska muxer takes for a millisecond; None where a muxer is exact."""
    delays: Mapping[int, int] = field(default_factory=dict)
    """Index of a stream to nanoseconds that the Matroska muxer adds to its times, in its "milliseconds"."""

    def stamp(self, packet: Packet[Any]) -> Packet[Any]:
        """Set the packet's times, in place; its stream is the output's already.

        Raises:
            InputError: a time lies so far off that the output's ticks cannot say it, as damage may have it.
        """
        hours = float((packet.pts or packet.dts or 0) * packet.time_base / 3600)
        try:
            return self._stamp(packet)
        except OverflowError as error:
            raise InputError(
                f"a timestamp of the source lies at {hours:.3g} hours, beyond what the output can hold: the "
                "source is damaged; leave that part out with --start and --end"
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

    def not_before_zero(self, first: Fraction, picture: Fraction) -> Clock:
        """The same clock, later where the first frame would otherwise come before zero.

        Args:
            first: Seconds on the source's clock.
            frame: Time base of the frame.
        """
        more = shift_for(first + self.shift, picture)
        return replace(self, shift=self.shift + more)

    def _ticks(self, time: int | None, base: Fraction, late: int) -> int | None:
        assert self.tick is not None
        return None if time is None else round((time * base + self.shift) * _NS / self.tick) + late

    def _late(self, index: int) -> int:
        """Ticks that the muxer, believing in milliseconds, fails to add for the priming of a stream."""
        assert self.tick is not None
        delay = self.delays.get(index, 0)
        return half_up(Fraction(delay, self.tick)) - half_up(Fraction(delay, MILLISECOND))


def half_up(number: Fraction) -> int:
    """The nearest whole number, as FFmpeg's av_rescale finds it for what is not negative."""
    return int(number + Fraction(1, 2))


def _plus(time: int | None, offset: int) -> int | None:
    return None if time is None else time + offset


def shift_for(earliest: Fraction, picture: Fraction) -> Fraction:
    """Seconds to add so that nothing begins before zero, in whole ticks of the frame's time base.

    Args:
        earliest: When the first thing plays, in seconds.
        frame: Time base of the frame.
    """
    return ceil(-earliest / picture) * picture if earliest < 0 else Fraction(0)


def timescale_for(bases: list[Fraction]) -> int:
    """Ticks per second in which all time bases are whole; for MP4's edit lists. The first counts most."""
    best = bases[0].denominator
    for base in bases[1:]:
        both = lcm(best, base.denominator)
        best = both if both <= _MAX_TIMESCALE else best
    while best < 1000:
        best *= 10
    return best
