"""The warnings of a queue of files: each with the number of its file, and one that repeats only once."""

from __future__ import annotations

from vsr.cli import console
from vsr.cli.queue_clock import QueueClock


class QueueWarnings:
    """Shows a warning when it comes first, and counts the files for which it comes again.

    Forty discs of one kind have the same warnings, which would hide those that only one of them has.
    """

    def __init__(self, queue: QueueClock) -> None:
        self._queue = queue
        self._files: dict[str, set[int]] = {}

    def shown(self, warning: str) -> str | None:
        """Return the text of a warning with the number of its file; None if it was shown before."""
        files = self._files.setdefault(warning, set())
        is_new = not files
        files.add(self._queue.number)
        return f"[{self._queue.number}/{self._queue.count}] {warning}" if is_new else None

    def sum_up(self) -> None:
        """Say of how many files a warning is true that was shown of the first one only."""
        for text, files in self._files.items():
            if len(files) > 1:
                console.warn(f"{len(files)} of {self._queue.count} files: {text}")
