"""Replaces keywords in messages of the library by flags of the command: `overwrite=True` becomes --overwrite.

The library names settings in its messages as Python keywords in backquotes: "`resume=False`", or the
name alone, "a smaller `tile`". The command line shows flags instead. Other words in backquotes do not
change.
"""

from __future__ import annotations

import ast
import re
from functools import cache

_SETTING = re.compile(r"`([a-z_]+)(?:=([^`]+))?`")
_OTHER_NAMES = {"width": "--size"}
"""Keywords without a flag of their own, and the flag that sets them."""


def in_flags(message: str) -> str:
    """Return the message with flags in place of keywords."""
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
    """Convert a Python value to the text of a flag."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    if isinstance(value, dict):
        return " ".join(f"{key}={item}" for key, item in value.items())
    return str(value)


@cache
def flags() -> dict[str, tuple[str, str]]:
    """Return for each keyword the flag of the first command that has it, and the text for its opposite."""
    # imported here, because the commands import the console, which uses this module
    from vsr.cli import every_command

    found = {name: (flag, f"no {flag}") for name, flag in _OTHER_NAMES.items()}
    for parameter in (parameter for command in every_command() for parameter in command.params):
        names = [word for word in parameter.opts if word.startswith("--")]
        if names and parameter.name:
            opposite = next(iter(parameter.secondary_opts), f"no {names[0]}")
            found.setdefault(parameter.name, (names[0], opposite))
    return found
