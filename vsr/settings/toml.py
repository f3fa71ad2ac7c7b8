"""Reads TOML files strictly into frozen dataclasses: an unknown key or a wrong type is an error."""

from __future__ import annotations

import re
import reprlib
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeVar

from vsr.errors import ConfigError
from vsr.reading import read_file
from vsr.settings.field import may_be_in_files, out_of_range, settings_of

T = TypeVar("T")

MAX_TOML_BYTES = 2**20
"""Largest size of a pipeline or a recipe; the longest one in the package has 4 kB."""


def read_toml(path: Path, kind: type[T]) -> T:
    """Read a TOML file into a frozen dataclass; tables become nested dataclasses.

    Raises:
        ConfigError: the file cannot be read, or a key is unknown or of the wrong type.
    """
    return from_table(read_table(path), kind, where=path.name)


def read_table(path: Path) -> dict[str, Any]:
    """Read a TOML file as a dict.

    Raises:
        ConfigError: the file is not a regular file, is too large, or is not valid TOML.
    """
    try:
        return tomllib.loads(read_file(path, most_bytes=MAX_TOML_BYTES).decode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error}); give a TOML file") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: cannot be read as TOML (nested too deeply)") from error
    except ValueError as error:  # tomllib's own error, or text that is not UTF-8
        raise ConfigError(f"{path}: cannot be read as TOML ({error})") from error


def from_table(table: Mapping[str, Any], kind: type[T], *, where: str) -> T:
    """Build `kind` from a mapping, refusing unknown keys.

    Args:
        table: Values by field name, as TOML has them.
        kind: A dataclass; its fields may be dataclasses.
        where: The start of an error message: the file, or the file and the table.

    Raises:
        ConfigError: a key is unknown, or a value has the wrong type or is out of range; the message has the
            key as in the file.
    """
    assert is_dataclass(kind)
    hints = typing.get_type_hints(kind)
    known = {f.name: may_be_in_files(f) for f in fields(kind)}
    for key in table:
        if key not in known:
            names = ", ".join(sorted(name for name, in_files in known.items() if in_files))
            raise ConfigError(f"{where}: unknown key {reprlib.repr(key)}; known keys are {names}")
    values = {key: typed(value, hints[key], where=_inside(where, key)) for key, value in table.items()}
    for name, facts in settings_of(kind).items():
        wrong = out_of_range(facts, values.get(name))
        if wrong is not None:
            raise ConfigError(f"{_inside(where, name)}: {wrong}")
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from error


def _inside(where: str, key: str) -> str:
    """Name a key of a table: `mine.toml.color.range`, or with the keyword of the table, "`color` range"."""
    return f"{where} {key}" if where.endswith("`") else f"{where}.{key}"


def typed(value: Any, hint: Any, *, where: str) -> Any:
    """Return a value of a TOML file as the type that a field has.

    Raises:
        ConfigError: it has another type; the message begins with `where`.
    """
    options = typing.get_args(hint) if _is_union(hint) else (hint,)
    for option in options:
        made = _as(value, option, where=where)
        if made is not _NO:
            return made
    raise ConfigError(f"{where}: {reprlib.repr(value)} is not {_words(hint)}")


_NO: Any = object()
_KINDS: Mapping[Any, str] = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Fraction: "a number, such as 2, 1.5 or 3/2, of a moderate size",
    tuple: "a list, or a table of pairs",
}
"""Names of types in messages; that of other ones is a table."""


def _as(value: Any, hint: Any, *, where: str) -> Any:
    """Return `value` converted to the type `hint`, or `_NO` if it does not fit."""
    origin = typing.get_origin(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        return from_table(value, hint, where=where) if isinstance(value, Mapping) else _NO
    if origin is Literal:
        return value if value in typing.get_args(hint) else _NO
    if origin is tuple:
        return _as_tuple(value, typing.get_args(hint), where=where)
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return _as_member(value, hint)
    if hint is Fraction:
        return _as_fraction(value)
    if hint is float:
        return _as_float(value)
    if hint is int:
        return value if isinstance(value, int) and not isinstance(value, bool) else _NO
    return value if isinstance(hint, type) and isinstance(value, hint) else _NO


def _as_float(value: Any) -> Any:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return _NO
    try:
        return float(value)
    except OverflowError:
        return _NO


def _as_tuple(value: Any, parts: tuple[Any, ...], *, where: str) -> Any:
    if isinstance(value, Mapping):  # a table for pairs: options = {tune = "animation"}
        text = typing.get_args(parts[0])[-1:] == (str,)
        value = [[key, str(item) if text else item] for key, item in value.items()]
    if not isinstance(value, list):
        return _NO
    if len(parts) == 2 and parts[1] is Ellipsis:
        return tuple(typed(item, parts[0], where=f"{where}[{i}]") for i, item in enumerate(value))
    if len(value) != len(parts):
        return _NO
    return tuple(
        typed(v, p, where=f"{where}[{i}]") for i, (v, p) in enumerate(zip(value, parts, strict=True))
    )


def _as_member(value: Any, kind: type[IntEnum]) -> Any:
    """Return the member of an enum by its name, in upper or lower case, or by its number."""
    if isinstance(value, str) and value.upper() in kind.__members__:
        return kind[value.upper()]
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    known = isinstance(number, int) and not isinstance(number, bool) and number in set(kind)
    return kind(number) if known else _NO


def _as_fraction(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return _NO
    found = as_fraction(str(value))
    return _NO if found is None else found


_NUMBER = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})(e[+-]?\d{1,2})?|[+-]?\d{1,30}/\d{1,30}", re.I)


def as_fraction(text: str) -> Fraction | None:
    """Return the exact value of a text such as `2`, `1.5`, `1e-3` or `3/2`; None if it is not a number or has
    too many digits.
    """
    text = text.strip()
    if _NUMBER.fullmatch(text) is None:
        return None
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):  # digits of other scripts; a denominator of zero
        return None


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _words(hint: Any) -> str:
    options = [o for o in (typing.get_args(hint) if _is_union(hint) else (hint,)) if o is not type(None)]
    words = []
    for option in options:
        if typing.get_origin(option) is Literal:
            words.append("one of " + ", ".join(map(str, typing.get_args(option))))
        elif isinstance(option, type) and issubclass(option, IntEnum):
            words.append("one of " + ", ".join(name.lower() for name in option.__members__))
        else:
            words.append(_KINDS.get(typing.get_origin(option) or option, "a table"))
    return " or ".join(words)
