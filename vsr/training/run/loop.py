"""The training loop: draw a batch, step, and every so often measure, save, and say so."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import Tensor

from vsr.errors import CancelledError, VsrError
from vsr.training.batches.pool import ClipPool, make_clip
from vsr.training.data.datasets import Material, open_material
from vsr.training.recipe import Recipe, facts
from vsr.training.run.checkpoint import checkpoints, forget, resume, save_checkpoint, save_weights
from vsr.training.run.evaluate import Trial, make_trials, measure
from vsr.training.run.journal import Journal, means
from vsr.training.run.origin import Origin, origin_of
from vsr.training.run.replay import Done, Replay, can_replay, tuned
from vsr.training.run.samples import save_pair, save_samples
from vsr.training.run.state import State, new_state
from vsr.training.run.steps import Terms, computes_in, train_step
from vsr.training.schedule import factor_at

logger = logging.getLogger(__name__)

MAX_SKIPPED = 10
"""Steps in a row without a finite loss or gradient, before the run is rolled back; the second time it ends.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainProgress:
    """How far a run is; given to `on_step` after each step, on a card some steps later."""

    step: int
    position: float
    """0 to 1 of the run."""
    seconds: float
    terms: Terms


class StoppedEarlyError(CancelledError):
    """A run was asked to stop; its checkpoint is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What stays the same while a run goes on."""

    recipe: Recipe
    output: Path
    trials: Sequence[Trial]
    head: Mapping[str, str]
    """Metadata of the weight file."""
    minutes: float | None
    """The schedule is squeezed so that the run ends after so long, if its steps take longer."""
    on_step: Callable[[TrainProgress], None] | None
    stop: Callable[[], bool] | None
    origin: Origin | None = None
    """What the run is made of; it goes on with nothing else."""


