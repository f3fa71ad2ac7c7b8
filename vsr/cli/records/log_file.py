"""The log file of a command (`--log-file`): messages and the package's whole log, with time and level."""

from __future__ import annotations

import logging
import re
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from vsr.cli import console
from vsr.errors import ConfigError, OutputError

_BEGINNING = re.compile(rb"\d{4}-\d\d-\d\dT")
"""How each line of such a file begins, and no video does."""


@contextmanager
def log_file(path: Path) -> Generator[None, None, None]:
    """Add to a log file inside the block; `console.configure` has to follow.

    Args:
        path: A new file or one from an earlier run, which is continued.

    Raises:
        ConfigError: another kind of file has this name.
        OutputError: the file cannot be written.
    """
    handler = _opened(path)
    try:
        with console.also_to(handler):
            yield
    finally:
        with suppress(OSError, ValueError):  # what is left cannot be written either
            handler.close()


def _opened(path: Path) -> logging.Handler:
    try:
        if path.is_file() and path.stat().st_size:
            with path.open("rb") as file:
                if _BEGINNING.match(file.read(16)) is None:
                    raise ConfigError(f"--log-file {path}: exists and is no log of vsr; name another file")
        handler = _File(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OutputError(
            f"--log-file {path}: cannot be written ({error.strerror}); choose another path"
        ) from error
    handler.setFormatter(_Lines())
    return handler


class _File(logging.FileHandler):
    """A log that cannot be written any more, on a full disk, ends no run."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (a method of logging)
        if not self._failed:
            self._failed = True
            console.warn(f"--log-file {self.baseFilename}: cannot be written any more")

    _failed = False


class _Lines(logging.Formatter):
    """One line a record; characters that control a terminal are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return f"{when} {record.levelname.lower()} {record.name}: {console.printable(text)}"
