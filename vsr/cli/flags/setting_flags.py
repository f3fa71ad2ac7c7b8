"""Creates the flags of the settings in `vsr/settings/schema.py`, and converts their values."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from fractions import Fraction
from typing import Annotated, Any, TypeVar

import typer

from vsr.cli.flags import parse
from vsr.color.spec import ColorSpec
from vsr.settings.field import Setting, choices_of, settings_of, types_of
from vsr.settings.schema import EncoderSettings, UpscaleSettings

Command = TypeVar("Command", bound=Callable[..., None])

_KINDS = (UpscaleSettings, EncoderSettings)


def added(*, after: str, without: Collection[str] = ()) -> Callable[[Command], Command]:
    """Return a decorator that adds a flag for each setting to a command with the parameter `**flags`.

    `--help` lists the flags after the command's own parameter `after`. The settings in `without` get none.
    """

    def with_flags(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True)
        kept = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        place = 1 + list(own.parameters).index(after)
        kept[place:place] = [
            _parameter(kind, name, facts) for kind, name, facts in _flagged() if name not in without
        ]
        command.__signature__ = own.replace(parameters=kept)  # type: ignore[attr-defined]
        return command

    return with_flags


def values(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the given flags to values by keyword; flags that were not given are None in `flags`.

    Raises:
        ConfigError: A text is not a valid value of its setting.
    """
    return {
        name: _value(kind, name, facts, flags[name])
        for kind, name, facts in _flagged()
        if flags.get(name) not in (None, [])
    }


def _flagged() -> Iterator[tuple[type, str, Setting]]:
    for kind in _KINDS:
        for name, facts in settings_of(kind).items():
            if facts.flags:
                yield kind, name, facts


def _parameter(kind: type, name: str, facts: Setting) -> inspect.Parameter:
    option = typer.Option(
        *facts.flags,
        metavar=facts.metavar or " ",
        help=_help(kind, name, facts),
        rich_help_panel=None if facts.heading == "Options" else facts.heading,
        show_default=False,
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[_typer_type(kind, name), option],
    )


def _help(kind: type, name: str, facts: Setting) -> str:
    choices = ", ".join(choices_of(kind, name))
    return f"{facts.help}: {choices}." if facts.help and choices else facts.help or f"{choices}."


def _type(kind: type, name: str) -> Any:
    """Return the type of a setting without None."""
    hint = types_of(kind)[name]
    options = [option for option in typing.get_args(hint) if option is not type(None)]
    return options[0] if type(None) in typing.get_args(hint) else hint


def _typer_type(kind: type, name: str) -> Any:
    """Return the type for Typer, which parses numbers and switches; other values are text."""
    found = _type(kind, name)
    if found is ColorSpec or typing.get_origin(found) is tuple:
        return list[str] | None
    return found | None if found in (int, float, bool) else str | None


def _value(kind: type, name: str, facts: Setting, given: Any) -> Any:
    found, flag = _type(kind, name), facts.flags[0]
    if choices := choices_of(kind, name):
        return parse.one_of(given, choices, option=flag)
    if facts.is_time:
        return parse.seconds(given, option=flag)
    if found is Fraction:
        return parse.number(given, option=flag)
    if found is ColorSpec:
        return dict(parse.pairs(given, option=flag, example="range=full"))
    if found == tuple[tuple[str, str], ...]:
        return dict(parse.pairs(given, option=flag, example="tune=animation"))
    if found == tuple[str, ...]:
        return [] if given == ["none"] else given  # `none` removes the filters of a pipeline file
    return given
