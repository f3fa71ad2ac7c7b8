"""Numbered pictures as a video: finds the files behind `frames/%05d.png`, or gives such names.

What reads them as a video is in `sequence_file.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import weakref
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from vsr.errors import ConfigError, InputError
from vsr.media.pictures.kinds import SUFFIXES, Kind, kind_of
from vsr.media.pictures.sequence_file import SequenceFile
from vsr.media.remote.places import forget, register_file, remote_of

RATE = Fraction(25)
"""Pictures a second where nothing is set, as in FFmpeg."""
_NUMBER = re.compile(r"%(?:0(\d+))?d")
_CODECS: dict[Kind, bytes] = {"png": b"png ", "jpeg": b"jpeg", "tiff": b"tiff"}
"""QuickTime's names of the formats."""
_FIRST = 1
"""Number of the first picture of a video, as in FFmpeg."""
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


def number_in(path: Path, pattern: Path) -> int | None:
    """Return the number of a picture, if `numbered` gives it this name; else None."""
    before, after = _NUMBER.split(pattern.name)[0], _NUMBER.split(pattern.name)[-1]
    found = re.fullmatch(re.escape(before) + r"([0-9]+)" + re.escape(after), path.name)
    number = None if found is None else int(found[1])
    return number if number is not None and numbered(pattern, number).name == path.name else None


def numbers_in(pattern: Path) -> list[int]:
    """Return the numbers of the existing pictures to which `numbered` gives their names, in order.

    A folder that cannot be read has none.
    """
    names: list[str] = []
    with suppress(OSError):
        names = os.listdir(pattern.parent)  # noqa: PTH208 (only names are needed, of perhaps a million files)
    numbers = (number_in(Path(name), pattern) for name in names)
    return sorted(number for number in numbers if number is not None)


def first_number(files: Sequence[Path]) -> int:
    """Return the number of the first picture of a result: that of the source if its pictures have numbers."""
    digits = "".join(char for char in files[0].stem[::-1] if char.isdecimal())[::-1] if files else ""
    return int(digits) if digits and files[0].stem.endswith(digits) else _FIRST


def pictures_made(source: Path, target: Path, count: int) -> list[Path]:
    """Return the pictures that a run of `count` frames has written; none if its target is one file."""
    if not is_pattern(target):
        return []
    first = first_number(files_behind(source))
    return [numbered(target, number) for number in range(first, first + count)]


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
    wanted, names = re.compile(re.escape(before) + r"(\d+)" + re.escape(after)), list(names)
    found = {int(match[1]): match[0] for match in map(wanted.fullmatch, names) if match}
    if not found:
        raise InputError(f"{shown(pattern)}: no picture has such a name. Check the pattern")
    if len(found) < len(same := [name for name in names if wanted.fullmatch(name)]):
        twice = next(name for name in same if name not in found.values())
        other = found[int(wanted.fullmatch(twice)[1])]  # type: ignore[index]
        raise InputError(f"{shown(pattern)}: {twice} and {other} have the same number. Remove one of them")
    first, last = min(found), max(found)
    missing = last - first + 1 - len(found)
    if missing:
        gap = next(number for number in range(first, last) if number not in found)
        raise InputError(
            f"{shown(pattern)}: {missing} numbers between {first} and {last} are missing, the first is {gap}."
            " Restore these pictures, or renumber the others"
        )
    return [found[number] for number in range(first, last + 1)]


def as_sequence(
    source: Path,
    target: Path,
    rate: Fraction | None,
    *,
    results: Callable[[list[Path]], Collection[Path]] = lambda _: (),
) -> Path:
    """Return the path of a video that numbered pictures, or those of a folder, stand for; else `source`.

    The path stands for them until `vsr.media.remote.blocks.release`.

    A folder stands for a video if its result is one file or numbered pictures, and not the folder of many
    results.

    Args:
        source: What a user named as the input.
        target: What a user named as the output.
        rate: Pictures a second; None is `RATE`.
        results: Returns those pictures of a folder that are results of earlier runs; they are left out.

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
    made = results(files)
    files = [path for path in files if path not in made]
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
    from vsr.media.remote.listing import download, files_below
    from vsr.system.scratch import new_scratch_folder

    remote = remote_of(pattern)
    assert remote is not None
    folder = replace(remote, url=f"{remote.url.rpartition('/')[0]}/")
    urls = {name: url for url, name in files_below(folder, recursive=False)}
    wanted = _in_order(urls, pattern)
    copies = new_scratch_folder("vsr-pictures-")
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
