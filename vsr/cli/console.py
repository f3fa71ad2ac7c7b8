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
import threading
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
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


Divert = Callable[[str, str], None]
"""Takes a message instead of the terminal: `message`, `warning`, `error` or `output`, and its text."""
_diverts: list[Divert] = []


@contextmanager
def diverted(to: Divert) -> Generator[None, None, None]:
    """Give all messages to a function inside the block, and print none of them."""
    _diverts.append(to)
    try:
        yield
    finally:
        _diverts.pop()


_changes: list[Callable[[str], str | None]] = []


@contextmanager
def changed_warnings(change: Callable[[str], str | None]) -> Generator[None, None, None]:
    """Show what `change` makes of each warning inside the block, and nothing if that is None. Log files get
    all of them."""
    _changes.append(change)
    try:
        yield
    finally:
        _changes.pop()


def is_diverted() -> bool:
    """Return whether messages go to a function; then only `raw_line` and `data` print."""
    return bool(_diverts)


def raw_line(line: str) -> None:
    """Write a line of printable ASCII to stderr at once, and nothing of another thread within it."""
    with _whole_line:
        stream = cast(TextIO, _err.file)
        stream.write(f"{line}\n")
        stream.flush()


_whole_line = threading.Lock()


def stderr() -> Console:
    """Return the console on stderr, which messages and the live line share
    so that neither overwrites the other."""
    return _err


def configure(*, debug: bool = False, quiet: bool = False, verbose: bool = False) -> None:
    """Send the package's log to stderr: warnings and errors, everything with `debug` or `verbose`, only
    errors with `quiet`. A log file that was added with `also_to` is kept, and gets everything."""
    global _debugging
    _debugging = debug
    root = logging.getLogger("vsr")
    shown = _Handler(logging.DEBUG if debug or verbose else logging.ERROR if quiet else logging.WARNING)
    root.handlers[:] = [shown, *_files]
    root.propagate = False
    root.setLevel(logging.DEBUG if _files else shown.threshold)


_debugging = False
_files: list[logging.Handler] = []
"""Handlers of log files, which get messages to the user, too."""


@contextmanager
def also_to(file: logging.Handler) -> Generator[None, None, None]:
    """Send the log and all messages to a handler, too, inside the block; `configure` has to follow."""
    _files.append(file)
    try:
        yield
    finally:
        _files.remove(file)
        logging.getLogger("vsr").removeHandler(file)


def only_errors() -> None:
    """Print only errors from now on: the same command runs in other processes, and one of them prints."""
    global _shown
    _shown = frozenset({"error"})


def show_information(name: str) -> None:
    """Show also what a part of the package logs at the level INFO."""
    logger = logging.getLogger(name)
    if not logger.isEnabledFor(logging.INFO):
        logger.setLevel(logging.INFO)
    for handler in logging.getLogger("vsr").handlers:
        if isinstance(handler, _Handler):
            handler.informative = name


def debugging() -> bool:
    """Return whether --debug was given."""
    return _debugging


def say(message: str) -> None:
    """Print a message on stderr."""
    _note(logging.INFO, message)
    _show("message", message)


def warn(message: str) -> None:
    """Print a warning on stderr, in one line."""
    _note(logging.WARNING, message)
    _show("warning", message)


def error(message: str) -> None:
    """Print an error on stderr, in one line."""
    _note(logging.ERROR, message)
    _show("error", message)


def _note(level: int, message: str) -> None:
    """Write a message into the log files."""
    for file in _files:
        file.handle(logging.LogRecord("vsr", level, "", 0, in_flags(message), None, None))


_STYLES = {"message": "", "warning": "yellow", "error": "bold red"}
_shown = frozenset({*_STYLES, "output"})
"""The kinds of messages that are printed."""


def _show(kind: str, message: str) -> None:
    if kind not in _shown:
        return
    if _diverts:
        _diverts[-1](kind, in_flags(message))
        return
    if kind == "warning" and _changes:
        changed = _changes[-1](message)
        if changed is None:
            return
        message = changed
    head = "vsr: " if kind == "message" else f"vsr: {kind}: "
    _print(Text.assemble((head, _STYLES[kind]), _printable(message)))


def out(line: str, *, flush: bool = False) -> None:
    """Print a line on stdout, as a result that other programs may read."""
    if "output" not in _shown:
        return
    if _diverts:
        _diverts[-1]("output", line)
        return
    data(line, flush=flush)


def data(line: str, *, flush: bool = False) -> None:
    """Print a line on stdout that a user asked to have there, whatever becomes of other messages."""
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
    """Shows records of the package's log as messages."""

    informative = "-"
    """Name of the part of the package whose records of the level INFO are shown, too."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Show a record of the handler's level, or of the part that is shown in more detail."""
        return self._is_wanted(record) and bool(super().handle(record))

    def _is_wanted(self, record: logging.LogRecord) -> bool:
        is_informative = record.name.startswith(self.informative) and record.levelno >= logging.INFO
        return record.levelno >= self.threshold or is_informative

    def __init__(self, threshold: int) -> None:
        super().__init__()
        self.threshold = threshold

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            for line in "".join(traceback.format_exception(record.exc_info[1])).splitlines():
                _diverts[-1]("message", line) if _diverts else _print(Text(_printable(line)))
        elif record.levelno >= logging.ERROR:
            _show("error", record.getMessage())
        elif record.levelno >= logging.WARNING:
            _show("warning", record.getMessage())
        else:
            _show("message", record.getMessage())
