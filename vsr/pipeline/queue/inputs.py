"""Finds the input files that a user names: files, folders, patterns with wildcards, and lists of files.

Results of an earlier run that a folder or a pattern contains are not inputs: the record of their folder lists
them.
"""

from __future__ import annotations

import codecs
import glob
import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath

from vsr.errors import ConfigError
from vsr.media.files.stdio import place_of
from vsr.media.pictures.kinds import SUFFIXES
from vsr.media.pictures.sequence import as_sequence, is_pattern, is_url_pattern
from vsr.media.remote.listing import files_below, has_wildcards, is_folder_url, matches
from vsr.media.remote.places import Remote, forget, name_of, register, remote_of

# fmt: off
VIDEO_SUFFIXES = frozenset({
    ".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".evo", ".f4v", ".flv", ".gif", ".ivf", ".m1v",
    ".m2t", ".m2ts", ".m2v", ".m4v", ".mkv", ".mod", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf",
    ".nut", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".tod", ".ts", ".vob", ".webm", ".wmv", ".wtv",
    ".y4m",
})
# fmt: on
"""Suffixes by which videos are found in a folder, besides images. A named file may have any suffix."""


_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class Input:
    """A file to upscale."""

    path: Path
    folder: Path = Path()
    """Path of the file's folder relative to the folder that the user named. The result gets the same relative
    path in the output folder."""
    pictures: Path | None = None
    """The folder of numbered pictures, by which their result is named; None for a file."""
    is_stored: bool = False
    """Whether these pictures are in a store, where no result can lie beside their folder."""


