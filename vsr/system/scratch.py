"""Folders for temporary files that nobody needs after the process; an unusable TMPDIR is one clear error."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from vsr.errors import OutputError


@contextmanager
def scratch_folder(prefix: str) -> Generator[Path, None, None]:
    """Yield a new folder, which is removed at the end.

    Raises:
        OutputError: there is no folder for temporary files that can be written to.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
    except OSError as error:
        raise _unusable(error) from error
    with folder as name:
        yield Path(name)


def new_scratch_folder(prefix: str) -> Path:
    """Return a new folder, which the caller removes; raises `OutputError` as `scratch_folder`."""
    try:
        return Path(tempfile.mkdtemp(prefix=prefix))
    except OSError as error:
        raise _unusable(error) from error


def scratch_file() -> BinaryIO:
    """Return a new file without a name; raises `OutputError` as `scratch_folder`."""
    try:
        return cast(BinaryIO, tempfile.TemporaryFile(prefix="vsr-"))
    except OSError as error:
        raise _unusable(error) from error


def _unusable(error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(
        f"no folder for temporary files can be used ({reason}); make room, or set TMPDIR to another folder"
    )
