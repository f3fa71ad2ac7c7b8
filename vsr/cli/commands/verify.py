"""`vsr verify`: shows what a result lacks of its source."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Annotated

import typer

import vsr
from vsr.cli import console
from vsr.cli.flags import common_flags, parse, urls
from vsr.cli.wording import in_flags
from vsr.errors import OutputError
from vsr.media.files.stdio import place_of
from vsr.settings.schema import Deinterlace, ForcedOrder


def verify(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="The video that was upscaled.", parser=place_of)
    ],
    result: Annotated[
        Path, typer.Argument(metavar="RESULT", help="The upscaled video, made by any tool.", parser=place_of)
    ],
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="TIME", help="Where the result begins, as in `vsr upscale`."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--end", metavar="TIME", help="Where the result ends, as in `vsr upscale`.")
    ] = None,
    deinterlace: Annotated[
        str | None,
        typer.Option("--deinterlace", metavar="HOW", help="As in `vsr upscale`; found out by default."),
    ] = None,
    field_order: Annotated[
        str, typer.Option("--field-order", metavar="WHICH", help="As in `vsr upscale`.")
    ] = "auto",
    max_pixels: Annotated[int | None, common_flags.MAX_PIXELS] = None,
    allow_network: Annotated[bool, urls.ALLOW_NETWORK] = False,
) -> None:
    """Show what a result lacks of its source: frames, times, colour,
    audio, subtitles. Exit code 4 if it lacks anything."""
    urls.permit_urls((source, result), allow_network=allow_network)
    found = vsr.verify(
        source,
        result,
        start=None if start is None else parse.seconds(start, option="--start"),
        end=None if end is None else parse.seconds(end, option="--end"),
        deinterlace=None
        if deinterlace is None
        else parse.one_of(deinterlace, typing.get_args(Deinterlace), option="--deinterlace"),
        field_order=parse.one_of(field_order, typing.get_args(ForcedOrder), option="--field-order"),
        max_pixels=max_pixels,
    )
    for line in found.notes:
        console.out(f"note  {in_flags(line)}")
    for line in found.lost:
        console.out(f"lost  {line}")
    for line in found.not_compared:
        console.out(f"not compared  {line}")
    if found.lost:
        raise typer.Exit(OutputError.exit_code)
    console.out("nothing lost")
