"""The report of a queue of files: a line of JSON for each file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from vsr.cli import console
from vsr.errors import VsrError
from vsr.media.files.stdio import is_pipe
from vsr.reading import read_file
from vsr.writing import check_writable, write_whole

if TYPE_CHECKING:
    from vsr.pipeline.queue.run import Outcome

MOST_BYTES = 2**28
"""Of a report that is continued: some ten thousand files."""


class QueueReport:
    """A line of JSON for each file, written after it, so that a queue that is stopped leaves what it did.

    The same command again adds its lines to the report that is there, which is thus the log of all of them.
    """

    def __init__(self, path: Path | None, *, overwrite: bool) -> None:
        """Read the lines that are there.

        Args:
            path: `-` is standard output; None writes nothing.
            overwrite: Whether an existing file is replaced instead of continued.

        Raises:
            ConfigError: the file exists and is no such report.
            OutputError: it cannot be written.
        """
        self._path, self._lines = path, list[str]()
        if path is not None and not is_pipe(path):
            before = None if overwrite else _lines_of_report(path)
            check_writable(path, what="--report", overwrite=overwrite or before is not None)
            self._lines += before or []

    @property
    def is_on_stdout(self) -> bool:
        """Whether standard output carries the report and nothing else."""
        return self._path is not None and is_pipe(self._path)

    def add(self, outcome: Outcome) -> None:
        """Write what became of a file."""
        line = json.dumps(outcome.as_dict(), ensure_ascii=True, default=str)
        self._lines.append(f"{line}\n")
        if self.is_on_stdout:
            console.data(line, flush=True)
        elif self._path is not None:
            write_whole(self._path, "".join(self._lines).encode())


def _lines_of_report(path: Path) -> list[str] | None:
    """Return the lines of a report of a queue; None if the file is none or cannot be read."""
    try:
        lines = read_file(path, most_bytes=MOST_BYTES).decode().splitlines(keepends=True)
        rows = [json.loads(line) for line in lines]
    except (OSError, ValueError, VsrError):
        return None
    ours = all(isinstance(row, dict) and "report_version" in row and "status" in row for row in rows)
    return lines if ours and lines and lines[-1].endswith("\n") else None
