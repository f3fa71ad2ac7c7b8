"""Numbered pictures as a video: `frames/%05d.png` is read as a QuickTime file that exists nowhere.

The file has an index of frames, and behind it the pictures as they are. So they are decoded, seeked in,
counted and resumed from as the frames of any video. PyAV is imported late, for the command imports this file
at its start.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import struct
import weakref
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

from vsr.errors import ConfigError, InputError
from vsr.media.pictures.kinds import SUFFIXES, Kind, kind_of
from vsr.media.remote.places import forget, register_file, remote_of

RATE = Fraction(25)
"""Pictures a second where nothing is set, as in FFmpeg."""
_NUMBER = re.compile(r"%(?:0(\d+))?d")
_CODECS: dict[Kind, bytes] = {"png": b"png ", "jpeg": b"jpeg", "tiff": b"tiff"}
"""QuickTime's names of the formats."""
_MOST = 10**7
"""Pictures: four days at 25 a second."""


def is_pattern(path: Path) -> bool:
    """Return whether a name stands for numbered pictures: it has one `%d` or `%05d`, and no file has it."""
    is_name = len(_NUMBER.findall(path.name)) == 1 and path.suffix.lower() in SUFFIXES
    return is_name and remote_of(path) is None and not os.path.lexists(path)


def is_url_pattern(path: Path) -> bool:
    """Return whether a URL of a store stands for numbered pictures there; they can only be read."""
    remote = remote_of(path)
    is_name = len(_NUMBER.findall(path.name)) == 1 and path.suffix.lower() in SUFFIXES
    return remote is not None and remote.file is None and remote.writable and is_name


def numbered(path: Path, number: int) -> Path:
    """Return the path of a picture: `%05d` becomes its number with at least five digits."""
    return path.with_name(_NUMBER.sub(lambda found: str(number).zfill(int(found[1] or 0)), path.name))


def files_of(pattern: Path) -> list[Path]:
    """Return the pictures that a pattern stands for, in the order of their numbers.

    Raises:
        InputError: there are none, or numbers are missing between the first and the last.
    """
    from vsr.media.files.opening import shown

    try:
        names = [path.name for path in pattern.parent.iterdir()]
    except OSError as error:
        raise InputError(f"{shown(pattern)}: its folder cannot be read ({error.strerror})") from error
    return [pattern.parent / name for name in _in_order(names, pattern)]


def _in_order(names: Iterable[str], pattern: Path) -> list[str]:
    """Return those of the names that match a pattern, in the order of their numbers; see `files_of`."""
    from vsr.media.files.opening import shown

    before, after = _NUMBER.split(pattern.name)[0], _NUMBER.split(pattern.name)[-1]
    wanted = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    found = {int(match[1]): match[0] for match in map(wanted.fullmatch, names) if match}
    if not found:
        raise InputError(f"{shown(pattern)}: no picture has such a name. Check the pattern")
    first, last = min(found), max(found)
    missing = last - first + 1 - len(found)
    if missing:
        gap = next(number for number in range(first, last) if number not in found)
        raise InputError(
            f"{shown(pattern)}: {missing} numbers between {first} and {last} are missing, the first is {gap}."
            " Restore these pictures, or renumber the others"
        )
    return [found[number] for number in range(first, last + 1)]


def as_sequence(source: Path, target: Path, rate: Fraction | None) -> Path:
    """Return the path of a video that numbered pictures, or those of a folder, stand for; else `source`.

    The path stands for them until `vsr.media.remote.blocks.release`.

    A folder stands for a video if its result is one file or numbered pictures, and not the folder of many
    results.

    Args:
        source: What a user named as the input.
        target: What a user named as the output.
        rate: Pictures a second; None is `RATE`.

    Raises:
        ConfigError: the pictures cannot be read as a video.
        InputError: pictures are missing, or there are none.
    """
    from vsr.media.files.opening import shown

    if is_url_pattern(source):
        return _from_store(source, rate)
    if remote_of(source) is not None:  # a part of the program has asked before
        return source
    if is_pattern(source):
        return register_sequence(files_of(source), source, rate=rate)
    if not _is_folder(source) or not target.suffix or _is_folder(target):
        return source
    files = [path for path in source.iterdir() if path.is_file() and not path.name.startswith(".")]
    others = [path for path in files if path.suffix.lower() not in SUFFIXES]
    if others or not files:
        what = f"{shown(others[0].name)} is none" if others else "it is empty"
        raise InputError(
            f"{shown(source)}: a folder becomes one video if it contains pictures only ({what}). Name its"
            " pictures, such as frames/%05d.png, or a folder for the results of many files"
        )
    return register_sequence(sorted(files, key=_by_number), source, rate=rate)


