"""`vsr train`: make a network from pictures and footage."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import vsr
from vsr.cli import console, signals
from vsr.errors import OutputError

if TYPE_CHECKING:
    from vsr.training.run.loop import TrainProgress

SAVED = "a checkpoint was saved; the same command goes on from there"
_EVERY = 15.0
"""Seconds between two lines of progress."""


def train(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe that comes along, or a TOML file.")],
    data: Annotated[
        list[Path], typer.Option("--data", help="Folder of pictures, video, or folder of pairs; repeatable.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Weight file to write (.safetensors).")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0.01, help="Squeeze the schedule into so much time.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Instead of the recipe's.")] = None,
    validate_every: Annotated[
        int | None,
        typer.Option("--validate-every", min=1, help="Steps between measurements, instead of the recipe's."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="CPU threads; all of them by default.")
    ] = None,
    start_from: Annotated[
        str | None, typer.Option("--from", help="Weights to start from: a model's name or a file.")
    ] = None,
    vgg: Annotated[
        Path | None, typer.Option("--vgg", help="VGG19's weights, for recipes that compare features.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N.")] = "auto",
    compiled: Annotated[bool, typer.Option("--compile", help="Use torch.compile.")] = False,
    dump: Annotated[
        int | None, typer.Option("--dump", min=1, help="Only write so many pictures of what is trained on.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", "-y", help="Replace the weight file.")] = False,
) -> None:
    """Train a network; a run that was cut off goes on where it stopped.

    Ctrl-C saves and stops; the same command goes on.
    """
    import torch

    from vsr.training.run.loop import StoppedEarlyError

    if threads is not None:
        torch.set_num_threads(threads)
    if dump is not None:
        _dump(recipe, data, output, dump)
        return
    logging.getLogger("vsr.training").setLevel(logging.INFO)  # a line for each measurement
    signals.whatever_runs()
    with signals.deferred(SAVED, early=StoppedEarlyError) as stop:
        report = vsr.train(
            recipe,
            data=data,
            output=output,
            minutes=minutes,
            steps=steps,
            validate_every=validate_every,
            start_from=start_from,
            vgg=vgg,
            device=device,
            compiled=compiled,
            overwrite=overwrite,
            on_progress=progress_lines(),
            cancel=stop,
        )
    gains = ", ".join(f"{name} {value:+.2f} dB" for name, value in report.gains.items())
    console.out(f"{report.output}: over bicubic, on material held out: {gains}")


def progress_lines() -> Callable[[TrainProgress], None]:
    """A line every few seconds: step, share of the run, speed, time left, the terms of the loss."""
    begin = shown = time.monotonic()
    first: TrainProgress | None = None

    def show(progress: TrainProgress) -> None:
        nonlocal first, shown
        first = first or progress
        now = time.monotonic()
        if now - shown < _EVERY or progress.position <= first.position:
            return
        shown = now
        left = (now - begin) * (1 - progress.position) / (progress.position - first.position)
        rate = (progress.step - first.step) / (now - begin)
        terms = ", ".join(f"{name} {value:.4g}" for name, value in progress.terms.items())
        done = f"{progress.position:.0%}"
        console.say(f"step {progress.step}, {done}, {rate:.1f} steps/s, {_clock(left)} left: {terms}")

    return show


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _dump(recipe: str, data: list[Path], output: Path | None, number: int) -> None:
    from vsr.training.recipe import read_recipe
    from vsr.training.run.loop import dump

    settings = read_recipe(recipe)
    folder = (output or Path(settings.name)).with_suffix(".dump")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error
    for path in dump(settings, data=data, folder=folder, number=number):
        console.out(str(path))
