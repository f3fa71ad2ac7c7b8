"""The training loop: draws batches, trains, and at intervals validates, saves and logs."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import Tensor

from vsr.errors import CancelledError, VsrError
from vsr.training.batches.pool import ClipPool, make_clip
from vsr.training.data.datasets import Dataset, open_datasets
from vsr.training.data.sources import Source
from vsr.training.distributed.group import Group
from vsr.training.recipe import Recipe, facts
from vsr.training.run.alike import check_alike
from vsr.training.run.checkpoint import (
    announce,
    checkpoints,
    remove_checkpoints,
    resume,
    save_checkpoint,
    save_weights,
    share_state,
)
from vsr.training.run.evaluate import ValidationCase, make_cases, measure
from vsr.training.run.origin import Origin, origin_of
from vsr.training.run.records.journal import Journal, means
from vsr.training.run.records.page import PageFacts, last_page, page_path, running, write_page
from vsr.training.run.records.samples import save_pair, save_samples
from vsr.training.run.replay import Replay, StepResult, can_replay, fast_cuda_settings
from vsr.training.run.state import State, new_state
from vsr.training.run.steps import Terms, computes_in, train_step
from vsr.training.schedule import factor_at

logger = logging.getLogger(__name__)

MAX_SKIPPED = 10
"""Number of consecutive steps without a finite loss or gradient after which a run returns to its last
checkpoint. The second time it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainProgress:
    """Progress of a run, passed to `on_step` after each step, on a GPU some steps later."""

    step: int
    position: float
    """Fraction of the run, 0 to 1."""
    seconds: float
    terms: Terms


class StoppedEarlyError(CancelledError):
    """A run was asked to stop and has written a checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Settings that do not change during a run."""

    recipe: Recipe
    output: Path
    cases: Sequence[ValidationCase]
    head: Mapping[str, str]
    """Metadata for the weight file."""
    minutes: float | None
    """Time limit. If the steps take longer, the schedule is compressed to end in time."""
    on_step: Callable[[TrainProgress], None] | None
    stop: Callable[[], bool] | None
    origin: Origin | None = None
    """Digests of the training data; the run resumes only with the same data."""

    def about(self, device: torch.device) -> PageFacts:
        """Return what the page of the run says besides its figures."""
        return PageFacts(recipe=self.recipe, device=device, minutes=self.minutes, head=self.head)


def train(
    recipe: Recipe,
    *,
    data: Sequence[Source],
    output: Path,
    minutes: float | None = None,
    start: Mapping[str, Tensor] | None = None,
    start_facts: Mapping[str, str] | None = None,
    device: torch.device | str = "cpu",
    vgg: Path | None = None,
    compiled: bool = False,
    on_step: Callable[[TrainProgress], None] | None = None,
    stop: Callable[[], bool] | None = None,
    group: Group | None = None,
) -> dict[str, float]:
    """Train a network, or resume a run.

    The function also writes files beside `output`: a folder of checkpoints (`.checkpoints`, removed
    at the end), a log (`.jsonl`), sample images (`.samples`) and a page that shows both
    (`.training.html`). `output` contains the averaged weights with the best validation result so far,
    or the latest weights with an adversarial loss, because PSNR does not measure its success.

    On the CPU, and without `minutes`, a resumed run ends with the same bits as an uninterrupted one.

    Args:
        recipe: Settings of the run.
        data: Folders of images, videos, pairs, and lists of shards; see `datasets.open_datasets`.
        output: Weight file to write.
        minutes: Maximum training time; None runs all steps of the recipe.
        start: Initial weights; a resumed run ignores them.
        start_facts: Where they come from, for the metadata of the weight file; see `start.facts_of_start`.
        device: Device to train on.
        vgg: File with VGG19's weights, for recipes with a perceptual loss.
        compiled: Whether the generator is compiled with torch.compile.
        on_step: Called after each step.
        stop: Called before each step; if it returns True, the run writes a checkpoint and ends.
        group: The processes that train together; None is this one alone.

    Returns:
        The last validation result: gains in dB of Y-PSNR on held-out data by condition, and more.

    Raises:
        StoppedEarlyError: `stop` returned True.
        VsrError: See `vsr.errors`.
    """
    group = Group() if group is None else group
    known, held_out = datasets_for(recipe, data)
    origin = origin_of(data, start, vgg)
    check_alike(group, recipe, origin)
    state = new_state(recipe, device=device, start=start, vgg=vgg, group=group)
    run = Run(
        recipe=recipe,
        output=output,
        cases=make_cases(held_out, recipe) if group.leads else (),
        head={**_head(recipe, known), **(start_facts or {})},
        minutes=minutes,
        on_step=on_step if group.leads else None,
        stop=stop,
        origin=origin,
    )
    figures = train_on(run, state, known, compiled=compiled)
    if group.leads:
        remove_checkpoints(output)
    return figures


