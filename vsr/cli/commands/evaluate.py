"""`vsr evaluate`: the quality of models on test sets, as papers measure it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import vsr
from vsr.cli import console
from vsr.cli.flags import common_flags, parse
from vsr.cli.progress import count_line
from vsr.errors import ConfigError
from vsr.system.last_step import last_step
from vsr.writing import check_writable, write_whole

if TYPE_CHECKING:
    from vsr.report.evaluate import Evaluation


def evaluate(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Names or weight files of one scale.")
    ],
    data: Annotated[
        list[str],
        typer.Option("--data", help="Set5, Kodak, ... (see VSR_DATA), or a folder; may be repeated."),
    ],
    coded: Annotated[
        bool, typer.Option("--coded", help="Also LR that x264 (four CRFs), x265, MPEG-2 and AV1 coded.")
    ] = False,
    frames: Annotated[int, typer.Option("--frames", min=1, help="Frames of each clip.")] = 16,
    lpips: Annotated[
        Path | None, typer.Option("--lpips", help="Weights of AlexNet or VGG16 (torchvision): adds LPIPS.")
    ] = None,
    dists: Annotated[
        Path | None, typer.Option("--dists", help="Weights of VGG16 (torchvision): adds DISTS.")
    ] = None,
    output: Annotated[
        list[Path] | None,
        typer.Option("--output", "-o", help="Write a table (.md, .csv, .json) or a plot (.svg, .png)."),
    ] = None,
    device: Annotated[str, common_flags.DEVICE] = "auto",
    precision: Annotated[str, common_flags.PRECISION] = "fp32",
    overwrite: Annotated[bool, common_flags.OVERWRITE] = False,
) -> None:
    """Measure models on test images and clips: PSNR and SSIM of Y, beside bicubic and Lanczos.

    \b
    vsr evaluate fast-x4 mine.safetensors --data Set5 --data Set14 -o table.md
    vsr evaluate fast-x2 --data clips/ --coded -o table.csv -o plot.svg
    """
    from typing import get_args

    from vsr.report.evaluate.plot import png, svg
    from vsr.report.evaluate.protocol import CODINGS
    from vsr.report.evaluate.tables import WRITERS, markdown
    from vsr.settings.schema import Precision

    plots = {".svg": svg, ".png": png}

    def content(suffix: str, rows: tuple[Evaluation, ...]) -> bytes:
        return plots[suffix](rows) if suffix in plots else WRITERS[suffix](rows).encode()

    for path in output or []:
        if path.suffix.lower() not in {*WRITERS, *plots}:
            raise ConfigError(
                f"{path} ends in none of {', '.join([*WRITERS, *plots])}. Name a table or a plot"
            )
        check_writable(path, what="", overwrite=overwrite)
    with count_line("measured images") as show:
        rows = vsr.evaluate(
            *models,
            data=data,
            codings=tuple(CODINGS) if coded else ("clean",),
            frames=frames,
            lpips=lpips,
            dists=dists,
            device=device,
            precision=parse.one_of(precision, get_args(Precision), option="--precision"),
            on_image=show,
            on_warning=console.warn,
        )
    for line in markdown(rows).splitlines():
        console.out(line)
    files = [(path, content(path.suffix.lower(), rows)) for path in output or []]
    with last_step():
        for path, written in files:
            write_whole(path, written)
