"""`vsr train`: trains a network on images and footage."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import vsr
from vsr.cli import console
from vsr.cli.application import follows
from vsr.cli.flags import common_flags, urls
from vsr.cli.flags.run_options import ProgressKind, progress_kind
from vsr.cli.interruption import signals
from vsr.cli.records import events
from vsr.errors import OutputError, VsrError

if TYPE_CHECKING:
    from vsr.training.run.loop import TrainProgress

SAVED = "a checkpoint was saved; the same command resumes from it"
_EVERY = 15.0
"""Seconds between two lines of progress."""


def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="Name of an included recipe, or a TOML file.")
    ],
    data: Annotated[
        list[str],
        typer.Option("--data", help="Folder of images, video, folder of pairs, or tar shards; repeatable."),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Weight file to write (.safetensors).")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0.01, help="Compress the schedule to this time.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Steps; default from the recipe.")
    ] = None,
    validate_every: Annotated[
        int | None,
        typer.Option("--validate-every", min=1, help="Steps between validations; default from the recipe."),
    ] = None,
    threads: Annotated[int | None, common_flags.THREADS] = None,
    start_from: Annotated[
        str | None, typer.Option("--from", help="Initial weights: name of a model, or a file.")
    ] = None,
    vgg: Annotated[
        Path | None, typer.Option("--vgg", help="VGG19's weights, for recipes with a perceptual loss.")
    ] = None,
    device: Annotated[str, common_flags.DEVICE] = "auto",
    compiled: Annotated[bool, typer.Option("--compile", help="Use torch.compile.")] = False,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes of this machine that share out each batch."),
    ] = None,
    dump: Annotated[
        int | None, typer.Option("--dump", min=1, help="Only write this number of training images.")
    ] = None,
    allow_network: Annotated[bool, urls.ALLOW_NETWORK] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", "-y", help="Replace the weight file.")] = False,
    progress: Annotated[str, common_flags.TRAINING_PROGRESS] = "auto",
) -> None:
    """Train a network, or resume an interrupted run.

    Ctrl-C saves a checkpoint and stops; the same command resumes.
    """
    import torch

    from vsr.training.distributed.group import LostProcessError
    from vsr.training.run.loop import StoppedEarlyError

    kind = progress_kind(progress)
    if threads is not None:
        torch.set_num_threads(threads)
    if dump is not None:
        _dump(recipe, data, output, dump, allow_network=allow_network)
        return
    console.show_information("vsr.training")  # a line for each validation
    signals.whatever_runs()
    not_told = (LostProcessError, StoppedEarlyError) if follows(["train"]) else ()
    with signals.deferred(SAVED, early=StoppedEarlyError) as stop, _told_by_another(not_told):
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
            workers=workers,
            allow_network=allow_network,
            overwrite=overwrite,
            on_progress=shown_progress(kind),
            cancel=stop,
        )
    events.result(report=asdict(report))
    gains = ", ".join(f"{name} {value:+.2f} dB" for name, value in report.gains.items())
    console.out(f"{report.output}: over bicubic, on held-out data: {gains}")


@contextmanager
def _told_by_another(kinds: tuple[type[VsrError], ...]) -> Generator[None, None, None]:
    """End the process without a message for errors that the first process prints."""
    try:
        yield
    except kinds as error:
        raise SystemExit(error.exit_code) from error


def shown_progress(kind: ProgressKind) -> Callable[[TrainProgress], None] | None:
    """Return the function that shows the progress of a training; None shows none."""
    if kind == "none":
        return None
    return progress_events() if kind == "json" else progress_lines()


def progress_events() -> Callable[[TrainProgress], None]:
    """Return a function that writes an object of progress, at most two a second."""
    begin, last = time.monotonic(), -math.inf
    first: TrainProgress | None = None

    def show(progress: TrainProgress) -> None:
        nonlocal first, last
        first = first or progress
        now = time.monotonic()
        if now - last < events.EVERY_SECONDS:
            return
        last = now
        gone, moved = now - begin, progress.position - first.position
        events.emit(
            "training",
            step=progress.step,
            position=progress.position,
            steps_per_second=(progress.step - first.step) / gone if gone else None,
            seconds_left=gone * (1 - progress.position) / moved if moved > 0 else None,
            terms=dict(progress.terms),
        )

    return show


def progress_lines() -> Callable[[TrainProgress], None]:
    """Return a function that logs a line every few seconds: step, progress, speed, time left, loss terms."""
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


def _dump(recipe: str, data: list[str], output: Path | None, number: int, *, allow_network: bool) -> None:
    from vsr.training.data.sources import sources_of
    from vsr.training.recipe import read_recipe
    from vsr.training.run.loop import dump

    settings = read_recipe(recipe)
    folder = (output or Path(settings.name)).with_suffix(".dump")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be created ({error.strerror})") from error
    sources = sources_of(data, allow_network=allow_network)
    for path in dump(settings, data=sources, folder=folder, number=number):
        console.out(str(path))
