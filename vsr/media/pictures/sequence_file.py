"""Reads pictures as a QuickTime file that exists nowhere: an index, and behind it the pictures as they are.

So they are decoded, seeked in, counted and resumed from as the frames of any video. PyAV is imported late,
for the command imports this file at its start.
"""

from __future__ import annotations

import io
import os
import stat
import struct
from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

from vsr.errors import InputError
from vsr.reading import read_file


class SequenceFile(io.RawIOBase):
    """A QuickTime file of pictures, made while it is read."""

    def __init__(self, files: Sequence[Path], codec: bytes, rate: Fraction) -> None:
        """Look up the sizes of all pictures.

        Raises:
            InputError: a picture cannot be read.
        """
        super().__init__()
        try:
            sizes = [_size_of(path) for path in files]
        except OSError as error:
            raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from error
        from vsr.media.pictures.file import read_size

        width, height = read_size(files[0])
        self._head = _header(sizes, codec, rate, width, height)
        self.files = files
        """The pictures in their order."""
        self._starts = list(accumulate(sizes, initial=len(self._head)))
        self._at = 0
        self._open: tuple[int, bytes] = (-1, b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position, and return it."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._starts[-1]}[whence]
        return self._at

    def readinto(self, buffer: object) -> int:
        """Fill a buffer up to the end of a picture, and return the number of bytes."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self._part(len(view))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _part(self, most: int) -> bytes:
        """Return bytes at the position: of the header, or of one picture."""
        if self._at < len(self._head):
            return self._head[self._at : self._at + most]
        if self._at >= self._starts[-1]:
            return b""
        number = bisect_right(self._starts, self._at) - 1
        start = self._at - self._starts[number]
        return self._picture(number)[start : start + most]

    def _picture(self, number: int) -> bytes:
        if self._open[0] != number:
            size = self._starts[number + 1] - self._starts[number]
            data = read_file(self.files[number], most_bytes=size)
            if len(data) != size:
                raise OSError(5, f"{self.files[number]} was changed")
            self._open = number, data
        return self._open[1]


def _size_of(path: Path) -> int:
    """Return the size of a picture in bytes.

    Raises:
        InputError: it is no regular file, so that a reader might wait for ever.
        OSError: it cannot be read.
    """
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise InputError(f"{path}: is not a regular file. Remove it from the numbered pictures")
    return facts.st_size


def _header(sizes: Sequence[int], codec: bytes, rate: Fraction, width: int, height: int) -> bytes:
    """Return the beginning of the file, up to the first picture (QuickTime File Format Specification)."""
    kind = _atom(b"ftyp", b"qt  \0\0\2\0qt  ")
    length = len(_moov(sizes, codec, rate, width, height, 0))
    start = len(kind) + length + 16
    moov = _moov(sizes, codec, rate, width, height, start)
    return kind + moov + struct.pack(">L4sQ", 1, b"mdat", 16 + sum(sizes))


def _moov(sizes: Sequence[int], codec: bytes, rate: Fraction, width: int, height: int, start: int) -> bytes:
    count, scale, step = len(sizes), rate.numerator, rate.denominator
    duration = count * step
    matrix = struct.pack(">9L", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    entry = struct.pack(">6xH16xHHLLLH32shh", 1, width, height, 72 << 16, 72 << 16, 0, 1, b"", 24, -1)
    offsets = list(accumulate(sizes[:-1], initial=start))
    tables = (
        _atom(b"stsd", struct.pack(">LL", 0, 1) + _atom(codec, entry))
        + _atom(b"stts", struct.pack(">LLLL", 0, 1, count, step))
        + _atom(b"stsc", struct.pack(">LLLLL", 0, 1, 1, 1, 1))
        + _atom(b"stsz", struct.pack(f">LLL{count}L", 0, 0, count, *sizes))
        + _atom(b"co64", struct.pack(f">LL{count}Q", 0, count, *offsets))
    )
    reference = _atom(b"dinf", _atom(b"dref", struct.pack(">LL", 0, 1) + _atom(b"url ", b"\0\0\0\1")))
    media = (
        _atom(b"mdhd", struct.pack(">LLLLLHH", 0, 0, 0, scale, duration, 0x55C4, 0))
        + _atom(b"hdlr", b"\0\0\0\0mhlrvide" + bytes(12) + b"\0")
        + _atom(b"minf", _atom(b"vmhd", b"\0\0\0\1" + bytes(8)) + reference + _atom(b"stbl", tables))
    )
    track = _atom(
        b"tkhd",
        struct.pack(">LLLLLL8xHHHH", 0xF, 0, 0, 1, 0, duration, 0, 0, 0, 0)
        + matrix
        + struct.pack(">LL", width << 16, height << 16),
    )
    movie = struct.pack(">LLLLLLH10x", 0, 0, 0, scale, duration, 1 << 16, 1 << 8) + matrix
    return _atom(
        b"moov",
        _atom(b"mvhd", movie + bytes(24) + b"\0\0\0\2") + _atom(b"trak", track + _atom(b"mdia", media)),
    )


def _atom(name: bytes, content: bytes) -> bytes:
    return struct.pack(">L", 8 + len(content)) + name + content