def datasets_for(recipe: Recipe, data: Sequence[Source]) -> tuple[Dataset, Dataset]:
    """Open the training and the held-out data of a recipe."""
    return open_datasets(
        data,
        size=recipe.degrade.size,
        frames=recipe.degrade.frames,
        speed=recipe.degrade.speed,
        scale=recipe.scale,
        holdout=recipe.holdout,
        vary=recipe.degrade.vary,
    )


def train_on(run: Run, state: State, known: Dataset, *, compiled: bool = False) -> dict[str, float]:
    """Run the training from its newest checkpoint to the end, and keep the checkpoints; see `train`."""
    if state.group.leads and resume(run.output, state, run.recipe, run.origin):
        logger.info("resuming at step %d", state.step)
    share_state(state)
    logger.info("computing in %s on %s", computes_in(run.recipe, state.device), state.device)
    if compiled:
        state.network.compile()
    with ExitStack() as stack:
        stack.enter_context(fast_cuda_settings(state.device))
        journal = stack.enter_context(closing(Journal(run.output))) if state.group.leads else None
        if journal is not None:
            logger.info("the page %s shows the run after each validation", page_path(run.output))
            stack.enter_context(last_page(run.output, run.about(state.device), lambda: state.step))
        return _steps(run, state, known, journal)


def _head(recipe: Recipe, known: Dataset) -> dict[str, str]:
    return {
        "vsr": _version(),
        "recipe": recipe.name,
        "settings": json.dumps(facts(recipe), sort_keys=True),
        "data": known.name,
        "data_licences": known.licences,
    }


def _version() -> str:
    """Return the version of the installed package; a checkout that is not installed has none."""
    try:
        return version("vsr-pipeline")
    except PackageNotFoundError:
        return "unknown"


def _steps(run: Run, state: State, known: Dataset, journal: Journal | None) -> dict[str, float]:
    """Train until the run ends, and return the last validation result."""
    rows, skipped, rolled_back = list[Terms](), 0, False
    figures: dict[str, float] = {}
    steps = _Steps(run, state, known)
    try:
        while (position := _next_position(run, state)) < 1:
            due = (state.step + 1) % run.recipe.validate_every == 0
            found = steps.one(position, all_known=due)
            skipped = _consecutive_skipped(skipped, found)
            rows += found
            if skipped > MAX_SKIPPED:
                _roll_back(run, state, again=rolled_back)
                steps.close()
                steps, skipped, rolled_back = _Steps(run, state, known), 0, True
            elif due:
                figures, rows = _measure(run, state, rows, journal), []
        rows += steps.wait()
    finally:
        steps.close()
    return figures if figures and not rows else _measure(run, state, rows, journal)


def _consecutive_skipped(skipped: int, found: Sequence[Terms]) -> int:
    """Return the number of consecutive skipped steps, at most one more than `MAX_SKIPPED`."""
    for terms in found:
        if skipped > MAX_SKIPPED:
            break
        skipped = 0 if math.isfinite(terms["loss"]) else skipped + 1
    return skipped


class _Steps:
    """The training steps of a run on its device, and the pool of clips; call `close` at the end."""

    def __init__(self, run: Run, state: State, known: Dataset) -> None:
        self._run, self._state = run, state
        self._pool = ClipPool(known, run.recipe, step=state.step, device=state.device, group=state.group)
        self._replay = Replay(state, run.recipe) if can_replay(state) else None
        if self._replay is None and state.device.type == "cuda":
            logger.debug("steps are not recorded as CUDA graphs because a network has dropout")

    def close(self) -> None:
        self._pool.close()

    def one(self, position: float, *, all_known: bool) -> list[Terms]:
        """Do a step, and return the loss terms that are known by now, or wait for all of them."""
        began, state, recipe = time.monotonic(), self._state, self._run.recipe
        factor = factor_at(recipe.schedule, position)
        if self._replay is None:
            terms = train_step(state, recipe, self._pool.batch(state.step).to(state.device), factor=factor)
            found = [StepResult(step=state.step, terms=terms)]
        else:
            found = self._replay.step(self._pool.batch_source(state.step), factor)
            found += self._replay.wait() if all_known else []
        state.seconds += time.monotonic() - began
        return self._report(found, position)

    def wait(self) -> list[Terms]:
        """Wait for the loss terms that are not known yet."""
        return [] if self._replay is None else self._report(self._replay.wait(), 1.0)

    def _report(self, found: Sequence[StepResult], position: float) -> list[Terms]:
        for result in found:
            if self._run.on_step is not None:
                seconds = self._state.seconds
                self._run.on_step(
                    TrainProgress(step=result.step, position=position, seconds=seconds, terms=result.terms)
                )
        return [result.terms for result in found]


