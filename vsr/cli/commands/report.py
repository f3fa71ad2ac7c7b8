"""`vsr report`: what bounds a run, from the report that it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vsr.cli import console
from vsr.cli.wording import in_flags
from vsr.writing import check_writable, write_whole


def report(
    file: Annotated[
        Path,
        typer.Argument(metavar="REPORT.json", help="What `vsr upscale --report` wrote.", show_default=False),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Also draw it as a page (.html).")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", "-y", help="Replace an existing page.")] = False,
) -> None:
    """Show how busy each stage of a run was, and what bounds its speed.

    \b
    vsr upscale in.mkv out.mkv --report run.json
    vsr report run.json -o run.html
    """
    from vsr.report.occupancy.page import page
    from vsr.report.occupancy.reading import lines, read_runs

    if output is not None:
        check_writable(output, what="", overwrite=overwrite)
    runs = read_runs(file)
    for run in runs:
        for line in lines(run):
            console.out(in_flags(line))
    if output is not None:
        write_whole(output, page(runs, title=f"{file.name}: what bounds the run", words=in_flags))
