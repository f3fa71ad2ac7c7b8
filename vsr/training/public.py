"""`vsr.train` and `vsr.finetune`: checks arguments, and starts the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vsr.cancellation import Cancel, asked
from vsr.engine.device import choose_device
from vsr.errors import ConfigError, OutputError
from vsr.models.load import load_generator
from vsr.training import finetune as finetuning
from vsr.training.data.sources import sources_of
from vsr.training.distributed.processes import Place, joined, own_device, place_of, started
from vsr.training.finetune import FinetuneReport
from vsr.training.recipe import Recipe, read_recipe
from vsr.training.run import loop
from vsr.training.run.alike import check_shares
from vsr.training.run.checkpoint import is_unfinished
from vsr.training.run.loop import TrainProgress
from vsr.training.run.records.page import page_path
from vsr.training.start import facts_of_start
from vsr.writing import check_writable

_NO_GAINS = ("flicker", "grid_excess", "features")
"""Metrics of a validation that are not in dB."""
OnTrainProgress = Callable[[TrainProgress], None]
Paths = str | Path | Sequence[str | Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """Result of a training run."""

    output: Path
    """The weight file."""
    figures: Mapping[str, float]
    """The last validation on held-out images, by name; see docs/training.md."""

    @property
    def gains(self) -> dict[str, float]:
        """The metrics in dB over bicubic: by kind of compression, and their mean as `gain`."""
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
    workers: int | None = None,
    allow_network: bool = False,
    overwrite: bool = False,
    on_progress: OnTrainProgress | None = None,
    cancel: Cancel | None = None,
) -> TrainReport:
    """Train a network, or resume a run that was interrupted.

    Beside `output` a run keeps a folder of checkpoints (`.checkpoints`, removed at the end), a log (`.jsonl`)
    and example images (`.samples`). The same call resumes from the newest checkpoint. On the CPU and without
    `minutes` it ends with the same bits as a run that was not interrupted. The program chooses
    torch's number of threads (`torch.set_num_threads`).

    Args:
        recipe: Name of a recipe of the package (docs/training.md), or path of a TOML file.
        data: One or more folders of images, videos, or folders of pairs; or shards, as a path or URL of tar
            files with numbers or wildcards, such as `s3://bucket/photos-{0000..0099}.tar`.
        output: Path of the weight file to write, which ends in .safetensors; None is the recipe's name in the
            current folder.
        minutes: Maximum training time, above 0, to which the schedule is compressed; None runs all steps.
        steps: Number of steps, at least 1; None uses the recipe's.
        validate_every: Steps between two validations, at least 1; None uses the recipe's.
        start_from: Initial weights: name of a model or path of a weight file. A resumed run ignores them.
        vgg: Path of VGG19's weights, for recipes with a perceptual loss.
        device: `auto`, `cpu`, `cuda`, `cuda:N`.
        compiled: Whether to use torch.compile.
        workers: Number of processes on this machine that share out each batch; None is this one alone. The
            others are started here; the calling program's main module must be importable
            (`if __name__ == "__main__":`). In a process that torchrun or Ray Train has started, the run has
            the processes of the launcher, and each of them calls this function with the same arguments.
        allow_network: Whether the network may be used for URLs in `data`.
        overwrite: Whether to replace an existing weight file.
        on_progress: Called on this thread after each step, in process 0; an exception stops the run.
        cancel: An event, or a function that is called before each step, to end the run with a checkpoint.

    Returns:
        The weight file, and the metrics on held-out images.

    Raises:
        CancelledError: `cancel` ended the run; its checkpoint is kept.
        ConfigError: A setting is wrong, or the data differ from those of the interrupted run.
        InputError: The data cannot be read.
        OutputError: The weight file exists and may not be replaced, or cannot be written.
        ModelError: The initial weights are missing or do not match.
        DeviceError: The device is not available.
        VsrError: The loss is no longer finite, even after a return to a checkpoint.
    """
    place = place_of(workers)
    wanted = _changed(read_recipe(recipe), minutes, steps=steps, validate_every=validate_every)
    check_shares(wanted, place.size)
    target = Path(output or f"{wanted.name}.safetensors")
    if place.rank == 0:
        check_output(target, overwrite=overwrite)
    order = _Order(
        recipe=wanted,
        data=_words(data),
        output=target,
        minutes=minutes,
        start_from=start_from,
        vgg=None if vgg is None else Path(vgg),
        device=device,
        compiled=compiled,
        allow_network=allow_network,
    )
    sources_of(order.data, allow_network=allow_network)  # errors before other processes are started
    stop = None if cancel is None else asked(cancel)
    with ExitStack() as stack:
        store = None
        if place.size > 1 and not place.launched:
            store = stack.enter_context(started(place, _train, order))
        figures = _train(place, store, order, on_step=on_progress, stop=stop)
    return TrainReport(output=target, figures=figures)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What all processes of a run are told."""

    recipe: Recipe
    data: Sequence[str]
    output: Path
    minutes: float | None
    start_from: str | Path | None
    vgg: Path | None
    device: str
    compiled: bool
    allow_network: bool


