"""What a field of the settings carries beside its type and default: its flag, its help and its limits."""

from __future__ import annotations

import dataclasses
import reprlib
import types
import typing
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from vsr.errors import ConfigError

InResumeKey = Literal["value", "derived", "no"]
"""`value`: a run is resumed only where the setting is the same. `derived`: the key holds what follows from
the setting, such as the hash of the weights that a model's name stands for. `no`: it does not change the
result."""

Heading = Literal["Options", "Encoding", "Input", "Computation", "Run"]
"""Where `vsr upscale --help` lists a flag; `Options` comes first and holds what most people use."""

_KEY = "setting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The facts of one setting."""

    help: str
    """A line of at most 45 characters, which a terminal of 80 columns shows beside the flag."""
    in_resume_key: InResumeKey
    flags: tuple[str, ...]
    """As `--tile`, or `--model`, `-m`; a setting without one is set by keyword or in a file only."""
    heading: Heading
    metavar: str
    """What `--help` shows for the value; empty for switches."""
    limits: tuple[float, float] | None
    """The smallest and the largest value that is possible."""
    is_time: bool
    """Whether a flag takes `h:mm:ss` as well as seconds."""
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
    """A field of a settings dataclass; see `Setting` for the arguments.

    `in_resume_key` has no default: who adds a setting decides whether it changes the result.
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
    """The settings of a dataclass or of an instance of one, by field name, in the order of the fields."""
    return {f.name: f.metadata[_KEY] for f in dataclasses.fields(kind) if _KEY in f.metadata}


def choices_of(kind: Any, name: str) -> tuple[str, ...]:
    """The words that a setting may be, the default first; empty where it may be more than some words."""
    hint = typing.get_type_hints(kind)[name]
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return next((typing.get_args(one) for one in options if typing.get_origin(one) is Literal), ())


def may_be_in_files(field: dataclasses.Field[Any]) -> bool:
    """Whether a TOML file may set a field; true for a field that is no setting."""
    return _KEY not in field.metadata or field.metadata[_KEY].in_files


def check_limits(settings: Any) -> None:
    """Refuse numbers outside their limits, which libraries could not count with.

    Raises:
        ConfigError: a number is outside its limits or not a number (NaN).
    """
    for name, facts in settings_of(settings).items():
        value = getattr(settings, name)
        if facts.limits is None or value is None:
            continue
        least, most = facts.limits
        if not least <= value <= most:  # NaN lies in no range
            shown = f"{float(value):g}" if isinstance(value, Fraction | float) else reprlib.repr(value)
            raise ConfigError(
                f"{name} {shown} is impossible; use {least:.15g} or more,"
                f" {most:.15g} at most, or leave it out"
            )
