"""What a person reads, all of it on stderr: one line an error, one line a warning, and nothing when quiet."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress

from rich.console import Console
from rich.text import Text

_err = Console(stderr=True, highlight=False, soft_wrap=True)


def stderr() -> Console:
    """The console on stderr, shared by messages and the live line, so that neither overwrites the other."""
    return _err


def configure(*, debug: bool = False, quiet: bool = False) -> None:
    """Send the package's log to stderr: warnings and worse, all with `debug`, only errors when `quiet`."""
    root = logging.getLogger("vsr")
    root.handlers[:] = [_Handler()]
    root.propagate = False
    root.setLevel(logging.DEBUG if debug else logging.ERROR if quiet else logging.WARNING)


def debugging() -> bool:
    """Whether --debug was given."""
    return logging.getLogger("vsr").level == logging.DEBUG


def say(message: str) -> None:
    """A line for people."""
    _print(Text(f"vsr: {_printable(message)}"))


def warn(message: str) -> None:
    """A line about something that the user should know and that does not stop the run."""
    _print(Text.assemble(("vsr: warning: ", "yellow"), _printable(message)))


def error(message: str) -> None:
    """The one line that an error is."""
    _print(Text.assemble(("vsr: error: ", "bold red"), _printable(message)))


def _print(text: Text) -> None:
    with suppress(OSError):  # a terminal that went away is no reason to stop a film
        _err.print(text)


def _printable(message: str) -> str:
    """Control characters of file names and metadata must not steer the terminal."""
    clean = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)
    return clean.encode(sys.stderr.encoding or "utf-8", "backslashreplace").decode(
        sys.stderr.encoding or "utf-8"
    )


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            _err.print_exception()
        elif record.levelno >= logging.ERROR:
            error(record.getMessage())
        elif record.levelno >= logging.WARNING:
            warn(record.getMessage())
        else:
            say(record.getMessage())
