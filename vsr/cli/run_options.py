"""What `vsr upscale` does besides its settings: what it replaces, what it prints, where its report goes."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from vsr.media.remote.places import without_credentials


def _command() -> list[str]:
    return ["vsr", *map(without_credentials, sys.argv[1:])]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The options of one call of the command."""

    overwrite: bool = False
    """Whether existing files are replaced."""
    quiet: bool = False
    """Whether only errors and damage of the source are printed."""
    patience: float = 30.0
    """Minutes without progress after which the process ends; 0 waits forever."""
    report: Path | None = None
    """Where the report goes; `-` is standard output."""
    command: list[str] = field(default_factory=_command)
    """The words of the command line, for the report."""
