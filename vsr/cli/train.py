"""`vsr train`: make a network from photographs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from vsr.errors import ConfigError, OutputError


def train(
    recipe: Annotated[
        Path, typer.Argument(help="Recipe, a TOML file such as pipelines/train/compact-x2.toml.")
    ],
    data: Annotated[Path, typer.Option("--data", help="Folder of photographs.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Weight file to write (.safetensors).")],
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0.01, help="Squeeze the schedule into so much time.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="CPU threads; all of them by default.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Weights to start from: a model's name or a file.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", "-y", help="Replace the weight file.")] = False,
) -> None:
    """Train a network on photographs; a run that was cut off goes on where it stopped."""
    import torch

    from vsr.config import read_toml
    from vsr.models.load import load_generator
    from vsr.train.checkpoint import checkpoint_path
    from vsr.train.loop import train as run
    from vsr.train.recipe import Recipe

    settings = read_toml(recipe, Recipe)
    _check_output(output, checkpoint_path(output), overwrite=overwrite)
    if threads is not None:
        torch.set_num_threads(threads)
    weights = None if start is None else load_generator(start).network.state_dict()
    logging.getLogger("vsr.train").setLevel(logging.INFO)  # a line for each measurement
    scores = run(settings, data=data, output=output, minutes=minutes, start=weights)
    gains = ", ".join(f"{name} {gain:+.2f} dB" for name, gain in scores.items())
    typer.echo(f"{output}: over bicubic, on photographs held out: {gains}")


def _check_output(output: Path, checkpoint: Path, *, overwrite: bool) -> None:
    if output.suffix != ".safetensors":
        raise ConfigError(f"{output}: must end in .safetensors")
    if not output.parent.is_dir():
        raise OutputError(f"{output.parent}: is no folder; make it first")
    if output.exists() and not checkpoint.exists() and not overwrite:
        raise OutputError(f"{output}: exists; -y replaces it")
