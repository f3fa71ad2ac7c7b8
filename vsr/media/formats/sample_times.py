"""Computes when the samples of an MP4 or QuickTime track are shown by its edit list (ISO/IEC 14496-12, 8.6).

FFmpeg's demuxer (up to 9) lets an edit begin with the first sample that begins inside it. The sample in which
the edit begins is marked as hidden, and everything after it is shown too early by the rest of that sample. In
a slide show or a track of texts that is seconds. From the second edit on, frames of a video with B-frames are
too late by the delay of their presentation.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate, chain, islice, pairwise, repeat
from math import floor
from typing import BinaryIO

from vsr.media.formats.boxes import find_track
from vsr.media.formats.edit_list import EMPTY, clock_of, content_of, edits_of
from vsr.media.remote.reader import open_bytes

_STBL = (b"mdia", b"minf", b"stbl")
_MOST_SAMPLES = 1 << 20
"""Nearly five hours at 60 frames a second; the times of a longer track stay those of FFmpeg."""
_MOST_EDITS = 1000
_FEW, _BEGINNING = 64, 1 << 12
"""Samples among which the usual edit begins, and bytes of the tables that describe them."""
_MOST_BYTES = 1 << 24
"""In bytes; the largest table that is read."""


@dataclass(frozen=True, slots=True)
class Showing:
    """A sample during an edit; times are in ticks of the track."""

    edit: int
    """Number of the edit."""
    begin: int
    """From the start of the film."""
    duration: int
    """Until the next sample or the end of the edit."""
    early: int
    """How much too early FFmpeg shows the samples of this edit."""
    is_cut: bool
    """Whether the edit begins inside the sample, which FFmpeg marks as hidden."""


@dataclass(frozen=True, slots=True)
class _Track:
    """The samples of a track in the order in which they are shown."""

    times: Sequence[int]
    """When each begins, in ticks."""
    offsets: Sequence[int]
    """Where each lies in the file."""
    end: int
    """When the last one ends."""

    def time(self, number: int) -> int:
        """Return when a sample begins; after the last one, when that ends."""
        return self.times[number] if number < len(self.times) else self.end


def showings_of(path: str, track: int, *, least: Fraction) -> dict[int, list[Showing]]:
    """Map the offset in the file of each sample of a track to when it is shown; empty where nothing is to be
    corrected.

    Args:
        path: Path of the file.
        track: Number of the track (track_ID).
        least: In seconds; the sample in which an edit begins is shown if at least this much of it remains.
            0 also corrects the durations of the samples after a hidden beginning.

    Raises:
        OSError: the file cannot be read.
        struct.error: a table is cut off.
    """
    with open_bytes(path) as file:
        place = find_track(file, track)
        film = clock_of(content_of(file, (0, file.seek(0, 2)), b"moov", b"mvhd"))
        own = None if place is None else clock_of(content_of(file, place, b"mdia", b"mdhd"))
        if place is None or film is None or own is None:
            return {}
        rows = islice(edits_of(content_of(file, place, b"edts", b"elst")), _MOST_EDITS + 1)
        edits = [
            (floor(Fraction(duration * own.rate, film.rate) + Fraction(1, 2)), begin)
            for duration, begin in rows
        ]
        begins = [begin for _, begin in edits if begin != EMPTY]
        if len(edits) > _MOST_EDITS or (len(begins) < 2 and not any(begin > 0 for begin in begins)):
            return {}
        alone = bool(least) and len(begins) == 1
        if alone and begins[0] in _first_times(file, place):
            return {}  # the usual edit, which takes back the delay of B-frames
        found = _track(file, place)
    if found is None:
        return {}
    ticks = max(1, round(least * own.rate))
    if alone and not _first_of(found, begins[0], ticks)[1]:
        return {}
    table: dict[int, list[Showing]] = {}
    for count, (offset, showing) in enumerate(_shown(found, edits, ticks)):
        if count == _MOST_SAMPLES:
            return {}
        table.setdefault(offset, []).append(showing)
    return table


def _shown(track: _Track, edits: Sequence[tuple[int, int]], least: int) -> Iterator[tuple[int, Showing]]:
    """Yield the offset of each sample of each edit, and when it is shown.

    Args:
        track: Its samples.
        edits: Duration and start of each edit, in ticks of the track.
        least: The sample in which an edit begins is shown if at least so many ticks of it remain.
    """
    passed = 0
    for number, (duration, begin) in enumerate(edits):
        if begin != EMPTY:
            for offset, showing in _of_edit(track, begin, duration or track.end, least):
                yield offset, replace(showing, edit=number, begin=showing.begin + passed)
        passed += duration


def _of_edit(track: _Track, begin: int, duration: int, least: int) -> Iterator[tuple[int, Showing]]:
    """Yield the offset of each sample of an edit, and when it is shown after the start of the edit, which
    gets the number 0.
    """
    first, early = _first_of(track, begin, least)
    is_cut, origin = bool(early), track.time(first) - early
    for number in range(first - is_cut, len(track.times)):
        if number >= first and track.times[number] >= begin + duration:
            return
        shown = max(0, track.time(number) - origin)
        length = max(0, min(track.time(number + 1) - origin, duration) - shown)
        yield track.offsets[number], Showing(0, shown, length, early, number < first)


def _first_of(track: _Track, begin: int, least: int) -> tuple[int, int]:
    """Return the number of the first sample that begins in an edit, and how many ticks of the one before it
    are in the edit; 0 if there are fewer than `least`.
    """
    first = bisect_left(track.times, begin)
    rest = track.time(first) - begin
    return first, rest if first > 0 and rest >= least else 0


def _track(file: BinaryIO, place: tuple[int, int]) -> _Track | None:
    """Read the tables of samples of a track; None if they are too long, incomplete or of a rare kind."""
    tables = {
        kind: content_of(file, place, *_STBL, kind, most=_MOST_BYTES)
        for kind in (b"stts", b"ctts", b"stsz", b"stsc", b"stco", b"co64")
    }
    sizes = list(islice(_sizes(tables[b"stsz"]), _MOST_SAMPLES + 1))
    if not 0 < len(sizes) <= _MOST_SAMPLES:
        return None
    decoded = list(islice(_decoding_times(tables[b"stts"]), _MOST_SAMPLES + 1))
    places = list(islice(_offsets(tables, sizes), _MOST_SAMPLES + 1))
    count = len(sizes)
    if len(decoded) <= count or len(places) != count:
        return None
    delays = chain(_delays(tables[b"ctts"]), repeat(0))
    times = [time + delay for time, delay in zip(decoded[:count], delays, strict=False)]
    order = sorted((number for number in range(count) if sizes[number]), key=times.__getitem__)
    end = times[order[-1]] + decoded[count] - decoded[count - 1] if order else 0
    return _Track([times[number] for number in order], [places[number] for number in order], end)


def _first_times(file: BinaryIO, place: tuple[int, int]) -> set[int]:
    """Return when the first samples of a track are shown, in ticks; the long tables are not read whole."""
    stts, ctts = (content_of(file, place, *_STBL, kind, most=_BEGINNING) for kind in (b"stts", b"ctts"))
    times = islice(zip(_decoding_times(stts), chain(_delays(ctts), repeat(0)), strict=False), _FEW)
    return {time + delay for time, delay in times}


def _decoding_times(stts: bytes) -> Iterator[int]:
    """Yield when each sample is decoded, and when the last one ends."""
    steps = chain.from_iterable(repeat(step, count) for count, step in _rows(">II", stts))
    return accumulate(steps, initial=0)


def _delays(ctts: bytes) -> Iterator[int]:
    """Yield the ticks between decoding and presentation of each sample."""
    return chain.from_iterable(repeat(delay, count) for count, delay in _rows(">Ii", ctts))


def _sizes(stsz: bytes) -> Iterator[int]:
    """Yield the size of each sample in bytes."""
    if len(stsz) < 12:
        return iter(())
    size, count = struct.unpack_from(">II", stsz, 4)
    return repeat(size, count) if size else (one for (one,) in struct.iter_unpack(">I", stsz[12:]))


def _offsets(tables: dict[bytes, bytes], sizes: Sequence[int]) -> Iterator[int]:
    """Yield where each sample lies in the file; `sizes` are those of the samples."""
    rows = _rows(">I", tables[b"stco"]) or _rows(">Q", tables[b"co64"])
    runs = [*_rows(">III", tables[b"stsc"]), (len(rows) + 1, 0, 0)]
    left = iter(sizes)
    for (begin, samples, _), (stop, _, _) in pairwise(runs):
        for (offset,) in rows[begin - 1 : stop - 1]:
            for size in islice(left, samples):
                yield offset
                offset += size


def _rows(form: str, table: bytes) -> list[tuple[int, ...]]:
    """Return the rows of a table: after version and flags, their number."""
    row = struct.Struct(form)
    count = min(int.from_bytes(table[4:8], "big"), max(0, len(table) - 8) // row.size)
    return list(row.iter_unpack(table[8 : 8 + count * row.size]))
