"""`vsr verify`: what a result lost of its source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vsr.cli import parse
from vsr.errors import OutputError


def verify(
    source: Annotated[Path, typer.Argument(help="The video that was upscaled.")],
    result: Annotated[Path, typer.Argument(help="What came of it, by whatever tool.")],
    max_pixels: Annotated[int | None, typer.Option("--max-pixels", min=1, help=parse.MAX_PIXELS)] = None,
) -> None:
    """Say what a result lost of its source: pictures, times, depth, colour, streams; exit 4 if anything."""
    from vsr.media.lost import lost
    from vsr.media.opening import MAX_PIXELS

    lines = lost(source, result, max_pixels=max_pixels or MAX_PIXELS)
    for line in lines:
        print(f"lost  {line}")
    if lines:
        raise typer.Exit(OutputError.exit_code)
    print("nothing lost")
