"""The command line, one file a command. Only the command that runs is imported, and only commands import
torch, so that `--help` stays fast.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import vsr
from vsr.cli import console
from vsr.cli.application import COMMANDS, built, follows
from vsr.cli.ending import until_the_end
from vsr.cli.interruption import signals
from vsr.cli.records import events
from vsr.cli.wording import in_flags
from vsr.engine.allocator import keep_freed_memory
from vsr.errors import ConfigError, DeviceMemoryError, ReaderGoneError, VsrError
from vsr.system.stopping import reader_is_gone

_ANYWHERE = {"-v": 0, "--verbose": 0, "--debug": 0, "--log-file": 1}
"""Flags of all commands, which may stand before or after the command's name, and their numbers of values."""


def _in_front(words: list[str]) -> list[str]:
    """Return the words with the flags of all commands before the command's name."""
    ours, rest, at = list[str](), list[str](), 0
    while at < len(words) and words[at] != "--":
        flag = words[at].partition("=")[0]
        values = 0 if "=" in words[at] else _ANYWHERE.get(flag, 0)
        (ours if flag in _ANYWHERE else rest).extend(words[at : at + 1 + values])
        at += 1 + values
    return [*ours, *rest, *words[at:]]


def every_command() -> list[Any]:
    """Return all commands, built; it takes a fifth of a second."""
    return list(built(*COMMANDS).commands.values())


def main() -> None:
    """Run the command line; every error becomes one line and an exit code (see docs/architecture.md)."""
    keep_freed_memory()
    if sys.platform == "darwin":  # torch reads it once, when it is imported: the CPU does what Metal cannot
        os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    words = sys.argv[1:]
    if follows(words):
        console.only_errors()
    told = events.asked_for(words) and not follows(words)
    with events.installed(words, vsr.__version__) if told else nullcontext():
        with until_the_end, signals.installed():
            code = _exit_code()
        events.end(code)
    sys.exit(code)


def _exit_code() -> int:
    try:
        words = _in_front(_with_command(sys.argv[1:]))
        code = built(*_needed(words))(words, standalone_mode=False) or 0
        return code if _flushed() else _gone()
    except SystemExit as stop:  # Typer's reaction to a broken pipe
        return _gone() if isinstance(stop.__context__, BrokenPipeError) else int(stop.code or 0)
    except ReaderGoneError:
        return _gone()
    except VsrError as error:
        return _fail(str(error), error.exit_code)
    except MemoryError:
        return _fail(
            "out of memory. Close other programs, or use a smaller --tile", DeviceMemoryError.exit_code
        )
    except signals.Stopped as stop:
        console.say(f"stopped by {stop.name}; {stop.left}")
        events.result(message=in_flags(stop.left))
        return stop.exit_code
    except BrokenPipeError:
        return _gone()
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return _fail("too many files are open. Raise the limit with ulimit -n", 1)
        if hasattr(error, "format_message"):  # an error of Typer or Click: a wrong flag or argument
            if not error.format_message():  # a command without arguments has printed its help
                return ConfigError.exit_code
            what = str(error.format_message()).removesuffix(".")
            joint = "" if what.endswith("?") else ";"
            return _fail(f"{what}{joint} see {_command_of(error)} --help", ConfigError.exit_code)
        return _fail(f"internal error: {type(error).__name__}: {error}. --debug shows a traceback", 1)


def _needed(words: list[str]) -> Iterable[str]:
    """Return the names of the commands that must be built for these arguments."""
    name = next((word for word in words if not word.startswith("-")), "")
    if name in COMMANDS:
        return (name,)
    return () if "--version" in words else COMMANDS


def _command_of(error: Exception) -> str:
    """Return the command of a usage error, as it is typed."""
    context = getattr(error, "ctx", None)
    return "vsr" if context is None else " ".join(["vsr", *context.command_path.split()[1:]])


def _flushed() -> bool:
    """Return whether the reader got all output; at exit, nothing would catch a broken pipe."""
    try:
        sys.stdout.flush()
    except OSError as error:
        if not reader_is_gone(error):
            raise
        return False
    return True


def _with_command(words: list[str]) -> list[str]:
    """Return the arguments with the command `upscale` before them if they begin with a file, or with what is
    meant as one: `vsr FILE...`.
    """
    if words and words[0] not in COMMANDS and not words[0].startswith("-") and _is_input(words):
        return ["upscale", *words]
    return words


def _is_input(words: list[str]) -> bool:
    """Return whether the first word is a file, has a file's name, or is a part of one with spaces."""
    from vsr.media.pictures.kinds import SUFFIXES
    from vsr.media.remote.places import is_url
    from vsr.pipeline.queue.inputs import VIDEO_SUFFIXES, exists

    first = words[0]
    if is_url(first) or exists(Path(first)) or Path(first).suffix.lower() in VIDEO_SUFFIXES | SUFFIXES:
        return True
    return any(exists(Path(" ".join(words[:count]))) for count in range(2, len(words) + 1))


def _gone() -> int:
    """Handle a closed stdout; the replacement prevents another error when Python flushes it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return ReaderGoneError.exit_code


def _fail(message: str, exit_code: int) -> int:
    console.error(message)
    if console.debugging():
        logging.getLogger("vsr").error("traceback", exc_info=True)
    return exit_code
