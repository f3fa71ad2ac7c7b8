"""Writes the page about all commands, commands.md, from the command line itself: `python docs/commands.py`.

A test fails where the page is not what this writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vsr.cli.application import COMMANDS, built

PAGE = Path(__file__).parent / "commands.md"
HEAD = """# Commands

`vsr COMMAND --help` prints these tables. `vsr FILE ...` is short for `vsr upscale FILE ...`.
[settings.md](settings.md) has the full meaning of each setting of `vsr upscale`, with its keyword and its
key in a preset file. This page is written by `python docs/commands.py`.
"""
DEFAULT_HEADING = "Options"


def page() -> str:
    """Return the page: the flags of all commands, then a section for each command."""
    group: Any = built(*COMMANDS)
    sections = [_options("For every command", 2, [p for p in group.params if "--version" not in p.opts])]
    for name, command in group.commands.items():
        sections += _sections(f"vsr {name}", command, 2)
    return HEAD + "".join(sections)


def _sections(name: str, command: Any, level: int) -> list[str]:
    """Return the text of a command; of a group, also those of the commands in it, one level deeper."""
    head = f"\n{'#' * level} {name}\n\n{_help(command.help or '')}"
    inner = getattr(command, "commands", {})
    if inner:
        return [head, *(s for key, one in inner.items() for s in _sections(f"{name} {key}", one, level + 1))]
    usage = " ".join([name, *map(_argument, _of(command, "argument")), "[OPTIONS]"])
    return [head, f"\n```text\n{usage}\n```\n", *_tables(command, level)]


def _tables(command: Any, level: int) -> list[str]:
    """Return the arguments, then a table for each heading of `--help`, the usual options first."""
    arguments = [f"- `{_argument(one)}`: {one.help}\n" for one in _of(command, "argument") if one.help]
    tables = ["\n" + "".join(arguments)] if arguments else []
    headings: dict[str, list[Any]] = {DEFAULT_HEADING: []}
    for option in _of(command, "option"):
        headings.setdefault(option.rich_help_panel or DEFAULT_HEADING, []).append(option)
    return tables + [_options(title, level + 1, options) for title, options in headings.items() if options]


def _of(command: Any, kind: str) -> list[Any]:
    return [one for one in command.params if one.param_type_name == kind and not one.hidden]


def _options(heading: str, level: int, options: list[Any]) -> str:
    rows = "".join(f"| {_flags(one)} | {_value(one)} | {_cell(one.help or '')} |\n" for one in options)
    return f"\n{'#' * level} {heading}\n\n| flag | value | meaning |\n| --- | --- | --- |\n{rows}"


def _flags(option: Any) -> str:
    return ", ".join(f"`{flag}`" for flag in [*option.opts, *option.secondary_opts])


def _value(option: Any) -> str:
    """Return what is written after the flag, and the default; nothing for a switch."""
    if option.is_flag:
        return ""
    name = (option.metavar or option.name.upper().replace("_", "-")).strip()
    default = f"{option.default:g}" if isinstance(option.default, float) else option.default
    shown = "" if default in (None, "", [], ()) or callable(default) else f", default `{default}`"
    return _cell(f"`{name}`{shown}" + (", required" if option.required else ""))


def _argument(argument: Any) -> str:
    if argument.metavar:
        return str(argument.metavar)
    name = argument.name.upper() + ("" if argument.nargs == 1 else "...")
    return name if argument.required else f"[{name}]"


def _help(text: str) -> str:
    """Return the help of a command in Markdown: a block that Click must not wrap is a block of code."""
    paragraphs = text.strip().split("\n\n")
    return "\n".join(
        _block(one) if one.startswith("\b") else f"{' '.join(one.split())}\n" for one in paragraphs
    )


def _block(text: str) -> str:
    return "```sh\n" + text.lstrip("\b").strip("\n") + "\n```\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
