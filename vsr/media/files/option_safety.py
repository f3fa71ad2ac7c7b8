"""Which options of encoders and filters may name files or compute for ever.

Settings come from pipeline files, too, which people send each other. So an option that would have an encoder
write or read a file is refused unless the command itself allows it, and so is an expression with a loop.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from vsr.errors import ConfigError

FILE_OPTIONS = frozenset({"passlogfile", "stats", "x265-stats"})
"""FFmpeg's options whose value is a file's name."""
NESTED = frozenset({"x264-params", "x265-params", "svtav1-params", "ts-parameters"})
"""Options that hold further ones for the encoder's library, in the notation of FFmpeg's dictionaries."""
PLAIN_NESTED = "x264opts"
"""The same without quotes and escapes."""

_FILE_WORDS = frozenset(
    {"csv", "dump", "save", "load", "stats", "recon", "path", "rpu", "ladder", "config", "cfg", "clbin"}
    | {"reuse", "table"}
)
"""Words in the names of libraries' options that read or write files: dump-yuv, analysis-save, fgs-table."""
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
"""Names of others. A first pass writes its figures beside the user's files, under a name of its own."""
_HARMLESS_VALUES = {
    "scaling-list": ("off", "default"),
    "film-grain": tuple(map(str, range(51))),
    "pass": ("0",),
}
"""Values of such options that name no file: x265's own matrices, and what of these names is SVT-AV1's."""
_LOOPS = re.compile(r"(?:while|taylor|root)\(")
"""Functions of FFmpeg's expressions that compute until something comes true, or a thousand times."""
_MOST = 4096
"""Characters of an option's value."""


def check_option(codec: str, key: str, value: str, *, allow_files: bool) -> None:
    """Refuse an encoder's option that names a file or may never end.

    Args:
        codec: FFmpeg's name of the encoder.
        key: Of the option.
        value: As FFmpeg reads it.
        allow_files: Whether files may be named.

    Raises:
        ConfigError: it does.
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
    """Refuse a value whose expression has a loop, or that is longer than any that makes sense.

    Raises:
        ConfigError: it has; `where` starts the message.
    """
    if len(text) > _MOST:
        raise ConfigError(f"{where}: has {len(text)} characters; {_MOST} are the most")
    bare = re.sub(r"[\s\\']", "", text)  # what FFmpeg takes away before it reads a name
    found = _LOOPS.search(bare)
    if found is not None:
        raise ConfigError(f"{where}: {found[0]}...) may compute for ever; write it without a loop")


def names_a_file(name: str, value: str) -> bool:
    """Whether an option of x264, x265 or SVT-AV1 has the library read or write a file."""
    name = name.strip().lstrip("-").replace("_", "-").lower()
    if name == "csv-log-level" or value in _HARMLESS_VALUES.get(name, ()):
        return False
    # x264 and x265 take "no-csv" and "nocsv" for csv with another value.
    forms = {name, name.removeprefix("no-"), name.removeprefix("no")}
    if any(_FILE_WORDS & set(form.split("-")) or form in _FILE_NAMES for form in forms):
        return True
    return re.search(r"(?<!pro)file", name) is not None or _is_path(name, value)


def _is_path(name: str, value: str) -> bool:
    """Whether a value can only be a file's name; fractions and lists of zones have a slash, too."""
    if name == "zones" or re.fullmatch(r"\d+(\.\d+)?/\d+(\.\d+)?", value):
        return False
    return "/" in value or "\\" in value or value.startswith("~")


def _refused(codec: str, what: str) -> ConfigError:
    return ConfigError(f"{codec}: option {what} names a file to write or read; --allow-files lets it")


def _nested(key: str, value: str) -> Iterator[tuple[str, str]]:
    """The options within an option."""
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
    """As FFmpeg's av_get_token: what stands before one of `ends`, unquoted; the rest; that end."""
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