def _train(
    place: Place,
    store: Any,
    order: _Order,
    on_step: OnTrainProgress | None = None,
    stop: Callable[[], bool] | None = None,
) -> dict[str, float]:
    """Train in this process of a run, and return the last validation's metrics."""
    device = own_device(order.device, place)
    first = None if order.start_from is None else load_generator(order.start_from, fold=False)
    with joined(place, device, store) as group:
        return loop.train(
            order.recipe,
            data=sources_of(order.data, allow_network=order.allow_network),
            output=order.output,
            minutes=order.minutes,
            start=None if first is None else first.network.state_dict(),
            start_facts=None if first is None else facts_of_start(first),
            device=device,
            vgg=order.vgg,
            compiled=order.compiled,
            on_step=on_step,
            stop=stop,
            group=group,
        )


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
    """Adapt a model to footage; the weights are written only if they are better on held-out footage.

    The footage is the HR side. LR is made from it, and compressed about as strongly as the footage is, so
    that the network learns to remove the degradation of this footage. Give the best quality of its kind.

    Args:
        footage: One or more videos, or folders of videos or images.
        start_from: Name of the model, or path of the weight file, to adapt.
        output: Path of the weight file to write, which ends in .safetensors. A PNG of the same name
            shows the output before, the output after and the original side by side.
        minutes: Maximum training time, above 0.
        scale: HR side / LR side, needed if `start_from` names a family such as `fast`.
        recipe: Name of a recipe or path of a TOML file; None uses the recipe `finetune`.
        device: `auto`, `cpu`, `cuda`, `cuda:N`.
        overwrite: Whether to replace an existing weight file.
        on_progress: Called on this thread after each step; an exception stops the run.
        cancel: An event, or a function that is called before each step, to end the run with a checkpoint.

    Returns:
        The metrics before and after, and the path of the PNG.

    Raises:
        CancelledError: `cancel` ended the run; the same call resumes from its checkpoint.
        ModelError: The model cannot be trained, or did not improve; no file is written.
        ConfigError: A setting is wrong.
        InputError: The footage cannot be read.
        OutputError: The weight file exists and may not be replaced, or cannot be written.
        DeviceError: The device is not available.
    """
    if place_of(None).size > 1:
        raise ConfigError("fine-tuning runs in one process. Several train by a recipe, with `start_from`")
    place = Path(output)
    check_output(place, overwrite=overwrite)
    wanted = _changed(read_recipe("finetune" if recipe is None else recipe), minutes)
    return finetuning.finetune(
        [Path(word) for word in _words(footage)],
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
    """Check the path of a weight file before any work.

    Raises:
        ConfigError: Its name does not end in .safetensors, or it is a folder.
        OutputError: It exists and may not be replaced, or its folder is missing or cannot be written.
    """
    if output.suffix != ".safetensors":
        raise ConfigError(f"{output} must end in .safetensors")
    check_writable(output, what="", overwrite=True)
    check_writable(page_path(output), what="", overwrite=True)  # the longest name of those beside it
    if output.exists() and not is_unfinished(output) and not overwrite:
        raise OutputError(f"{output} exists already; `overwrite=True` replaces it")


def _changed(recipe: Recipe, minutes: float | None, **changes: int | None) -> Recipe:
    """Return the recipe with the values that are not None, after a check of the numbers."""
    if minutes is not None and not minutes > 0:
        raise ConfigError(f"`minutes` {minutes:g} is not possible. Use more than 0")
    given = {name: value for name, value in changes.items() if value is not None}
    for name, value in given.items():
        if value < 1:
            raise ConfigError(f"{name} {value} is not possible. Use 1 or more")
    return replace(recipe, **given)  # type: ignore[arg-type]  # all are integers


def _words(given: Paths) -> list[str]:
    return [str(given)] if isinstance(given, str | Path) else [str(path) for path in given]
