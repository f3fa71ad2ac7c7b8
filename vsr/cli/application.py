"""The commands by name. Only the one that runs is imported and built, because both take milliseconds."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.main import get_command

import vsr
from vsr.cli import console
from vsr.cli.ending import until_the_end
from vsr.cli.plain_help import plain

COMMANDS = {
    "upscale": "upscale",
    "preview": "preview",
    "info": "info",
    "train": "train",
    "finetune": "finetune",
    "verify": "verify",
    "compare": "compare",
    "evaluate": "evaluate",
    "report": "report",
    "demo": "compare",
    "doctor": "doctor",
    "bench": "bench",
    "models": "models",
}
"""The commands, in the order of `vsr --help`, and the module of `vsr.cli.commands` that has each."""
_FIRST_WORDS = """Video super-resolution that loses nothing: every frame, stream, timestamp and colour tag.

\b
vsr upscale in.mp4 out.mp4
vsr upscale rips/ --to upscaled/
vsr preview in.mp4 --model fast --model compact
vsr compare in.mp4 out.mp4 -o both.png
vsr verify in.mp4 out.mp4
vsr finetune own.mp4 --from fast -o own.safetensors
vsr doctor
"""


@cache
def built(*names: str) -> Any:
    """Return the command line with the commands that are named."""
    app = typer.Typer(
        name="vsr",
        help=_FIRST_WORDS,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name in names:
        _add(app, name)
    return plain(get_command(app))


def follows(words: Sequence[str]) -> bool:
    """Return whether torchrun started this command as one of several processes of a training, and not as the
    first, which alone prints."""
    launched = "MASTER_ADDR" in os.environ and os.environ.get("RANK", "0") != "0"
    return launched and "train" in words


def _add(app: typer.Typer, name: str) -> None:
    """Add a command, or a group of commands: what its module calls by its name."""
    found: typer.Typer | Callable[..., Any] = getattr(
        import_module(f"vsr.cli.commands.{COMMANDS[name]}"), name
    )
    if isinstance(found, typer.Typer):
        app.add_typer(found, name=name)
    else:
        app.command(name)(found)


def _version(wanted: bool) -> None:
    if wanted:
        console.out(f"vsr {vsr.__version__}")
        raise typer.Exit


def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and debug messages.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show what is decided and why, for every command.")
    ] = False,
    log_to: Annotated[
        Path | None,
        typer.Option("--log-file", metavar="FILE", help="Add everything to a log with times, too."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if log_to is not None:
        from vsr.cli.records.log_file import log_file

        until_the_end.enter_context(log_file(log_to))  # it gets the error, too
    console.configure(debug=debug, verbose=verbose)
