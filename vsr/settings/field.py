"""Metadata of a settings field in addition to its type and default: its flag, its help and its limits."""

from __future__ import annotations

import dataclasses
import reprlib
import types
import typing
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any, Literal

from vsr.errors import ConfigError

InResumeKey = Literal["value", "derived", "no"]
"""`value`: a run is resumed only if the setting has the same value. `derived`: the key contains what follows
from the setting, such as the hash of a model's weights instead of its name. `no`: the setting does not change
the result."""

Heading = Literal["Options", "Encoding", "Input", "Computation", "Run"]
"""The heading under which `vsr upscale --help` lists a flag. `Options` is the first and has the usual
flags."""

_KEY = "setting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The facts of one setting."""

    help: str
    """A line of at most 45 characters, which a terminal of 80 columns shows beside the flag."""
    in_resume_key: InResumeKey
    flags: tuple[str, ...]
    """Such as `--tile`, or `--model` and `-m`. A setting without a flag is set by keyword or in a file
    only."""
    heading: Heading
    metavar: str
    """What `--help` shows for the value; empty for switches."""
    limits: tuple[float, float] | None
    """The smallest and the largest permitted value."""
    is_time: bool
    """Whether the flag accepts `h:mm:ss` as well as seconds."""
    in_files: bool
    """Whether a pipeline file may set it."""


def setting(
    default: Any,
    *,
    help: str,
    in_resume_key: InResumeKey,
    flags: tuple[str, ...] = (),
    heading: Heading = "Options",
    metavar: str = "",
    limits: tuple[float, float] | None = None,
    is_time: bool = False,
    in_files: bool = True,
) -> Any:
    """Return a field for a settings dataclass; see `Setting` for the arguments.

    `in_resume_key` has no default, so that everyone who adds a setting decides whether it changes the result.
    """
    facts = Setting(
        help=help,
        in_resume_key=in_resume_key,
        flags=flags,
        heading=heading,
        metavar=metavar,
        limits=limits,
        is_time=is_time,
        in_files=in_files,
    )
    return dataclasses.field(default=default, metadata={_KEY: facts})


def settings_of(kind: Any) -> dict[str, Setting]:
    """Return the settings of a dataclass or an instance, by field name, in the order of the fields."""
    return {f.name: f.metadata[_KEY] for f in dataclasses.fields(kind) if _KEY in f.metadata}


@cache
def types_of(kind: Any) -> dict[str, Any]:
    """Return the types of a dataclass's fields, by name. Python evaluates them from text, which takes
    milliseconds.
    """
    return typing.get_type_hints(kind)


def choices_of(kind: Any, name: str) -> tuple[str, ...]:
    """Return the permitted words of a setting, the default first; empty if other values are permitted,
    too.
    """
    hint = types_of(kind)[name]
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return next((typing.get_args(one) for one in options if typing.get_origin(one) is Literal), ())


def may_be_in_files(field: dataclasses.Field[Any]) -> bool:
    """Return whether a TOML file may set a field; True for a field that is not a setting."""
    return _KEY not in field.metadata or field.metadata[_KEY].in_files


def check_limits(settings: Any) -> None:
    """Check that all numbers are within their limits; libraries cannot represent much larger ones.

    Raises:
        ConfigError: a number is outside its limits or not a number (NaN).
    """
    for name, facts in settings_of(settings).items():
        wrong = out_of_range(facts, getattr(settings, name))
        if wrong is not None:
            raise ConfigError(f"`{name}` {wrong}")


def out_of_range(facts: Setting, value: Any) -> str | None:
    """Return the words for a number outside the limits of its setting, or NaN; None for any other value."""
    if facts.limits is None or value is None:
        return None
    least, most = facts.limits
    if least <= value <= most:  # False for NaN
        return None
    shown = f"{float(value):g}" if isinstance(value, Fraction | float) else reprlib.repr(value)
    return f"{shown} is out of range; use {least:.15g} to {most:.15g}, or leave it out"
