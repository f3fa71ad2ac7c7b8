"""What `vsr upscale` does besides its settings: what it replaces, what it prints, where its report goes."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from vsr.cli.flags import parse
from vsr.media.remote.places import without_credentials

ProgressKind = Literal["auto", "plain", "none", "json"]
"""`auto` is a live line on a terminal and else `plain`: a line every ten seconds."""
PROGRESS_KINDS: tuple[ProgressKind, ...] = get_args(ProgressKind)


PREVIEW = ".preview.png"
"""What the name of a picture of before and after ends with."""


def progress_kind(text: str, *, quiet: bool = False) -> ProgressKind:
    """Return the kind that `--progress` names; none with --quiet, except objects for programs.

    Raises:
        ConfigError: there is no such kind.
    """
    kind: ProgressKind = parse.one_of(text, PROGRESS_KINDS, option="--progress")
    return "none" if quiet and kind != "json" else kind


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
    preview_every: int | None = None
    """Numbers of frames between two pictures of before and after; None makes none."""
    preview: Path | None = None
    """Where the picture goes; None is beside the result, with its name and `PREVIEW`."""
    pictures: str = ""
    """The name of the pictures, if the result is a hidden video of which they are made."""
    progress: ProgressKind = "auto"
    """How progress is shown."""
    command: list[str] = field(default_factory=_command)
    """The words of the command line, for the report."""
