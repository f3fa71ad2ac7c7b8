"""`vsr evaluate`: the quality of models on test images, as papers measure it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import vsr
from vsr.cli import console, parse
from vsr.cli.progress import count_line
from vsr.errors import ConfigError
from vsr.writing import check_writable, write_whole


def evaluate(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Names or weight files of one scale.")
    ],
    data: Annotated[Path, typer.Option("--data", help="Folder of images, or of x4/HR and x4/LR.")],
    coded: Annotated[
        bool, typer.Option("--coded", help="Also LR that x264 (four CRFs), x265, MPEG-2 and AV1 coded.")
    ] = False,
    output: Annotated[
        list[Path] | None,
        typer.Option("--output", "-o", help="Write a table (.md, .csv, .json) or a plot (.svg)."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="auto, fp32, bf16, fp16 or int8.")] = "fp32",
    overwrite: Annotated[bool, typer.Option("--overwrite", "-y", help="Replace existing files.")] = False,
) -> None:
    r"""Measure models on test images: PSNR and SSIM of Y, beside bicubic and Lanczos.

    \b
    vsr evaluate fast-x4 mine.safetensors --data Set5 --coded -o table.md
    """
    from typing import get_args

    from vsr.report.evaluate.plot import svg
    from vsr.report.evaluate.protocol import CODINGS
    from vsr.report.evaluate.tables import WRITERS, markdown
    from vsr.settings.schema import Precision

    writers = {**WRITERS, ".svg": svg}
    for path in output or []:
        if path.suffix.lower() not in writers:
            raise ConfigError(f"{path} ends in none of {', '.join(writers)}. Name a table or a plot")
        check_writable(path, what="", overwrite=overwrite)
    with count_line("measured images") as show:
        rows = vsr.evaluate(
            *models,
            data=data,
            codings=tuple(CODINGS) if coded else ("clean",),
            device=device,
            precision=parse.one_of(precision, get_args(Precision), option="--precision"),
            on_image=show,
        )
    for line in markdown(rows).splitlines():
        console.out(line)
    for path in output or []:
        write_whole(path, writers[path.suffix.lower()](rows).encode())
