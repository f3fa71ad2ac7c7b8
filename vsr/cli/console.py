"""Everything that the command prints: results on stdout, messages on stderr, one line each.

The text can contain names and metadata of untrusted files, so nothing else in vsr
prints (`tests/test_house.py`). This module escapes characters that control a
terminal, such as C1 controls, directional overrides and line breaks. It also replaces
keywords in messages of the library by flags (`wording`).
"""

from __future__ import annotations

import io
import logging
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO, cast

from rich.console import Console
from rich.text import Text

from vsr.cli.wording import in_flags


class _Messages(io.TextIOBase):
    """Standard error; text that cannot be written is dropped, and never ends the run."""

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):  # the reader, terminal or disk is gone, or the file is closed
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._file.flush()

    def isatty(self) -> bool:
        return self._file.isatty()

    def fileno(self) -> int:
        return self._file.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._file.encoding

    @property
    def _file(self) -> TextIO:
        """Return the current stderr; while rich shows a live line, its replacement would lead back here."""
        file: TextIO = getattr(sys.stderr, "rich_proxied_file", sys.stderr)
        return file


_err = Console(file=cast(TextIO, _Messages()), highlight=False, soft_wrap=True)


def stderr() -> Console:
    """Return the console on stderr, which messages and the live line share
    so that neither overwrites the other."""
    return _err


def configure(*, debug: bool = False, quiet: bool = False) -> None:
    """Send the package's log to stderr: warnings and errors, everything
    with `debug`, only errors with `quiet`."""
    root = logging.getLogger("vsr")
    root.handlers[:] = [_Handler()]
    root.propagate = False
    root.setLevel(logging.DEBUG if debug else logging.ERROR if quiet else logging.WARNING)


def debugging() -> bool:
    """Return whether --debug was given."""
    return logging.getLogger("vsr").level == logging.DEBUG


def say(message: str) -> None:
    """Print a message on stderr."""
    _print(Text(f"vsr: {_printable(message)}"))


def warn(message: str) -> None:
    """Print a warning on stderr, in one line."""
    _print(Text.assemble(("vsr: warning: ", "yellow"), _printable(message)))


def error(message: str) -> None:
    """Print an error on stderr, in one line."""
    _print(Text.assemble(("vsr: error: ", "bold red"), _printable(message)))


def out(line: str, *, flush: bool = False) -> None:
    """Print a line on stdout, as a result that other programs may read."""
    print(_encodable(printable(line), sys.stdout.encoding), flush=flush)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout: aligned on a terminal, otherwise separated by tabs for other programs."""
    console = Console()
    if not console.is_terminal:
        for row in (heads, *rows):
            print(_encodable("\t".join(printable(cell) for cell in row), sys.stdout.encoding))
        return
    from rich.table import Table

    shown = Table(box=None, header_style="bold")
    for head in heads:
        shown.add_column(head, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(printable(cell)) for cell in row))
    console.print(shown)


def _print(text: Text) -> None:
    _err.print(text)


def _printable(message: str) -> str:
    return _encodable(printable(in_flags(message)), sys.stderr.encoding)


def printable(text: str) -> str:
    """Escape characters that are not printable: control characters,
    C1, overrides, line breaks, stray bytes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _encodable(text: str, encoding: str | None) -> str:
    """Escape characters that the terminal's encoding does not have."""
    name = encoding or "utf-8"
    return text.encode(name, "backslashreplace").decode(name)


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            for line in "".join(traceback.format_exception(record.exc_info[1])).splitlines():
                _print(Text(_printable(line)))
        elif record.levelno >= logging.ERROR:
            error(record.getMessage())
        elif record.levelno >= logging.WARNING:
            warn(record.getMessage())
        else:
            say(record.getMessage())
