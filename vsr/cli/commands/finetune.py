"""`vsr finetune`: adapts a model to a user's own footage."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import vsr
from vsr.cli import console
from vsr.cli.commands.train import SAVED, shown_progress
from vsr.cli.flags import common_flags
from vsr.cli.flags.run_options import progress_kind
from vsr.cli.interruption import signals
from vsr.cli.records import events


def finetune(
    footage: Annotated[list[Path], typer.Argument(help="Videos, or folders of videos or images.")],
    start_from: Annotated[str, typer.Option("--from", help="Model to start from: a name or a weight file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Weight file to write (.safetensors).")],
    minutes: Annotated[float, typer.Option("--minutes", min=0.01, help="Maximum training time.")] = 20,
    scale: Annotated[
        int | None, typer.Option("--scale", "-s", help="Needed if --from names a family.")
    ] = None,
    recipe: Annotated[str | None, typer.Option("--recipe", help="Recipe; default `finetune`.")] = None,
    threads: Annotated[int | None, common_flags.THREADS] = None,
    device: Annotated[str, common_flags.DEVICE] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", "-y", help="Replace the weight file.")] = False,
    progress: Annotated[str, common_flags.TRAINING_PROGRESS] = "auto",
) -> None:
    """Adapt a model to footage. The result is written only if it is better on held-out footage.

    The footage is the training target, so give the best quality of its kind; LR is made from it.
    """
    import torch

    from vsr.training.run.loop import StoppedEarlyError

    kind = progress_kind(progress)
    if threads is not None:
        torch.set_num_threads(threads)
    console.show_information("vsr.training")  # a line for each validation
    signals.whatever_runs()
    with signals.deferred(SAVED, early=StoppedEarlyError) as stop:
        report = vsr.finetune(
            footage,
            start_from=start_from,
            output=output,
            minutes=minutes,
            scale=scale,
            recipe=recipe,
            device=device,
            overwrite=overwrite,
            on_progress=shown_progress(kind),
            cancel=stop,
        )
    events.result(report=asdict(report))
    console.out(f"the footage is compressed about as strongly as by x264 at CRF {report.crf:.0f}")
    for name in report.before:
        console.out(f"{name:<14}{report.before[name]:+.3f} -> {report.after[name]:+.3f}")
    if report.share < 1:
        console.out(f"{report.share:.0%} of the change is best on held-out footage, and is kept")
    console.out(f"{report.gain:+.2f} dB on held-out footage; before, after and original: {report.picture}")
    console.out(f"vsr upscale INPUT OUTPUT --model {output}")