def _from_store(pattern: Path, rate: Fraction | None) -> Path:
    """Copy numbered pictures of a store to a temporary folder, which is removed with the last use of them."""
    import tempfile

    from vsr.media.remote.listing import download, files_below

    remote = remote_of(pattern)
    assert remote is not None
    folder = replace(remote, url=f"{remote.url.rpartition('/')[0]}/")
    urls = {name: url for url, name in files_below(folder, recursive=False)}
    wanted = _in_order(urls, pattern)
    copies = Path(tempfile.mkdtemp(prefix="vsr-pictures-"))
    try:
        files = download([urls[name] for name in wanted], folder, copies)
        return register_sequence(files, pattern, rate=rate, copies=copies, named=remote.shown)
    except BaseException as error:
        shutil.rmtree(copies, ignore_errors=True)
        if not isinstance(error, OSError):
            raise
        raise InputError(
            f"{remote.shown}: cannot be copied to {copies.parent} ({error.strerror}); make room or set TMPDIR"
        ) from error


def _is_folder(path: Path) -> bool:
    """Return whether a path is a folder; a name that is too long for any file is not."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _by_number(path: Path) -> tuple[tuple[int, str], ...]:
    """`frame9` comes before `frame10`."""
    parts = re.split(r"(\d+)", path.name.lower())
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts)


def files_behind(path: Path) -> Sequence[Path]:
    """Return the pictures that a registered path stands for; none for other paths."""
    found = remote_of(path)
    return found.file.files if found is not None and isinstance(found.file, SequenceFile) else ()


def register_sequence(
    files: Sequence[Path],
    name: Path,
    *,
    rate: Fraction | None = None,
    copies: Path | None = None,
    named: str = "",
) -> Path:
    """Return the path that stands for pictures as a video.

    Args:
        files: The pictures in their order.
        name: What messages call them.
        rate: Pictures a second; None is `RATE`.
        copies: A folder to be removed when the path stands for nothing any more.
        named: The name in messages, if it is not that of a local path.

    Raises:
        ConfigError: the pictures have a format that QuickTime does not hold.
        InputError: one of them cannot be read, or has another format.
    """
    from vsr.media.files.opening import shown

    kinds = dict.fromkeys(kind_of(path) for path in (files[0], files[-1]))
    kind = next(iter(kinds))
    if kind not in _CODECS or len(kinds) > 1 or len(files) > _MOST:
        raise ConfigError(
            f"{shown(name)}: frames are read as PNG, JPEG or TIFF, all of one format. Convert them"
        )
    file = SequenceFile(files, _CODECS[kind], rate or RATE)
    if copies is None:
        return register_file(file, named=str(name))
    remove = weakref.finalize(file, shutil.rmtree, copies, ignore_errors=True)
    forget(name)  # the URL, in whose place the copies are read
    return register_file(file, named=named, after=remove)


class SequenceFile(io.RawIOBase):
    """A QuickTime file of pictures, made while it is read."""

    def __init__(self, files: Sequence[Path], codec: bytes, rate: Fraction) -> None:
        """Look up the sizes of all pictures.

        Raises:
            InputError: a picture cannot be read.
        """
        super().__init__()
        try:
            sizes = [path.stat().st_size for path in files]
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
            data = self.files[number].read_bytes()
            if len(data) != self._starts[number + 1] - self._starts[number]:
                raise OSError(5, f"{self.files[number]} was changed")
            self._open = number, data
        return self._open[1]


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
