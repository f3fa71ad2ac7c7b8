"""How many frames a run will make, as far as the headers of its source tell. Torch is not imported here."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from vsr.frame import VideoInfo
from vsr.settings.schema import UpscaleSettings


def frames_expected(info: VideoInfo, settings: UpscaleSettings) -> int | None:
    """Return the expected number of frames, from the container, `start` and `end`; None if unknown."""
    promised = info.frames_promised
    if promised is None and info.duration_seconds is not None and info.frame_rate is not None:
        promised = round(info.duration_seconds * info.frame_rate)
    if promised is None or (settings.start is None and settings.end is None):
        return promised
    if not info.duration_seconds:
        return None
    rate = promised / info.duration_seconds
    first = max(settings.start or Fraction(0), Fraction(0))
    last = info.duration_seconds if settings.end is None else min(settings.end, info.duration_seconds)
    return max(0, ceil(last * rate) - ceil(first * rate))  # a frame at the end is not part of the range
