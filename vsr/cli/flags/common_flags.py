"""Flags that several commands have, each declared once; settings are in `setting_flags`, URLs in `urls`."""

from __future__ import annotations

from typing import Any

import typer

from vsr.cli.flags import parse
from vsr.errors import ConfigError

PIPELINE = typer.Option("--pipeline", "-p", metavar="NAME", help="Preset: anime, dvd, film, ..., or .toml.")
SIZE = typer.Option("--size", metavar="WxH", help="Width and height as shown.")
OVERWRITE = typer.Option("--overwrite", "-y", metavar=" ", help="Replace existing files.")
DEVICE = typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")
PRECISION = typer.Option("--precision", help="auto, fp32, bf16, fp16 or int8.")
THREADS = typer.Option("--threads", min=1, help="CPU threads; all of them by default.")
TRAINING_PROGRESS = typer.Option("--progress", help="auto, plain, none, json.")
MAX_PIXELS = typer.Option("--max-pixels", min=1, help="Refuse larger frames; default 8192 x 8192.")


def with_size(settings: dict[str, Any], size: str | None) -> dict[str, Any]:
    """Return settings by keyword with the width and the height of `--size`, if that is given.

    Raises:
        ConfigError: the text is no size, or `--height` is another height.
    """
    if size is None:
        return settings
    width, height = parse.size(size)
    if settings.get("height", height) != height:
        raise ConfigError(
            f"--size has the height {height}, but --height is {settings['height']}; use one of them"
        )
    return settings | {"width": width, "height": height}
