"""`vsr verify`: what a result lost of its source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vsr.errors import OutputError


def verify(
    source: Annotated[Path, typer.Argument(help="The video that was upscaled.")],
    result: Annotated[Path, typer.Argument(help="What came of it, by whatever tool.")],
) -> None:
    """Say what a result lost of its source: pictures, times, depth, colour, streams; exit 4 if anything."""
    from vsr.media.lost import lost

    lines = lost(source, result)
    for line in lines:
        print(f"lost  {line}")
    if lines:
        raise typer.Exit(OutputError.exit_code)
    print("nothing lost")
