"""Messages of the library in the words of the command: `overwrite=True` becomes --overwrite.

The library names a setting in its messages as Python has it, between backquotes: "`resume=False`", or the
name alone, "a smaller `tile`". A person at a terminal reads the flags instead. Other words between backquotes
stay as they are.
"""

from __future__ import annotations

import ast
import re
from functools import cache

_SETTING = re.compile(r"`([a-z_]+)(?:=([^`]+))?`")
_OTHER_NAMES = {"width": "--size"}
"""Keywords without a flag of their own, and the flag that sets them."""


def in_flags(message: str) -> str:
    """The message with flags in place of keywords."""
    return _SETTING.sub(_flag, message) if "`" in message else message


def _flag(found: re.Match[str]) -> str:
    name, value = found[1], found[2]
    if name not in flags():
        return found[0]
    flag, opposite = flags()[name]
    if value is None or value == "True":
        return flag
    if value == "False":
        return opposite
    return f"{flag} {_word(value)}"


def _word(text: str) -> str:
    """A value of Python as it is given to a flag."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    if isinstance(value, dict):
        return " ".join(f"{key}={item}" for key, item in value.items())
    return str(value)


@cache
def flags() -> dict[str, tuple[str, str]]:
    """For each keyword the flag of the first command that has it, and what says the opposite."""
    import typer.main

    from vsr.cli import app  # when it is needed: the commands import the console, which uses this

    commands = typer.main.get_group(app).commands.values()
    found = {name: (flag, f"no {flag}") for name, flag in _OTHER_NAMES.items()}
    for parameter in (parameter for command in commands for parameter in command.params):
        names = [word for word in parameter.opts if word.startswith("--")]
        if names and parameter.name:
            opposite = next(iter(parameter.secondary_opts), f"no {names[0]}")
            found.setdefault(parameter.name, (names[0], opposite))
    return found
