"""All that the command prints: results on stdout, messages on stderr, one line an error, one line a warning.

What is printed may hold names and metadata of strangers' files, so nothing is printed elsewhere in vsr
(`tests/test_house.py`): here characters that would steer a terminal are escaped, C1 controls, directional
overrides and line breaks among them. What the library says of its settings is said in flags (`wording`).
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
    """Standard error; what nobody takes any more is dropped, and never ends the work that it is about."""

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):  # a reader, a terminal or a disk that is gone; a closed file
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
        """As it is now; while rich shows a live line, what it has put in its place leads back here."""
        file: TextIO = getattr(sys.stderr, "rich_proxied_file", sys.stderr)
        return file


_err = Console(file=cast(TextIO, _Messages()), highlight=False, soft_wrap=True)


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


def out(line: str, *, flush: bool = False) -> None:
    """Print a line on stdout, as a result that other programs may read."""
    print(_encodable(printable(line), sys.stdout.encoding), flush=flush)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout: aligned at a terminal, elsewhere lines with tabs, for other programs."""
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
    """Escape what is obeyed, not shown: control characters, C1 too, overrides, line breaks, stray bytes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _encodable(text: str, encoding: str | None) -> str:
    """The text with what a terminal of this encoding cannot show escaped."""
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