def run_position(run: Run, state: State) -> float:
    """Return the fraction of the run that is done, 0 to 1 or more: by
    steps, or by minutes if these pass faster."""
    by_steps = state.step / run.recipe.steps
    return by_steps if run.minutes is None else max(by_steps, state.seconds / (60 * run.minutes))


def _next_position(run: Run, state: State) -> float:
    """Return the position of process 0. If one of the processes was asked to stop, all do.

    Raises:
        StoppedEarlyError: The run was asked to stop, and has written a checkpoint.
    """
    own = run_position(run, state)
    asked = own < 1 and run.stop is not None and run.stop()
    position, stops = state.group.largest(own if state.group.leads else 0.0, float(asked))
    if stops:
        if state.group.leads:
            save_checkpoint(run.output, state, run.recipe, run.origin)
        raise stopped_early(run, state)
    return position


def stopped_early(run: Run, state: State) -> StoppedEarlyError:
    """Return the error for a run that ends on request, with a checkpoint to resume from."""
    return StoppedEarlyError(f"{run.output}: stopped at step {state.step}. Run it again to resume")


def _roll_back(run: Run, state: State, *, again: bool) -> None:
    """Return to the last checkpoint, once.

    Raises:
        VsrError: This is the second time, or there is no checkpoint.
    """
    advice = f"Lower adam.lr = {run.recipe.adam.lr:g}, or use precision fp32"
    (can_return,) = state.group.largest(bool(checkpoints(run.output)) if state.group.leads else 0)
    if again or not can_return:
        raise VsrError(f"{MAX_SKIPPED + 1} consecutive steps had no finite loss. {advice}")
    wrong = state.step
    if state.group.leads:
        resume(run.output, state, run.recipe, run.origin)
    share_state(state)
    logger.warning("no finite loss at step %d; restarting from step %d", wrong, state.step)


def _measure(run: Run, state: State, rows: Sequence[Terms], journal: Journal | None) -> dict[str, float]:
    """Let process 0 validate and write; return its results, and continue with its state, in all processes."""
    figures = {} if journal is None else _measure_and_write(run, state, rows, journal)
    share_state(state)  # machines with other processors may round differently
    shared: dict[str, float] = json.loads(state.group.from_leader(json.dumps(figures).encode()))
    return shared


def _measure_and_write(run: Run, state: State, rows: Sequence[Terms], journal: Journal) -> dict[str, float]:
    """Validate, write samples, weights and a checkpoint, and log the results."""
    figures = measure(state.average, run.cases, run.recipe, state.device, state.perceptual)
    gain = figures["gain"]
    better = state.best is None or gain > state.best
    state.best = gain if better else state.best
    save_samples(run.output, state, run.cases, run.recipe)
    if better or run.recipe.losses.adversarial is not None:
        announce(run.output, run.recipe, run.origin)
        words = {name: f"{value:+.3f}" for name, value in figures.items()}
        save_weights(run.output, state, run.recipe, {**run.head, "measured": json.dumps(words)})
    save_checkpoint(run.output, state, run.recipe, run.origin)
    journal.write(state.step, state.seconds, {**means(rows), **figures})
    status = running(state.step, run_position(run, state), state.seconds)
    write_page(run.output, run.about(state.device), status)
    return figures


def dump(recipe: Recipe, *, data: Sequence[Source], folder: Path, number: int) -> Iterator[Path]:
    """Write `number` images of the training data: LR, enlarged to whole pixels, beside its target."""
    known, _ = datasets_for(recipe, data)
    for i in range(number):
        clip = make_clip(known, recipe, 0, i)
        path = folder / f"clip-{i:03d}.png"
        save_pair(clip.lr[0].float(), clip.hr[0] / 255, path)
        yield path
