"""`vsr info FILE`: shows what a file contains. Torch is never imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vsr.cli import console
from vsr.cli.flags import common_flags, urls
from vsr.media.files.stdio import place_of


def info(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Video or picture.", show_default=False, parser=place_of),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    video_stream: Annotated[
        int | None, typer.Option("--video-stream", help="Show this stream instead of FFmpeg's choice.")
    ] = None,
    max_pixels: Annotated[int | None, common_flags.MAX_PIXELS] = None,
    allow_network: Annotated[bool, urls.ALLOW_NETWORK] = False,
) -> None:
    """Show what a file contains: its video, colour, streams, chapters and metadata."""
    from vsr.cli.description import describe, describe_picture, lines_of
    from vsr.media.decode.facts.probe import probe
    from vsr.media.files.opening import MAX_PIXELS, open_media
    from vsr.media.pictures.kinds import is_picture
    from vsr.pipeline.job.report import as_json as written

    urls.permit_urls((file,), allow_network=allow_network)
    limit = max_pixels or MAX_PIXELS
    video = probe(file, video_stream=video_stream, max_pixels=limit)
    with open_media(file, max_pixels=limit) as container:
        contents = describe(container, video)
    if is_picture(file):
        contents["picture"] = describe_picture(file, max_pixels=limit)
    lines = written(contents, ascii_only=True).splitlines() if as_json else lines_of(contents, video)
    for line in lines:
        console.out(line)
