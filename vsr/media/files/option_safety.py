"""Refuses options of encoders and filters that name files or may compute without end.

Settings also come from pipeline files, which people exchange. Therefore an option that makes an encoder read
or write a file is refused unless the command itself allows it, and so is an expression with a loop.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from vsr.errors import ConfigError

FILE_OPTIONS = frozenset({"passlogfile", "stats", "x265-stats"})
"""FFmpeg's options whose value is a file name."""
NESTED = frozenset({"x264-params", "x265-params", "svtav1-params", "ts-parameters", "qsv_params"})
"""Options that contain further options for the encoder's library, in the syntax of FFmpeg's dictionaries."""
PLAIN_NESTED = "x264opts"
"""An option of the same kind whose syntax has no quotes and escapes."""

_FILE_WORDS = frozenset(
    {"csv", "dump", "save", "load", "stats", "recon", "path", "rpu", "ladder", "config", "cfg", "clbin"}
    | {"reuse", "table"}
)
"""Words in the names of library options that read or write files: dump-yuv, analysis-save, fgs-table."""
_FILE_NAMES = frozenset(
    {
        "pass",
        "qpfile",
        "dhdr10-info",
        "film-grain",
        "aom-film-grain",
        "scaling-list",
        "multi-pass-opt-analysis",
    }
    | {"multi-pass-opt-distortion", "scenecut-qp-config", "lambda-file", "opencl"}
)
"""Other names of such options. A first pass writes its statistics to a file with a default name."""
_HARMLESS_VALUES = {
    "scaling-list": ("off", "default"),
    "film-grain": tuple(map(str, range(51))),
    "pass": ("0",),
}
"""Values of such options that name no file: x265's own matrices, and SVT-AV1's options of the same names."""
_LOOPS = re.compile(r"(?:while|taylor|root)\(")
"""Functions in FFmpeg's expressions that repeat until a condition is true, or a thousand times."""
_MOST = 4096
"""The largest number of characters in an option's value."""


def check_option(codec: str, key: str, value: str, *, allow_files: bool) -> None:
    """Refuse an encoder option that names a file or may never end.

    Args:
        codec: FFmpeg's name of the encoder.
        key: Name of the option.
        value: Value in FFmpeg's syntax.
        allow_files: Whether files may be named.

    Raises:
        ConfigError: the option is refused.
    """
    check_expression(value, where=f"{codec}: option {key}")
    if allow_files:
        return
    if key in FILE_OPTIONS:
        raise _refused(codec, key)
    if key == "flags" and not re.fullmatch(r"(?:[+-]?(?!pass)[a-z_]\w*)*", value):
        raise _refused(codec, f"flags={value}")
    for name, inner in _nested(key, value):
        if names_a_file(name, inner):
            raise _refused(codec, f"{name} of {key}")


def check_expression(text: str, *, where: str) -> None:
    """Refuse a value whose expression has a loop, or that is longer than any useful one.

    Args:
        text: The value in FFmpeg's syntax.
        where: The beginning of the error message.

    Raises:
        ConfigError: the value is refused.
    """
    if len(text) > _MOST:
        raise ConfigError(f"{where}: has {len(text)} characters; at most {_MOST} are allowed")
    bare = re.sub(r"[\s\\']", "", text)  # FFmpeg removes these before it reads a name
    found = _LOOPS.search(bare)
    if found is not None:
        raise ConfigError(f"{where}: {found[0]}...) may never end; write it without a loop")


def names_a_file(name: str, value: str) -> bool:
    """Return whether an option of x264, x265 or SVT-AV1 makes the library read or write a file."""
    name = name.strip().lstrip("-").replace("_", "-").lower()
    if name == "csv-log-level" or value in _HARMLESS_VALUES.get(name, ()):
        return False
    # x264 and x265 accept "no-csv" and "nocsv" as the option csv with another value.
    forms = {name, name.removeprefix("no-"), name.removeprefix("no")}
    if any(_FILE_WORDS & set(form.split("-")) or form in _FILE_NAMES for form in forms):
        return True
    return re.search(r"(?<!pro)file", name) is not None or _is_path(name, value)


def _is_path(name: str, value: str) -> bool:
    """Return whether a value can only be a file name. Fractions and lists of zones contain a slash, too."""
    if name == "zones" or re.fullmatch(r"\d+(\.\d+)?/\d+(\.\d+)?", value):
        return False
    return "/" in value or "\\" in value or value.startswith("~")


def _refused(codec: str, what: str) -> ConfigError:
    return ConfigError(
        f"{codec}: option {what} names a file to write or read; `allow_files=True` permits that"
    )


def _nested(key: str, value: str) -> Iterator[tuple[str, str]]:
    """Yield the options within an option."""
    if key == PLAIN_NESTED:
        for part in value.split(":"):
            name, _, inner = part.partition("=")
            yield name, inner
    if key in NESTED:
        rest: str | None = value
        while rest is not None:
            name, rest, end = _token(rest, "=:")
            inner = ""
            if end == "=":
                inner, rest, end = _token(rest, ":")
            yield name, inner
            rest = rest if end else None


def _token(text: str, ends: str) -> tuple[str, str, str]:
    """Parse like FFmpeg's av_get_token: return the unquoted text before one of `ends`, the rest, and that
    end.
    """
    taken, quoted, at = [], False, 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "'":
            quoted = not quoted
        elif quoted:
            taken.append(char)
        elif char == "\\" and at < len(text):
            taken.append(text[at])
            at += 1
        elif char in ends:
            return "".join(taken).strip(), text[at:], char
        else:
            taken.append(char)
    return "".join(taken).strip(), "", ""
