"""The log of a training run, as log messages, JSONL and TensorBoard."""

from __future__ import annotations

import errno
import importlib.util
import json
import logging
import math
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vsr.errors import OutputError
from vsr.system.files import open_to_append

logger = logging.getLogger(__name__)


class Journal:
    """The log of a run; call `close` at the end."""

    def __init__(self, output: Path) -> None:
        """Log to files beside `output`: `.jsonl`, and the folder
        `.tensorboard` if that package is installed."""
        self.path = output.with_suffix(".jsonl")
        self._board = _board(output.with_suffix(".tensorboard"))

    def write(self, step: int, seconds: float, figures: Mapping[str, float]) -> None:
        """Add the results of a validation.

        Raises:
            OutputError: The file cannot be written.
        """
        row = {"step": step, "seconds": round(seconds, 1), **{k: _short(v) for k, v in figures.items()}}
        logger.info(", ".join(f"{key} {value}" for key, value in row.items()))
        try:
            with os.fdopen(_opened(self.path), "w", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written ({error})") from error
        for name, value in figures.items():
            if self._board is not None and math.isfinite(value):
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Close the TensorBoard file."""
        if self._board is not None:
            self._board.close()


def _opened(path: Path) -> int:
    """Open a log for appending, but not through a symbolic link, which could modify another file.

    Raises:
        OSError: It is a link or no regular file, or cannot be opened.
    """
    handle = open_to_append(path)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EEXIST, "the existing file is not a regular file")
    return handle


def _board(folder: Path) -> Any:
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))


def _short(value: float) -> float | None:
    """Round to six digits; None for NaN, which JSON does not have."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each term over the steps in which it is finite."""
    names = dict.fromkeys(name for row in rows for name in row)
    finite = {name: [row[name] for row in rows if name in row and math.isfinite(row[name])] for name in names}
    return {name: sum(values) / len(values) for name, values in finite.items() if values}
