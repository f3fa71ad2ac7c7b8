"""`vsr verify`: what a result lost of its source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vsr.cli import parse
from vsr.errors import OutputError
from vsr.media.pipes import place_of


def verify(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="The video that was upscaled.", parser=place_of)
    ],
    result: Annotated[
        Path, typer.Argument(metavar="RESULT", help="What came of it, by whatever tool.", parser=place_of)
    ],
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
