"""The training loop: draw a batch, step, and every so often measure, save, and say so."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from vsr.errors import OutputError, VsrError
from vsr.train.checkpoint import checkpoint_path, load_checkpoint, save_checkpoint, save_weights
from vsr.train.data import find_pictures, large_enough, licences, split
from vsr.train.evaluate import Trial, gains, make_trials
from vsr.train.pool import ClipPool
from vsr.train.recipe import Recipe
from vsr.train.state import State, new_state

logger = logging.getLogger(__name__)

MAX_SKIPPED = 10
"""Steps in a row with a loss or gradient that is not finite, before the run is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What stays the same while a run goes on."""

    recipe: Recipe
    output: Path
    trials: list[Trial]
    head: Mapping[str, str]
    """Metadata of the weight file."""
    minutes: float | None
    """The schedule is squeezed so that the run ends after so long, if its steps take longer."""


def train(
    recipe: Recipe,
    *,
    data: Path,
    output: Path,
    minutes: float | None = None,
    start: Mapping[str, Tensor] | None = None,
) -> dict[str, float]:
    """Train a network, or go on with a run that was cut off.

    Beside `output` a checkpoint (`.checkpoint`, removed at the end) and a log (`.jsonl`) are written;
    `output` itself always holds the averaged weights of the latest measurement.

    Args:
        recipe: What to train, and how.
        data: Folder of pictures, see `data.find_pictures`.
        output: Weight file to write.
        minutes: Longest time to train; None takes all of the recipe's steps.
        start: Weights to start from, wherever they fit; not used when a run is gone on with.

    Returns:
        Gain over bicubic in dB of Y-PSNR on the photographs held out, by condition.
    """
    pictures = large_enough(find_pictures(data), recipe.degrade.size)
    known, held_out = split(pictures, recipe.holdout)
    logger.info("%d pictures to train on, %d held out", len(known), len(held_out))
    trials = make_trials(held_out, recipe)
    head = {"recipe": recipe.name, "data": licences(data)}
    run = Run(recipe=recipe, output=output, trials=trials, head=head, minutes=minutes)
    state = new_state(recipe, start)
    if checkpoint_path(output).exists():
        load_checkpoint(checkpoint_path(output), state, recipe)
        logger.info("going on at step %d", state.step)
    with ClipPool(known, recipe, step=state.step) as pool:
        scores = _loop(run, state, pool)
    checkpoint_path(output).unlink(missing_ok=True)
    return scores


def _loop(run: Run, state: State, pool: ClipPool) -> dict[str, float]:
    skipped, losses, scores = 0, list[float](), dict[str, float]()
    while (position := run_position(run, state)) < 1:
        began = time.monotonic()
        loss = train_step(state, run.recipe, *pool.batch(state.step), lr=lr_at(run.recipe, position))
        skipped = 0 if math.isfinite(loss) else skipped + 1
        if skipped > MAX_SKIPPED:
            raise VsrError(f"{skipped} steps in a row gave no finite loss; lower lr = {run.recipe.lr}")
        if not skipped:
            losses.append(loss)
        state.seconds += time.monotonic() - began
        if state.step % run.recipe.validate_every == 0:
            scores, losses = _measure(run, state, losses), []
    return scores if scores and not losses else _measure(run, state, losses)


def run_position(run: Run, state: State) -> float:
    """How far a run is, 0 to 1 and beyond: by steps, or by minutes where those are used up faster."""
    by_steps = state.step / run.recipe.steps
    return by_steps if run.minutes is None else max(by_steps, state.seconds / (60 * run.minutes))


def lr_at(recipe: Recipe, position: float) -> float:
    """One cycle: up linearly for `warmup`, then down along half a cosine to `final_lr`."""
    if position < recipe.warmup:
        return recipe.lr * (0.04 + 0.96 * position / recipe.warmup)  # from lr / 25, torch's OneCycleLR
    down = (position - recipe.warmup) / (1 - recipe.warmup)
    return recipe.final_lr + (recipe.lr - recipe.final_lr) * (1 + math.cos(math.pi * down)) / 2


def train_step(state: State, recipe: Recipe, lr_batch: Tensor, hr_batch: Tensor, *, lr: float) -> float:
    """Do one step; its loss, or NaN for a step that was left out because something was not finite."""
    state.optimizer.param_groups[0]["lr"] = lr
    with autocast(recipe):
        sr = state.net(lr_batch)
    loss = (sr - hr_batch).abs().mean()
    state.optimizer.zero_grad()
    loss.backward()
    norm = clip_grad_norm_(state.net.parameters(), recipe.clip)
    state.step += 1
    if not math.isfinite(norm):
        logger.warning("step %d left out: gradient norm %s", state.step, float(norm))
        return math.nan
    state.optimizer.step()
    _average(state, ema_decay(recipe.ema, state.step))
    return float(loss.detach())


def autocast(recipe: Recipe) -> AbstractContextManager[None]:
    """Run convolutions in the recipe's precision."""
    return torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bf16")


def ema_decay(decay: float, step: int) -> float:
    """Decay of the average at `step`: short at first, so that the start is soon forgotten."""
    return min(decay, (1 + step) / (10 + step))


def _average(state: State, decay: float) -> None:
    with torch.no_grad():
        torch._foreach_lerp_(list(state.average.parameters()), list(state.net.parameters()), 1 - decay)


def _measure(run: Run, state: State, losses: list[float]) -> dict[str, float]:
    """Measure, write weights and checkpoint, and log a line."""
    with autocast(run.recipe):
        scores = gains(state.average, run.trials, run.recipe.network.scale)
    words = {name: f"{gain:+.3f}" for name, gain in scores.items()}
    save_weights(run.output, state, {**run.head, "gain_db": json.dumps(words)})
    save_checkpoint(checkpoint_path(run.output), state, run.recipe)
    _log(run, state, losses, words)
    return scores


def _log(run: Run, state: State, losses: list[float], words: Mapping[str, str]) -> None:
    loss = sum(losses) / max(1, len(losses))
    seconds = round(state.seconds, 1)
    row = {"step": state.step, "seconds": seconds, "loss": round(loss, 6), **words}
    logger.info(", ".join(f"{key} {value}" for key, value in row.items()))
    try:
        with run.output.with_suffix(".jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    except OSError as error:
        raise OutputError(f"{run.output.with_suffix('.jsonl')}: cannot be written ({error})") from error