def inputs_of(
    words: Sequence[Path],
    *,
    recursive: bool,
    leave_out: Path | None = None,
    rate: Fraction | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> list[Input]:
    """Return the input files in the order of `words`, each file once.

    The files of one folder or pattern are sorted by name; numbers in names are compared by value.

    Args:
        words: Files, folders, patterns such as `*.mkv` that the shell has not expanded, and numbered pictures
            (`frames/%05d.png`).
        recursive: Whether to search subfolders, too.
        leave_out: The folder of the results, which is not searched.
        rate: Numbered pictures a second; None is the default.
        say: Called with a sentence for each folder or pattern in which results of earlier runs are left out.
            A result that is named itself is an input, unless the file of which it was made is one, too.

    Raises:
        ConfigError: a folder contains no video, or a pattern matches no file; results do not count.
        InputError: a store does not answer, or numbered pictures are missing.
    """
    found: dict[Path, Input] = {}
    for word in words:
        every = list(_expanded(word, recursive=recursive, leave_out=leave_out, rate=rate))
        for one in every if _is_named(word, every) else _without_results(word, every, say):
            found.setdefault(one.path if remote_of(one.path) else Path(os.path.realpath(one.path)), one)
    return _without_own_results(list(found.values()), say) if len(words) > 1 else list(found.values())


def listed(text: str) -> list[Path]:
    """Return the paths in a list: one on each line, or separated by NUL as `find -print0` writes them."""
    separator = "\0" if "\0" in text else "\n"
    return [place_of(line) for line in (part.rstrip("\r") for part in text.split(separator)) if line.strip()]


def text_of(data: bytes) -> str:
    """Return the text of a list: in the encoding that its first bytes state, as editors and shells of Windows
    write them (UTF-8 or UTF-16), else in that of file names.
    """
    for beginning, encoding in _ENCODINGS:
        if data.startswith(beginning):
            return data[len(beginning) :].decode(
                encoding, "surrogateescape" if encoding == "utf-8" else "replace"
            )
    return os.fsdecode(data)


def is_folder(path: Path) -> bool:
    """Return whether `path` is a folder; False if the system does not allow such a name."""
    with suppress(OSError):
        return path.is_dir()
    return False


def is_file(path: Path) -> bool:
    """Return whether `path` is a file; False if the system does not allow such a name."""
    with suppress(OSError):
        return path.is_file()
    return False


def is_many(path: Path) -> bool:
    """Return whether `path` is a folder, or the URL of one."""
    remote = remote_of(path)
    return is_folder(path) if remote is None else is_folder_url(remote)


def exists(path: Path) -> bool:
    """Return whether `path` exists; False if the system does not allow such a name."""
    with suppress(OSError):
        return path.exists()
    return False


def _expanded(
    word: Path, *, recursive: bool, leave_out: Path | None, rate: Fraction | None
) -> Iterable[Input]:
    if is_url_pattern(word):
        return [Input(as_sequence(word, word, rate), pictures=word.parent, is_stored=True)]
    if is_pattern(word):
        return [Input(as_sequence(word, word, rate), pictures=_folder_of(word))]
    remote = remote_of(word)
    if remote is not None:
        return _at_url(word, remote, recursive=recursive)
    if is_folder(word):
        files = _in_folder(word, recursive=recursive, leave_out=leave_out)
        if not files:
            deeper = "" if recursive else ", or search its subfolders with `recursive=True`"
            raise ConfigError(f"{word}: this folder contains no video or image; name files{deeper}")
        return [Input(path, path.parent.relative_to(word)) for path in files]
    if exists(word) or not glob.has_magic(str(word)):
        return [Input(word)]
    # Path.glob does not accept absolute patterns.
    matches = sorted((Path(name) for name in glob.glob(str(word), recursive=True)), key=_by_name)  # noqa: PTH207
    if not matches:
        raise ConfigError(f"{word}: no file matches this pattern")
    return [Input(path) for path in matches if path.is_file()]


def _folder_of(pattern: Path) -> Path:
    """Return the folder of numbered pictures, with a name; a relative path if that has one."""
    folder = pattern.parent
    return folder if folder.name not in ("", "..") else Path(os.path.abspath(folder))  # noqa: PTH100


def _at_url(word: Path, remote: Remote, *, recursive: bool) -> list[Input]:
    """The inputs that a URL stands for."""
    if is_folder_url(remote):
        names = [(url, PurePosixPath(name)) for url, name in files_below(remote, recursive=recursive)]
        found = [Input(_like(remote, url), Path(name.parent)) for url, name in names if _is_wanted(name.name)]
        if not found:
            deeper = "" if recursive else ", or `recursive=True` for the folders inside it"
            raise ConfigError(f"{remote.shown}: no video is in this folder; name files{deeper}")
        return sorted(found, key=lambda one: _by_name(one.path))
    if has_wildcards(remote):
        return [Input(_like(remote, url)) for url in matches(remote)]
    return [Input(word)]


def _like(remote: Remote, url: str) -> Path:
    return register(url, allow_network=remote.allow_network, work_folder=remote.work_folder)


def _is_named(word: Path, found: Sequence[Input]) -> bool:
    """Return whether a word is the name of its only input, and not a folder or a pattern."""
    return len(found) == 1 and (found[0].path == word or found[0].pictures is not None)


def _without_results(word: Path, found: Sequence[Input], say: Callable[[str], None]) -> list[Input]:
    """Return the inputs without results of earlier runs.

    Raises:
        ConfigError: nothing is left.
    """
    from vsr.pipeline.queue.record import results_among  # imported late, with PyAV

    made = results_among(one.path for one in found)
    if not made:
        return list(found)
    first = name_of(next(one.path for one in found if one.path in made))
    many = f"{first} is a result" if len(made) == 1 else f"{first} and {len(made) - 1} more are results"
    for path in made:
        forget(path)  # of the URLs of a folder, which stood for inputs until now
    left = [one for one in found if one.path not in made]
    line = f"{many} of earlier runs, and left out; name one to upscale it again"
    if not left:
        raise ConfigError(f"{name_of(word)}: nothing else is there: {line}")
    say(line)
    return left


def _without_own_results(found: list[Input], say: Callable[[str], None]) -> list[Input]:
    """Return the inputs without results of others among them: a shell expands `*.mkv` to both."""
    from vsr.pipeline.queue.record import results_among, results_of  # imported late, with PyAV

    paths = [one.path for one in found]
    made = results_of(results_among(paths), paths)
    if not made:
        return found
    first = name_of(next(path for path in paths if path in made))
    many = f"{first} is a result" if len(made) == 1 else f"{first} and {len(made) - 1} more are results"
    say(f"{many} of other inputs, and left out; name one alone to upscale it again")
    return [one for one in found if one.path not in made]


def _in_folder(folder: Path, *, recursive: bool, leave_out: Path | None) -> list[Path]:
    files = []
    for where, folders, names in os.walk(folder):
        here = Path(where)
        folders[:] = sorted(
            name
            for name in folders
            if recursive and not name.startswith(".") and not _is_same(here / name, leave_out)
        )
        if not _is_same(here, leave_out) or here == folder:
            wanted = (here / name for name in names if _is_wanted(name))
            files += sorted(wanted, key=_by_name)
    return files


def _is_wanted(name: str) -> bool:
    """Return whether a file name has a suffix of videos or images and is not hidden; macOS writes hidden
    files such as `._film.mkv`, which contain no video.
    """
    return not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES | SUFFIXES


def _is_same(folder: Path, other: Path | None) -> bool:
    return other is not None and os.path.realpath(folder) == os.path.realpath(other)


def _by_name(path: Path) -> tuple[object, ...]:
    """Return a sort key that puts `part 9` before `part 10`."""
    parts = re.split(r"(\d+)", path.name.lower())
    return (path.parent, *((int(part), "") if part.isdecimal() else (-1, part) for part in parts))
