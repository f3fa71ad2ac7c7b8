"""`vsr compare` and `vsr demo`: pictures that show what was gained."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

import vsr
from vsr.cli import console, parse
from vsr.errors import OutputError
from vsr.media.files.stdio import place_of
from vsr.settings.schema import UpscaleSettings
from vsr.writing import check_writable


def compare(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="The video that was upscaled.", parser=place_of)
    ],
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="What came of it.", parser=place_of)],
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG to write.")] = Path("compare.png"),
    at: Annotated[str, typer.Option("--at", help="Seconds or h:mm:ss from the start.")] = "0",
    truth: Annotated[Path | None, typer.Option("--truth", help="The original, if there is one.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", "-y", help="Replace an existing PNG.")] = False,
) -> None:
    """Draw the same detail of a source (bicubic) and its result side by side."""
    moment = parse.seconds(at, option="--at")
    panels = vsr.compare(source, result, output, at=moment, truth=truth, overwrite=overwrite)
    console.out(f"{output}: {', '.join(panels)}, left to right")


def demo(
    folder: Annotated[Path, typer.Option("--folder", help="Where results go.")] = Path("demo"),
    source: Annotated[Path | None, typer.Option("--source", help="Your video; else one is rendered.")] = None,
    target: Annotated[Path | None, typer.Option("--target", help="The result.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "-y", help="Replace files of an earlier demo.")
    ] = False,
    model: Annotated[str, typer.Option("--model", "-m")] = "auto",
    scale: Annotated[str, typer.Option("--scale", "-s")] = "2",
) -> None:
    """Upscale a clip with the weights in the package and draw a before/after picture."""
    from vsr.cli.shown_run import run_shown
    from vsr.report.clip import render

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror}); choose another --folder") from error
    picture, rendered = folder / "before-after.png", [folder / "clip.mkv", folder / "truth.mkv"]
    for path in (picture, *([] if source else rendered)):
        check_writable(path, what="", overwrite=overwrite)
    clip, truth = source, None
    if clip is None:
        clip, truth = rendered
        render(clip, truth)
    result = target or folder / f"{clip.stem}-x{scale}{clip.suffix}"
    settings = UpscaleSettings(model=model, scale=parse.number(scale, option="--scale"))
    report = run_shown(clip, result, settings, overwrite=overwrite, quiet=False)
    middle = (report.info.duration_seconds or Fraction(0)) / 2
    shown = truth if scale == "2" else None
    panels = vsr.compare(clip, result, picture, at=middle, truth=shown, overwrite=True)
    console.out(f"result          {result}")
    console.out(f"before, after   {picture} ({', '.join(panels)}, left to right)")
