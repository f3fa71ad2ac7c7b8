"""`vsr.train` and `vsr.finetune`: the checks before a run, and the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vsr.cancellation import Cancel, asked
from vsr.engine.device import choose_device
from vsr.errors import ConfigError, OutputError
from vsr.models.load import load_generator
from vsr.training import finetune as finetuning
from vsr.training.finetune import FinetuneReport
from vsr.training.recipe import Recipe, read_recipe
from vsr.training.run import loop
from vsr.training.run.checkpoint import checkpoints
from vsr.training.run.loop import TrainProgress
from vsr.writing import check_writable

_NO_GAINS = ("flicker", "grid_excess", "features")
"""Figures of a measurement that are not in dB."""
OnTrainProgress = Callable[[TrainProgress], None]
Paths = str | Path | Sequence[str | Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """What a training run made."""

    output: Path
    """The weight file."""
    figures: Mapping[str, float]
    """The last measurement on the images held out, by name; see docs/training.md."""

    @property
    def gains(self) -> dict[str, float]:
        """The figures in dB over bicubic: by kind of compression, and their mean as `gain`."""
        return {name: value for name, value in self.figures.items() if name not in _NO_GAINS}


def train(
    recipe: str | Path,
    *,
    data: Paths,
    output: str | Path | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    validate_every: int | None = None,
    start_from: str | Path | None = None,
    vgg: str | Path | None = None,
    device: str = "auto",
    compiled: bool = False,
    overwrite: bool = False,
    on_progress: OnTrainProgress | None = None,
    cancel: Cancel | None = None,
) -> TrainReport:
    """Train a network, or resume a run that was interrupted.

    Beside `output` a run keeps a folder of checkpoints (`.checkpoints`, removed at the end), a log (`.jsonl`)
    and example images (`.samples`). The same call resumes from the newest checkpoint. On the CPU and without
    `minutes` it ends with the same bits as a run that was not interrupted. torch's number of threads is the
    program's own affair (`torch.set_num_threads`).

    Args:
        recipe: Name of a recipe of the package (docs/training.md), or path of a TOML file.
        data: One or more folders of images, videos, or folders of pairs.
        output: Path of the weight file to write, which ends in .safetensors; None is the recipe's name in the
            current folder.
        minutes: Longest time to train, above 0, into which the schedule is squeezed; None takes all steps.
        steps: Number of steps, at least 1; None takes the recipe's.
        validate_every: Steps between two measurements, at least 1; None takes the recipe's.
        start_from: Weights to start from: name of a model or path of a weight file. A run that is resumed
            has its own.
        vgg: Path of VGG19's weights, which recipes that compare features need.
        device: `auto`, `cpu`, `cuda`, `cuda:N`.
        compiled: Whether torch.compile is used.
        overwrite: Whether an existing weight file is replaced.
        on_progress: Called on this thread after each step; what it raises stops the run.
        cancel: An event, or a function that is asked before each step, to end the run with a checkpoint.

    Returns:
        The weight file, and what was measured on images held out.

    Raises:
        CancelledError: `cancel` ended the run; its checkpoint is kept.
        ConfigError: a setting is wrong, or the data are not those that the interrupted run had.
        InputError: the data cannot be read.
        OutputError: the weight file exists and may not be replaced, or cannot be written.
        ModelError: the weights to start from are missing or do not fit.
        DeviceError: the device is not there.
        VsrError: the loss is no longer finite, even after a return to a checkpoint.
    """
    wanted = _changed(read_recipe(recipe), minutes, steps=steps, validate_every=validate_every)
    place = Path(output or f"{wanted.name}.safetensors")
    check_output(place, overwrite=overwrite)
    start = None if start_from is None else load_generator(start_from, fold=False).network.state_dict()
    figures = loop.train(
        wanted,
        data=_paths(data),
        output=place,
        minutes=minutes,
        start=start,
        device=choose_device(device),
        vgg=None if vgg is None else Path(vgg),
        compiled=compiled,
        on_step=on_progress,
        stop=None if cancel is None else asked(cancel),
    )
    return TrainReport(output=place, figures=figures)


def finetune(
    footage: Paths,
    *,
    start_from: str | Path,
    output: str | Path,
    minutes: float = 20,
    scale: int | None = None,
    recipe: str | Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
    on_progress: OnTrainProgress | None = None,
    cancel: Cancel | None = None,
) -> FinetuneReport:
    """Adapt a model to footage; the weights are written only if they are better on a part held out.

    The footage is the HR side. LR is made from it, and compressed about as strongly as the footage is, so
    that the result undoes what this footage suffers from. Give the best that there is of its kind.

    Args:
        footage: One or more videos, or folders of videos or images.
        start_from: Name of the model, or path of the weight file, to adapt.
        output: Path of the weight file to write, which ends in .safetensors. Before, after and the truth are
            drawn side by side into a PNG of the same name.
        minutes: Longest time to train, above 0.
        scale: Side of HR over side of LR, where `start_from` names a family such as `fast`.
        recipe: Name of a recipe or path of a TOML file; None is the recipe `finetune`.
        device: `auto`, `cpu`, `cuda`, `cuda:N`.
        overwrite: Whether an existing weight file is replaced.
        on_progress: Called on this thread after each step; what it raises stops the run.
        cancel: An event, or a function that is asked before each step, to end the run with a checkpoint.

    Returns:
        What was measured before and after, and where the PNG is.

    Raises:
        CancelledError: `cancel` ended the run; the same call resumes from its checkpoint.
        ModelError: the model cannot be trained, or did not become better; nothing is written.
        ConfigError: a setting is wrong.
        InputError: the footage cannot be read.
        OutputError: the weight file exists and may not be replaced, or cannot be written.
        DeviceError: the device is not there.
    """
    place = Path(output)
    check_output(place, overwrite=overwrite)
    wanted = _changed(read_recipe("finetune" if recipe is None else recipe), minutes)
    return finetuning.finetune(
        _paths(footage),
        model=start_from,
        output=place,
        minutes=minutes,
        scale=scale,
        recipe=wanted,
        device=choose_device(device),
        on_step=on_progress,
        stop=None if cancel is None else asked(cancel),
    )


def check_output(output: Path, *, overwrite: bool) -> None:
    """Before any work: whether a weight file can be written there.

    Raises:
        ConfigError: its name does not end in .safetensors, or it is a folder.
        OutputError: it exists and may not be replaced, or its folder is missing or cannot be written.
    """
    if output.suffix != ".safetensors":
        raise ConfigError(f"{output}: must end in .safetensors")
    check_writable(output, what="", overwrite=True)
    if output.exists() and not checkpoints(output) and not overwrite:
        raise OutputError(f"{output}: exists already; `overwrite=True` replaces it")


def _changed(recipe: Recipe, minutes: float | None, **changes: int | None) -> Recipe:
    """The recipe with what is not None, after a check of the numbers."""
    if minutes is not None and not minutes > 0:
        raise ConfigError(f"`minutes` {minutes:g} is impossible; use more than 0")
    given = {name: value for name, value in changes.items() if value is not None}
    for name, value in given.items():
        if value < 1:
            raise ConfigError(f"{name} {value} is impossible; use 1 or more")
    return replace(recipe, **given)  # type: ignore[arg-type]  # whole numbers, all of them


def _paths(given: Paths) -> list[Path]:
    return [Path(given)] if isinstance(given, str | Path) else [Path(path) for path in given]