def train(
    recipe: Recipe,
    *,
    data: Sequence[Path],
    output: Path,
    minutes: float | None = None,
    start: Mapping[str, Tensor] | None = None,
    device: torch.device | str = "cpu",
    vgg: Path | None = None,
    compiled: bool = False,
    on_step: Callable[[TrainProgress], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> dict[str, float]:
    """Train a network, or go on with a run that was cut off.

    Beside `output` are written: a folder of checkpoints (`.checkpoints`, removed at the end), a log
    (`.jsonl`) and pictures (`.samples`). `output` holds the averaged weights of the best measurement so far;
    of the latest where a discriminator has a say, since there PSNR is no guide.

    Without `minutes` a run that was cut off ends with the same bits as an unbroken one, on the CPU.

    Args:
        recipe: What to train, and how.
        data: Folders of pictures, videos, pairs; see `material.open_material`.
        output: Weight file to write.
        minutes: Longest time to train; None takes all of the recipe's steps.
        start: Weights to start from; not used when a run is gone on with.
        device: Where to train.
        vgg: File with VGG19's weights, for recipes with a perceptual loss.
        compiled: Whether torch.compile is used for the generator.
        on_step: Called after each step.
        stop: Asked before each step; True ends the run with a checkpoint.

    Returns:
        The last measurement: gains in dB of Y-PSNR on the material held out, by condition, and more.

    Raises:
        StoppedEarlyError: `stop` said so.
        VsrError: see `vsr.errors`.
    """
    known, held_out = material_for(recipe, data)
    state = new_state(recipe, device=device, start=start, vgg=vgg)
    run = Run(
        recipe=recipe,
        output=output,
        trials=make_trials(held_out, recipe),
        head=_head(recipe, known),
        minutes=minutes,
        on_step=on_step,
        stop=stop,
        origin=origin_of(data, start, vgg),
    )
    figures = train_on(run, state, known, compiled=compiled)
    forget(output)
    return figures


def material_for(recipe: Recipe, data: Sequence[Path]) -> tuple[Material, Material]:
    """Open what a recipe is trained on, and what it is measured on."""
    return open_material(
        data,
        size=recipe.degrade.size,
        frames=recipe.degrade.frames,
        speed=recipe.degrade.speed,
        scale=recipe.scale,
        holdout=recipe.holdout,
        vary=recipe.degrade.vary,
    )


def train_on(run: Run, state: State, known: Material, *, compiled: bool = False) -> dict[str, float]:
    """Take a run to its end from where its newest checkpoint is, and leave that there; see `train`."""
    if resume(run.output, state, run.recipe, run.origin):
        logger.info("going on at step %d", state.step)
    logger.info("computing in %s on %s", computes_in(run.recipe, state.device), state.device)
    if compiled:
        state.network.compile()
    with closing(Journal(run.output)) as journal, tuned(state.device):
        return _steps(run, state, known, journal)


def _head(recipe: Recipe, known: Material) -> dict[str, str]:
    return {
        "vsr": _version(),
        "recipe": recipe.name,
        "settings": json.dumps(facts(recipe), sort_keys=True),
        "data": known.name,
        "data_licences": known.licences,
    }


def _version() -> str:
    """Of the package; a checkout that is not installed has none."""
    try:
        return version("vsr-pipeline")
    except PackageNotFoundError:
        return "unknown"


def _steps(run: Run, state: State, known: Material, journal: Journal) -> dict[str, float]:
    """Step until the run is done; the last measurement."""
    rows, skipped, rolled_back = list[Terms](), 0, False
    figures: dict[str, float] = {}
    steps = _Steps(run, state, known)
    try:
        while (position := run_position(run, state)) < 1:
            _stop_if_asked(run, state)
            due = (state.step + 1) % run.recipe.validate_every == 0
            found = steps.one(position, all_known=due)
            skipped = _in_a_row(skipped, found)
            rows += found
            if skipped > MAX_SKIPPED:
                _roll_back(run, state, again=rolled_back)
                steps.close()
                steps, skipped, rolled_back = _Steps(run, state, known), 0, True
            elif due:
                figures, rows = _measure(run, state, rows, journal), []
        rows += steps.rest()
    finally:
        steps.close()
    return figures if figures and not rows else _measure(run, state, rows, journal)


def _in_a_row(skipped: int, found: Sequence[Terms]) -> int:
    """How many steps were left out without a break, up to one too many."""
    for terms in found:
        if skipped > MAX_SKIPPED:
            break
        skipped = 0 if math.isfinite(terms["loss"]) else skipped + 1
    return skipped


class _Steps:
    """A run's steps on its device, and the clips that feed them; `close` it."""

    def __init__(self, run: Run, state: State, known: Material) -> None:
        self._run, self._state = run, state
        self._pool = ClipPool(known, run.recipe, step=state.step, device=state.device)
        self._replay = Replay(state, run.recipe) if can_replay(state) else None
        if self._replay is None and state.device.type == "cuda":
            logger.debug("steps are not recorded: there is dropout")

    def close(self) -> None:
        self._pool.close()

    def one(self, position: float, *, all_known: bool) -> list[Terms]:
        """Do a step; the terms of those whose figures are known by now, or of all."""
        began, state, recipe = time.monotonic(), self._state, self._run.recipe
        factor = factor_at(recipe.schedule, position)
        if self._replay is None:
            terms = train_step(state, recipe, self._pool.batch(state.step).to(state.device), factor=factor)
            found = [Done(step=state.step, terms=terms)]
        else:
            found = self._replay.step(self._pool.feed(state.step), factor)
            found += self._replay.rest() if all_known else []
        state.seconds += time.monotonic() - began
        return self._told(found, position)

    def rest(self) -> list[Terms]:
        """The terms of the steps that are not known yet."""
        return [] if self._replay is None else self._told(self._replay.rest(), 1.0)

    def _told(self, found: Sequence[Done], position: float) -> list[Terms]:
        for done in found:
            if self._run.on_step is not None:
                seconds = self._state.seconds
                self._run.on_step(
                    TrainProgress(step=done.step, position=position, seconds=seconds, terms=done.terms)
                )
        return [done.terms for done in found]


def run_position(run: Run, state: State) -> float:
    """How far a run is, 0 to 1 and beyond: by steps, or by minutes where those are used up faster."""
    by_steps = state.step / run.recipe.steps
    return by_steps if run.minutes is None else max(by_steps, state.seconds / (60 * run.minutes))


def _stop_if_asked(run: Run, state: State) -> None:
    if run.stop is not None and run.stop():
        save_checkpoint(run.output, state, run.recipe, run.origin)
        raise stopped_early(run, state)


def stopped_early(run: Run, state: State) -> StoppedEarlyError:
    """What is raised when a run ends because it was asked to, with a checkpoint to go on from."""
    return StoppedEarlyError(f"{run.output}: stopped at step {state.step}; run it again to go on from there")


def _roll_back(run: Run, state: State, *, again: bool) -> None:
    """Go back to the last checkpoint, once.

    Raises:
        VsrError: it is the second time, or there is no checkpoint.
    """
    advice = f"lower adam.lr = {run.recipe.adam.lr:g}, or use precision fp32"
    if again or not checkpoints(run.output):
        raise VsrError(f"{MAX_SKIPPED + 1} steps in a row gave no finite loss; {advice}")
    wrong = state.step
    resume(run.output, state, run.recipe, run.origin)
    logger.warning("no finite loss at step %d; once more from step %d", wrong, state.step)


def _measure(run: Run, state: State, rows: Sequence[Terms], journal: Journal) -> dict[str, float]:
    """Measure, write samples, weights and checkpoint, and log a line."""
    figures = measure(state.average, run.trials, run.recipe, state.device, state.perceptual)
    gain = figures["gain"]
    better = state.best is None or gain > state.best
    state.best = gain if better else state.best
    save_samples(run.output, state, run.trials, run.recipe)
    if better or run.recipe.losses.adversarial is not None:
        words = {name: f"{value:+.3f}" for name, value in figures.items()}
        save_weights(run.output, state, run.recipe, {**run.head, "measured": json.dumps(words)})
    save_checkpoint(run.output, state, run.recipe, run.origin)
    journal.write(state.step, state.seconds, {**means(rows), **figures})
    return figures


def dump(recipe: Recipe, *, data: Sequence[Path], folder: Path, number: int) -> Iterator[Path]:
    """Write `number` pictures of what the network would see: LR enlarged beside its target."""
    known, _ = material_for(recipe, data)
    for i in range(number):
        clip = make_clip(known, recipe, 0, i)
        path = folder / f"clip-{i:03d}.png"
        save_pair(clip.lr[0].float(), clip.hr[0] / 255, path)
        yield path
