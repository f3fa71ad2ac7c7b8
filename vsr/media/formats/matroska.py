"""Writes exact timestamps in Matroska, although FFmpeg's muxer writes whole milliseconds only.

The format itself counts ticks of TimestampScale nanoseconds (RFC 9559, 5.1.2.9). The muxer gets times in
finer ticks, which it treats as milliseconds. In the finished file, TimestampScale is then overwritten with
the true length of a tick, and so are the DURATION tags, which the muxer writes as text in seconds. Chapters,
codec delays and default durations are in nanoseconds whatever the scale, and need no correction.

`matroska_track` writes the properties of the video that the muxer does not get.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
from av.stream import Stream

MILLISECOND = 1_000_000
"""The muxer's TimestampScale, in nanoseconds."""
CLUSTER_TICKS = 30_000
"""The longest cluster, in ticks: block times are 16-bit signed, relative to their cluster (RFC 9559,
10.2)."""
_NS = 10**9

EBML = 0x1A45DFA3
SEGMENT = 0x18538067
INFO = 0x1549A966
TIMESTAMP_SCALE = 0x2AD7B1
TRACKS = 0x1654AE6B
TRACK_ENTRY = 0xAE
CODEC_DELAY = 0x56AA
TAGS = 0x1254C367
TAG = 0x7373
SIMPLE_TAG = 0x67C8
TAG_NAME = 0x45A3
TAG_STRING = 0x4487


def tick_for(video: Fraction, audio: Iterable[Fraction] = ()) -> int:
    """Return the length of a tick to write with, in nanoseconds, at most a millisecond.

    Args:
        video: Time base of the video. Its times are exact if the tick is a whole number of nanoseconds and
            long enough; otherwise they are off by at most a quarter of a tick.
        audio: Time bases of the audio. Its times are off by less than half a tick, so that rounding restores
            them.

    Returns:
        A millisecond if all time bases are multiples of it.
    """
    others = list(audio)
    if all((base * 1000).denominator == 1 for base in (video, *others)):
        return MILLISECOND
    limits = [base * _NS if base * _NS % 1 == 0 else base * _NS * Fraction(9, 10) for base in others]
    exact = (video * _NS).denominator == 1
    limit = min([video * _NS / (1 if exact else 2), Fraction(MILLISECOND), *limits])
    longest = max(1, int(limit))
    return _divisor(int(video * _NS), longest) if exact else longest


