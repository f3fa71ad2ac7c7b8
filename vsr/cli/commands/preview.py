"""`vsr preview`: one frame of a video, or a picture, by several models side by side, before a long run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import vsr
from vsr.cli import console
from vsr.cli.flags import common_flags, parse, setting_flags, urls
from vsr.cli.progress import count_line
from vsr.media.files.stdio import place_of

_WITHOUT = frozenset(
    {
        "model",
        "strength",
        "start",
        "end",
        "format",
        "resume",
        "restart",
        "segment_seconds",
        "on",
        "allow_files",
    }
)
"""Settings without a flag here: those that are given several times, and those of a run to its end."""


@setting_flags.added(after="pipeline", without=_WITHOUT)
def preview(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A video or a picture.", parser=place_of)],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A picture (.png, .webp) or a page (.html); default: INPUT's name with -preview.png.",
            show_default=False,
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model", "-m", metavar="NAME", help="A name of `vsr models list`, or a file; repeatable."
        ),
    ] = None,
    strengths: Annotated[
        str | None,
        typer.Option("--strength", metavar="FROM:TO:STEP", help="0:1:0.25, or 0,0.5,1: a panel for each."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="Seconds or h:mm:ss from the start; default: the middle."),
    ] = None,
    busiest: Annotated[
        bool,
        typer.Option("--busiest", metavar=" ", help="Of some key frames, that with most detail and motion."),
    ] = False,
    region: Annotated[
        str | None,
        typer.Option(
            "--region",
            metavar="WxH+X+Y",
            help="Part of the input to show; default: where panels differ most.",
        ),
    ] = None,
    pipeline: Annotated[str | None, common_flags.PIPELINE] = None,
    size: Annotated[str | None, common_flags.SIZE] = None,
    overwrite: Annotated[bool, common_flags.OVERWRITE] = False,
    allow_network: Annotated[bool, urls.ALLOW_NETWORK] = False,
    **flags: Any,
) -> None:
    """Show one frame by several models before a long run: the whole frame, and a detail of each.

    The frame takes the way of `vsr upscale` with the same flags, up to the encoder.

    \b
    vsr preview in.mkv --at 12:30 --model fast --model compact
    vsr preview in.mkv --busiest --model compact --strength 0:1:0.25 -o page.html
    """
    from vsr.report.preview.panels import strengths_in

    urls.permit_urls([source], allow_network=allow_network)
    overrides = common_flags.with_size(setting_flags.values(flags), size)
    with count_line("computed panels") as show:
        made = vsr.preview(
            source,
            output=output,
            models=models or (),
            strengths=() if strengths is None else strengths_in(strengths),
            at=None if at is None else parse.seconds(at, option="--at"),
            busiest=busiest,
            region=None if region is None else parse.region(region),
            pipeline=pipeline,
            overwrite=overwrite,
            on_panel=show,
            **overrides,
        )
    for note in made.notes:
        console.say(note)
    time = "" if made.seconds is None else f", at {made.seconds:.3f} s"
    console.out(f"{made.output}: {'; '.join(made.panels)}; from left to right{time}")
