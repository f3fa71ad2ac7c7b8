"""The clock of an output: by how much its times differ from the source's."""

from __future__ import annotations

from fractions import Fraction

from vsr.frame import VideoInfo
from vsr.media.formats.containers import Container
from vsr.media.formats.timestamps import Clock, half_up, shift_for
from vsr.media.passthrough.copier import StreamCopier


def start_clock(
    info: VideoInfo, copier: StreamCopier, container: Container, *, tick: int | None, begin: Fraction | None
) -> Clock:
    """The shift that starts a clip or a recording at zero, and lets nothing begin before zero."""
    base = info.time_base
    delays = copier.delays
    clip = -whole_ticks(info.clock_start, base) if begin is None else -begin
    picture = (info.start_seconds or Fraction(0)) if begin is None else begin
    unit = tick or 1
    hidden = {index: Fraction(half_up(Fraction(ns, unit)) * unit, 10**9) for index, ns in delays.items()}
    early = copier.earliest(hidden, cuts=container.family == "mp4")
    first = picture if early is None else min(picture, early + Fraction(unit, 2 * 10**9))
    return Clock(shift=clip + shift_for(first + clip, base), tick=tick, delays=delays)


def whole_ticks(seconds: Fraction, base: Fraction) -> Fraction:
    """The last tick of the frame at or before `seconds`."""
    return seconds // base * base