def _divisor(length: int, longest: int) -> int:
    """Return the longest tick up to `longest` that divides `length`, if one is nearly as long; else
    `longest`.
    """
    for parts in range(-(-length // longest), 4 * length // longest + 1):
        if length % parts == 0:
            return length // parts
    return longest


@dataclass(frozen=True, slots=True)
class Element:
    """An EBML element in a file."""

    id: int
    start: int
    """Offset of its content in bytes."""
    size: int
    """Size of its content in bytes."""


def children(file: BinaryIO, start: int, end: int) -> Iterator[Element]:
    """Yield the elements between two offsets in order. One of unknown size extends to `end`."""
    offset = start
    while offset < end:
        file.seek(offset)
        number = _number(file, keep_marker=True)
        size = _number(file, keep_marker=False)
        if number is None or size is None:
            return
        content = file.tell()
        length = end - content if size < 0 else size
        yield Element(number, content, length)
        offset = content + length


def _number(file: BinaryIO, *, keep_marker: bool) -> int | None:
    """Read a variable-length integer (RFC 8794, 4); -1 means "unknown size", None the end of the file."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(length - 1), "big")
    if keep_marker:
        return value
    bits = 7 * length
    value &= (1 << bits) - 1
    return -1 if value == (1 << bits) - 1 else value


def rescale_file(path: Path, tick: int) -> None:
    """Set the length of a finished file's ticks to `tick` nanoseconds instead of a millisecond.

    Raises:
        ValueError: the file has no TimestampScale to overwrite, which means that FFmpeg's muxer changed.
    """
    if tick == MILLISECOND:
        return
    with path.open("r+b") as file:
        segment = segment_of(file)
        found = {part.id: part for part in children(file, *span(segment)) if part.id in (INFO, TAGS)}
        if INFO not in found:
            raise ValueError("no segment information")
        _write_scale(file, found[INFO], tick)
        if TAGS in found:
            for element in list(_duration_strings(file, found[TAGS])):
                _write_duration(file, element, tick)


def codec_delay(stream: Stream, muxer: str = "matroska") -> int:
    """Return the nanoseconds of priming that the muxer states for a copy of `stream` (RFC 9559, 5.1.4.1.25).

    This is the only way to get FFmpeg's knowledge of a stream's priming. The result is 0 where FFmpeg knows
    of none, or where Matroska does not support the codec.
    """
    buffer = io.BytesIO()
    output = av.open(buffer, "w", format=muxer)
    try:
        output.add_stream_from_template(stream, opaque=True)
        output.start_encoding()
    except (av.FFmpegError, ValueError):
        return 0
    finally:
        with suppress(av.FFmpegError):
            output.close()
    segment = segment_of(buffer)
    for part in children(buffer, *span(segment)):
        if part.id == TRACKS:
            return sum(uint_of(buffer, element) for element in walk(buffer, part, TRACK_ENTRY, CODEC_DELAY))
    return 0


def segment_of(file: BinaryIO) -> Element:
    """Return the Segment, which contains all other elements.

    Raises:
        ValueError: there is none.
    """
    file.seek(0, io.SEEK_END)
    for element in children(file, 0, file.tell()):
        if element.id == SEGMENT:
            return element
    raise ValueError("no Matroska segment")


def span(element: Element) -> tuple[int, int]:
    """Return the offsets at which the content of an element begins and ends."""
    return element.start, element.start + element.size


def walk(file: BinaryIO, parent: Element, *path: int) -> Iterator[Element]:
    """Yield all descendants along a `path` of element IDs."""
    for child in list(children(file, *span(parent))):
        if child.id == path[0]:
            if len(path) == 1:
                yield child
            else:
                yield from walk(file, child, *path[1:])


def uint_of(file: BinaryIO, element: Element) -> int:
    """Return the content of an element as a whole number."""
    file.seek(element.start)
    return int.from_bytes(file.read(element.size), "big")


def _write_scale(file: BinaryIO, info: Element, tick: int) -> None:
    for element in walk(file, info, TIMESTAMP_SCALE):
        if uint_of(file, element) != MILLISECOND:
            raise ValueError("TimestampScale is not a millisecond")
        file.seek(element.start)
        file.write(tick.to_bytes(element.size, "big"))
        return
    raise ValueError("no TimestampScale")


def _duration_strings(file: BinaryIO, tags: Element) -> Iterator[Element]:
    for simple in walk(file, tags, TAG, SIMPLE_TAG):
        names = [text_of(file, name) for name in walk(file, simple, TAG_NAME)]
        if names == ["DURATION"]:
            yield from walk(file, simple, TAG_STRING)


def bytes_of(file: BinaryIO, element: Element) -> bytes:
    """Return the content of an element."""
    file.seek(element.start)
    return file.read(element.size)


def text_of(file: BinaryIO, element: Element) -> str:
    """Return the content of an element as text."""
    file.seek(element.start)
    return file.read(element.size).rstrip(b"\0").decode(errors="replace")


def _write_duration(file: BinaryIO, element: Element, tick: int) -> None:
    hours, minutes, seconds = text_of(file, element).split(":")
    ticks = (int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)) * 1000
    text = _clock(round(ticks) * tick).encode()
    if len(text) <= element.size:
        file.seek(element.start)
        file.write(text.ljust(element.size, b"\0"))


def _clock(nanoseconds: int) -> str:
    """Return `HH:MM:SS.nnnnnnnnn`, the form in which mkvmerge and FFmpeg write durations."""
    seconds, rest = divmod(nanoseconds, _NS)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{rest:09d}"
