"""Checks of the file that a comparison or a preview writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vsr.errors import ConfigError
from vsr.writing import check_writable


def check_output(output: Path, inputs: Sequence[Path], *, kinds: Sequence[str], overwrite: bool) -> None:
    """Check, before the work, whether a file can be written.

    Args:
        output: Path of the future file.
        inputs: Files that must not be replaced.
        kinds: The suffixes that it may have, in lower case.
        overwrite: Whether an existing file may be replaced.

    Raises:
        ConfigError: it has another suffix, exists already, or is one of the inputs.
        OutputError: its folder is missing or cannot be written to.
    """
    if output.suffix.lower() not in kinds:
        raise ConfigError(
            f"{output} ends in none of {', '.join(kinds)}. Name a page, an image or an animation"
        )
    check_writable(output, what="", overwrite=overwrite)
    if any(path.exists() and output.exists() and output.samefile(path) for path in inputs):
        raise ConfigError(f"{output} is one of the inputs. Write to another file")
