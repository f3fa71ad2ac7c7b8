"""Shows in `--help` what a reader writes after a flag, such as NUMBER or FILE, and not a type of Python.

Typer shows `<int>`, `<Path>`, `<bool>` and `<list[Path]>`. Older
versions have no `display_type` and show words in capitals.
"""

from __future__ import annotations

from typing import Any

_WORDS = {"<int": "NUMBER", "<float": "NUMBER", "<str": "TEXT"}
"""What stands for a value, by the beginning of Typer's word for its type; other values are files."""


def plain(command: Any) -> Any:
    """Return a command, or a group of commands, that shows its values in plain words."""
    for parameter in command.params:
        _show_plainly(parameter)
    original = command.get_help_option

    def get_help_option(context: Any) -> Any:
        option = original(context)
        if option is not None:
            _show_plainly(option)
        return option

    command.get_help_option = get_help_option
    for inner in getattr(command, "commands", {}).values():
        plain(inner)
    return command


def _show_plainly(parameter: Any) -> None:
    original = getattr(parameter, "display_type", None)
    if original is None:
        return

    def display_type(context: Any) -> str | None:
        if parameter.param_type_name == "argument" or parameter.is_flag:
            return None  # the name of an argument says what it is, and a switch has no value
        shown = str(original(context) or "")
        return next((word for start, word in _WORDS.items() if shown.startswith(start)), "FILE")

    parameter.display_type = display_type
