"""Reads when the video of an MP4 or MOV file ends by its edit list (ISO/IEC 14496-12, 8.6.6).

The steps between decoding times (`stts`) do not tell when the last frame ends. With B-frames and a variable
rate, their sum may be smaller or larger, for the last frame to be decoded is not the last to be shown.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import BinaryIO

from vsr.media.formats.boxes import MAX_BOX, find_boxes, find_track
from vsr.media.remote.reader import open_bytes

_UNKNOWN = {2**32 - 1, 2**64 - 1}
"""Durations of 32 and 64 bits that are not known."""
EMPTY = -1
"""The media time of an edit that shows nothing."""
_USUAL_SPEED = 1 << 16
"""In the edit list, whose speeds are numbers of 16.16 bits."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Ticks in a second, and a duration in them; 0 if it is not stated."""

    rate: int
    duration: int


def end_by_edits(path: str, track: int, *, first: int) -> int | None:
    """Return when a track ends according to its edit list, in ticks of the track from the start of the film.

    The track's duration limits that of an edit, which is often rounded up, but FFmpeg 9 states the sum of all
    steps there. An edit may therefore be longer by as much as frames are shown after they are decoded.
    Without an edit list, the duration in the track's header takes its place.

    Args:
        path: Path of the file.
        track: Number of the track (track_ID).
        first: When the first frame is shown, in ticks of the track; counts without an edit list.

    Returns:
        None where the boxes are missing, or do not tell it. In fragmented files they often describe the first
        fragment only; then the result is before the last frame.
    """
    with open_bytes(path) as file:
        found = find_track(file, track)
        if found is None:
            return None
        film = clock_of(content_of(file, (0, file.seek(0, 2)), b"moov", b"mvhd"))
        own = clock_of(content_of(file, found, b"mdia", b"mdhd"))
        edits = list(edits_of(content_of(file, found, b"edts", b"elst")))
        if film is None or own is None or not own.duration:
            return None
        begins = 0 if edits else first
        edits = edits or [(_shown_for(content_of(file, found, b"tkhd")), 0)]
        if not all(duration for duration, _ in edits):
            return None
        delay = _most_delay(content_of(file, found, b"mdia", b"minf", b"stbl", b"ctts"))
        return begins + sum(_ticks(duration, begin, film, own, delay) for duration, begin in edits)


def _ticks(duration: int, begin: int, film: Clock, own: Clock, delay: int) -> int:
    """Return how long an edit lasts, in ticks of the track."""
    exact = Fraction(duration * own.rate, film.rate)
    ticks = floor(exact + Fraction(1, 2))
    rounded_up = exact - own.duration < Fraction(own.rate, film.rate)
    if begin == EMPTY or (not rounded_up and exact <= own.duration + delay):
        return ticks
    return min(ticks, own.duration)


def _most_delay(ctts: bytes) -> int:
    """Return the most ticks between decoding and presentation of a frame."""
    rows = struct.iter_unpack(">Ii", ctts[8 : len(ctts) - len(ctts) % 8])
    return max((offset for _, offset in rows), default=0)


def content_of(file: BinaryIO, inside: tuple[int, int], *path: bytes, most: int = MAX_BOX) -> bytes:
    """Return the content of the first box along `path` between two offsets, at most `most` bytes of it; empty
    if there is no such box.
    """
    for start, end in find_boxes(file, *inside, *path):
        file.seek(start)
        return file.read(min(end - start, most))
    return b""


def clock_of(header: bytes) -> Clock | None:
    """Return the clock in the content of an mvhd or an mdhd; None if it states no rate."""
    place, form = (20, ">IQ") if header[:1] == b"\1" else (12, ">II")
    if len(header) < place + struct.calcsize(form):
        return None
    rate, duration = struct.unpack_from(form, header, place)
    return Clock(rate, 0 if duration in _UNKNOWN else duration) if rate else None


def _shown_for(tkhd: bytes) -> int:
    """Return the duration in a tkhd, in ticks of the film."""
    place, form = (28, ">Q") if tkhd[:1] == b"\1" else (20, ">I")
    (duration,) = struct.unpack_from(form, tkhd, place) if len(tkhd) >= place + 8 else (0,)
    return 0 if duration in _UNKNOWN else duration


def edits_of(elst: bytes) -> Iterator[tuple[int, int]]:
    """Yield the duration of each edit in ticks of the film, and where it begins in ticks of the track."""
    return ((duration, begin) for duration, begin, _ in _rows(elst))


def speeds_of(path: str) -> set[Fraction]:
    """Return the speeds at which edits of any track play it, except the usual one; 0 holds a frame.

    Raises:
        OSError: the file cannot be read.
    """
    with open_bytes(path) as file:
        tracks = list(find_boxes(file, 0, file.seek(0, 2), b"moov", b"trak"))
        rows = [row for track in tracks for row in _rows(content_of(file, track, b"edts", b"elst"))]
    return {Fraction(speed, _USUAL_SPEED) for _, begin, speed in rows if begin != EMPTY} - {Fraction(1)}


def _rows(elst: bytes) -> Iterator[tuple[int, int, int]]:
    form = struct.Struct(">Qqi" if elst[:1] == b"\1" else ">Iii")
    count = min(int.from_bytes(elst[4:8], "big"), max(0, len(elst) - 8) // form.size)
    for number in range(count):
        yield form.unpack_from(elst, 8 + number * form.size)
