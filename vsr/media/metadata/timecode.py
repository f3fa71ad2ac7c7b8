"""SMPTE timecodes (ST 12-1): computes the timecode of the first frame of a trimmed video."""

from __future__ import annotations

import re
from collections.abc import Iterable, MutableMapping
from fractions import Fraction
from math import ceil

_CODE = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.,])(\d{2,3})")
_ROUNDING = Fraction(1, 100)
"""In frames; timestamps are rounded to ticks."""
_DROPPING = Fraction(30000, 1001)
"""Drop-frame timecodes exist only at multiples of this rate."""


def move_codes(
    holders: Iterable[MutableMapping[str, str]], *, start: Fraction, rate: Fraction | None
) -> None:
    """Change the timecodes in metadata, in place, to those of the first frame that is kept.

    Args:
        holders: Metadata of a file and its streams.
        start: Seconds left out at the start of the video.
        rate: Frame rate; without one, timecodes are not changed.
    """
    if rate is None:
        return
    frames = ceil(start * rate - _ROUNDING)
    for metadata in holders:
        for key in [key for key in metadata if key.lower() == "timecode"]:
            metadata[key] = later(metadata[key], frames, rate)


def later(code: str, frames: int, rate: Fraction) -> str:
    """Return the timecode that is `frames` frames after `code`; other text is returned unchanged.

    Drop-frame timecodes, marked by a semicolon, skip two numbers in each minute except every tenth, so that
    at 29.97 frames a second they agree with the clock (four numbers at 59.94).
    """
    found = _CODE.fullmatch(code.strip())
    if found is None:
        return code
    hours, minutes, seconds, mark, frame = found.groups()
    nominal = max(1, round(rate))
    multiple = rate / _DROPPING
    dropped = 2 * round(multiple) if mark != ":" and abs(multiple - round(multiple)) < _ROUNDING else 0
    minute = int(hours) * 60 + int(minutes)
    number = (minute * 60 + int(seconds)) * nominal + int(frame) - dropped * (minute - minute // 10)
    return _written(number + frames, nominal, dropped, mark)


def _written(number: int, nominal: int, dropped: int, mark: str) -> str:
    ten_minutes = 600 * nominal - 9 * dropped
    tens, rest = divmod(number % (144 * ten_minutes), ten_minutes)
    left_out = dropped * max(0, (rest - dropped) // (60 * nominal - dropped)) if dropped else 0
    seconds, frame = divmod(tens * 600 * nominal + rest + left_out, nominal)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{mark}{frame:02d}"
