"""Computes the clock of an output: the difference between its times and the source's."""

from __future__ import annotations

from fractions import Fraction

from vsr.frame import VideoInfo
from vsr.media.formats.containers import Container
from vsr.media.formats.timestamps import Clock, half_up, shift_for
from vsr.media.passthrough.copier import StreamCopier


def start_clock(
    info: VideoInfo, copier: StreamCopier, container: Container, *, tick: int | None, begin: Fraction | None
) -> Clock:
    """Return the clock that starts a clip or a recording at zero, and lets nothing begin before zero.

    Args:
        info: Of the source's video.
        copier: Of the other streams, whose first packets are known.
        container: Of the output.
        tick: Nanoseconds in a tick of Matroska; None for other containers.
        begin: Start of the clip in seconds on the source's clock; None for the whole video.
    """
    base = info.time_base
    delays = copier.delays
    clip = -whole_ticks(info.clock_start, base) if begin is None else -begin
    video = (info.start_seconds or Fraction(0)) if begin is None else begin
    unit = tick or 1
    hidden = {index: Fraction(half_up(Fraction(ns, unit)) * unit, 10**9) for index, ns in delays.items()}
    early = copier.earliest(hidden, cuts=container.family == "mp4")
    first = video if early is None else min(video, early + Fraction(unit, 2 * 10**9))
    return Clock(shift=clip + shift_for(first + clip, base), tick=tick, delays=delays)


def whole_ticks(seconds: Fraction, base: Fraction) -> Fraction:
    """Return the last tick of the video at or before `seconds`."""
    return seconds // base * base
