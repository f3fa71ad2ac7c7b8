"""`vsr info FILE`: what a file holds, before anything is done with it. Torch is never imported here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from vsr.cli import parse
from vsr.media.pipes import place_of


def info(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Video file to look at.", show_default=False, parser=place_of),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    video_stream: Annotated[
        int | None, typer.Option("--video-stream", help="Look at this stream instead of FFmpeg's choice.")
    ] = None,
    max_pixels: Annotated[int | None, typer.Option("--max-pixels", min=1, help=parse.MAX_PIXELS)] = None,
) -> None:
    """Show what a file holds: its video, colour, streams, chapters and metadata."""
    from vsr.cli.description import describe, lines_of
    from vsr.media.opening import MAX_PIXELS, open_media, shown
    from vsr.media.probe import probe

    limit = max_pixels or MAX_PIXELS
    video = probe(file, video_stream=video_stream, max_pixels=limit)
    with open_media(file, max_pixels=limit) as container:
        contents = describe(container, video)
    if as_json:
        print(json.dumps(contents, indent=2, default=str))
    else:
        print("\n".join(shown(line) for line in lines_of(contents, video)))
