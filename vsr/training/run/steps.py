"""One training step of the generator, and of the discriminator if there is one.

There are two implementations of the same step. `train_step` checks on the host whether the
results are finite, and waits for them. `device_step` leaves this check to the device, so that it
can be recorded and replayed (`replay`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from vsr.engine.device import choose_dtype
from vsr.training.batches.crops import Batch
from vsr.training.distributed.group import Group
from vsr.training.losses.constant_color import COLOURS, constant_color_loss
from vsr.training.losses.loss_settings import (
    PIXEL,
    Mean,
    chroma,
    discriminator_losses,
    generator_loss,
    grid,
    needs_real,
    tone,
)
from vsr.training.losses.temporal import consistency, consistency_on_device
from vsr.training.recipe import Recipe
from vsr.training.run.convolutions import fast_convolutions
from vsr.training.run.state import Adversary, State

logger = logging.getLogger(__name__)

Terms = dict[str, float]
"""Loss terms of a step by name, unweighted, and the gradient norms; NaN for a part that was skipped."""


def train_step(state: State, recipe: Recipe, batch: Batch, *, factor: float) -> Terms:
    """Do one step.

    Random numbers inside the networks (dropout) depend only on the recipe's seed and the step, so that a
    resumed run continues to the bit. The function seeds torch's global generator for that.

    Args:
        state: State of the run, changed in place; its `step` always increases.
        recipe: Recipe of the run.
        batch: The crops, on the state's device.
        factor: Factor of the learning rates, see `schedule.factor_at`.

    Returns:
        The loss terms; `loss` is NaN if the step was skipped because a value was not finite.
    """
    torch.manual_seed(seed_of(recipe, state.step))
    _set_rate(state.optimizer, recipe.adam.lr * factor)
    adversary = state.adversary if state.step >= recipe.losses.warmup else None
    kept = _buffers(state.network), _buffers(adversary.discriminator if adversary else None)
    sr = _forward(state.network, batch.lr, recipe, state.device)
    terms, loss = generator_terms(state, recipe, batch, sr, adversary)
    found = {name: float(value.detach()) for name, value in terms.items()}
    found["norm"] = _descend(state.optimizer, state.network, loss, recipe.clip, state.group)
    found["loss"] = float(loss.detach()) if math.isfinite(found["norm"]) else math.nan
    if math.isfinite(found["loss"]):
        average_(state.average, state.network, ema_decay(recipe.ema, state.step + 1))
        if adversary is not None:
            found |= _discriminator_step(state, adversary, recipe, batch, sr.detach(), factor)
    else:
        _restore_buffers(kept[0])
    if not math.isfinite(found["loss"] + found.get("d_norm", 0.0)):
        _restore_buffers(kept[1])
    state.step += 1
    return state.group.mean_terms(found)


def seed_of(recipe: Recipe, step: int) -> int:
    """Return the seed of the random numbers in a step."""
    return (recipe.seed * 1_000_003 + step) % 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInputs:
    """Inputs of a step that change besides the batch, on the device, where a recorded step reads them."""

    rate: Tensor
    """Learning rate of the generator; like the next two, a float32 scalar."""
    discriminator_rate: Tensor
    """Learning rate of the discriminator."""
    move: Tensor
    """Weight of the network in the update of the average: 1 - decay."""
    colours: Tensor
    """`(COLOURS, 3)` float32, [0, 1], for the constant-colour loss `flat`."""


def device_step(state: State, recipe: Recipe, batch: Batch, inputs: StepInputs) -> dict[str, Tensor]:
    """Do one step without synchronisation; it equals `train_step` up to rounding.

    If the loss or a gradient is not finite, the device itself keeps all values as they were. Dropout is not
    supported, because torch's generator is not seeded.

    Args:
        state: State of the run, changed in place except `step`. Its
            optimisers must be fused, and capturable on CUDA.
        recipe: Recipe of the run.
        batch: The crops, on the state's device.
        inputs: Learning rates, the average's weight and random colours.

    Returns:
        The terms of `train_step`, fp32 scalars, on the device; NaN for a part that was skipped.
    """
    adversary = state.adversary if state.step >= recipe.losses.warmup else None
    kept = _buffers(state.network), _buffers(adversary.discriminator if adversary else None)
    sr = _forward(state.network, batch.lr, recipe, state.device)
    terms, loss = generator_terms(state, recipe, batch, sr, adversary, inputs.colours)
    found = {name: value.detach() for name, value in terms.items()}
    good, norm = _descend_where_finite(state.optimizer, state.network, loss, recipe.clip, inputs.rate)
    found |= {"norm": _where(good, norm), "loss": _where(good, loss.detach())}
    _restore_buffers_unless(good, kept[0])
    _average_by(state.average, state.network, inputs.move * good)
    if adversary is not None:
        terms, losses = _discriminator_losses(state, adversary, recipe, batch, sr.detach())
        fine, norm = _descend_where_finite(
            adversary.optimizer, adversary.discriminator, losses, recipe.clip, inputs.discriminator_rate, good
        )
        found |= {name: _where(good, value) for name, value in terms.items()} | {"d_norm": _where(fine, norm)}
        _restore_buffers_unless(fine, kept[1])
    return found


def generator_terms(
    state: State,
    recipe: Recipe,
    batch: Batch,
    sr: Tensor,
    adversary: Adversary | None,
    colours: Tensor | None = None,
) -> tuple[dict[str, Tensor], Tensor]:
    """Return the generator's loss terms and their weighted sum; colours are drawn if they are not given."""
    losses = recipe.losses
    terms = {"pixel": PIXEL[losses.pixel](sr, batch.hr)}
    if state.step < losses.warmup:
        return terms, terms["pixel"]
    weights = {"pixel": losses.pixel_weight}
    if losses.perceptual is not None and state.perceptual is not None:
        with autocast(recipe, state.device):
            terms["perceptual"] = state.perceptual(sr, batch.hr)
        weights["perceptual"] = losses.perceptual.weight
    if losses.adversarial is not None and adversary is not None:
        terms["adversarial"] = _adversarial(state, adversary, recipe, batch, sr)
        weights["adversarial"] = losses.adversarial.weight
    if losses.temporal and batch.shift is not None:
        compared = consistency if batch.shift.device.type == "cpu" else consistency_on_device
        terms["temporal"] = compared(sr[0::2], sr[1::2], batch.shift)
        weights["temporal"] = losses.temporal
    if losses.tone:
        terms["tone"], weights["tone"] = tone(sr, batch.hr), losses.tone
    if losses.chroma:
        terms["chroma"], weights["chroma"] = chroma(sr, batch.hr), losses.chroma
    if losses.grid:
        terms["grid"], weights["grid"] = grid(sr, batch.hr, recipe.scale), losses.grid
    if losses.flat:
        with autocast(recipe, state.device):
            # On the CPU, because a GPU would draw other numbers.
            drawn = torch.rand(COLOURS, 3).to(state.device) if colours is None else colours
            terms["flat"] = constant_color_loss(state.network, drawn)
        weights["flat"] = losses.flat
    return terms, torch.stack([weights[name] * value for name, value in terms.items()]).sum()


def _adversarial(state: State, adversary: Adversary, recipe: Recipe, batch: Batch, sr: Tensor) -> Tensor:
    """Return the adversarial loss of the generator, without gradients for the discriminator's weights."""
    assert recipe.losses.adversarial is not None
    kind, device, real = recipe.losses.adversarial.kind, state.device, None
    adversary.discriminator.requires_grad_(False)
    fake = _forward(adversary.discriminator, sr, recipe, device)
    if needs_real(kind):
        with torch.no_grad():
            real = _forward(adversary.discriminator, batch.plain, recipe, device)
    adversary.discriminator.requires_grad_(True)
    return generator_loss(kind, real, fake, mean_of_batch(state))


def mean_of_batch(state: State) -> Mean:
    """Return the function for a mean over the whole batch, of which this process may have a share."""
    return lambda x: state.group.mean(x.mean())


def _discriminator_step(
    state: State, adversary: Adversary, recipe: Recipe, batch: Batch, sr: Tensor, factor: float
) -> Terms:
    """Train the discriminator, which sees HR without sharpening."""
    assert recipe.losses.adversarial is not None
    _set_rate(adversary.optimizer, recipe.losses.adversarial.lr * factor)
    terms, loss = _discriminator_losses(state, adversary, recipe, batch, sr)
    norm = _descend(adversary.optimizer, adversary.discriminator, loss, recipe.clip, state.group)
    return {name: float(value) for name, value in terms.items()} | {"d_norm": norm}


def _discriminator_losses(
    state: State, adversary: Adversary, recipe: Recipe, batch: Batch, sr: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """Return the two losses of the discriminator by name, and their sum."""
    assert recipe.losses.adversarial is not None
    real = _forward(adversary.discriminator, batch.plain, recipe, state.device)
    fake = _forward(adversary.discriminator, sr, recipe, state.device)
    losses = discriminator_losses(recipe.losses.adversarial.kind, real, fake, mean_of_batch(state))
    return {"d_real": losses.real.detach(), "d_fake": losses.fake.detach()}, losses.real + losses.fake


def _forward(network: nn.Module, images: Tensor, recipe: Recipe, device: torch.device) -> Tensor:
    with autocast(recipe, device):
        result: Tensor = network(images)
    return result.float()


def _descend(
    optimizer: torch.optim.Optimizer, network: nn.Module, loss: Tensor, clip: float, group: Group
) -> float:
    """Back-propagate and do a step, and return the gradient norm. If it is not finite, nothing changes."""
    optimizer.zero_grad()
    loss.backward()
    total = group.mean_gradients_(network.parameters(), loss)
    norm = float(clip_grad_norm_(network.parameters(), clip))
    if math.isfinite(norm) and math.isfinite(float(total)):
        optimizer.step()
        return norm
    logger.warning("skipped a step of the %s: gradient norm %g", type(network).__name__, norm)
    return math.nan


def _descend_where_finite(
    optimizer: torch.optim.Adam,
    network: nn.Module,
    loss: Tensor,
    clip: float,
    rate: Tensor,
    wanted: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Do `_descend` without synchronisation; return whether the step was
    done (bool scalar) and the gradient norm."""
    optimizer.zero_grad()
    loss.backward()
    norm = clip_grad_norm_(network.parameters(), clip)
    good = norm.isfinite() & loss.detach().isfinite()
    good = good if wanted is None else good & wanted
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.found_inf = (~good).float()  # type: ignore[attr-defined]
    optimizer.step()  # the fused optimiser changes nothing if found_inf is 1
    del optimizer.found_inf  # type: ignore[attr-defined]
    return good, norm


def _where(good: Tensor, value: Tensor) -> Tensor:
    return value.masked_fill(~good, math.nan)  # `torch.where` would synchronise to copy the number


Buffers = list[tuple[Tensor, Tensor]]
"""Buffers of a network and copies of them."""


def _buffers(network: nn.Module | None) -> Buffers:
    """Copy the buffers that a forward pass changes: running averages of batch
    norm, which would keep a NaN forever."""
    return [(b, b.clone()) for b in network.buffers()] if network is not None else []


def _restore_buffers(buffers: Buffers) -> None:
    for buffer, before in buffers:
        buffer.copy_(before)


def _restore_buffers_unless(good: Tensor, buffers: Buffers) -> None:
    for buffer, before in buffers:
        buffer.copy_(torch.where(good, buffer, before))


def _set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def autocast(recipe: Recipe, device: torch.device) -> AbstractContextManager[object]:
    """Return a context that computes in the recipe's precision; fp32
    on a CPU uses the faster convolutions."""
    if computes_in(recipe, device) == "fp32":
        return fast_convolutions(device)
    # Each weight is used once within a context, and a recorded step must not reuse a weight cast before.
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def computes_in(recipe: Recipe, device: torch.device) -> Literal["bf16", "fp32"]:
    """Return the precision on a device, resolving `precision = "auto"`.

    Some devices run inference in fp16, but training in fp16 would require loss scaling.
    """
    return "bf16" if choose_dtype(recipe.precision, device) == torch.bfloat16 else "fp32"


def ema_decay(decay: float, step: int) -> float:
    """Return the decay of the average at `step`: smaller at first, so that
    the initial weights are soon forgotten."""
    return min(decay, (1 + step) / (10 + step))


def average_(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move `average` towards `network`; buffers (running averages of batch norm) are copied."""
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), _tensors(network.parameters()), 1 - decay)
        for mine, theirs in zip(average.buffers(), network.buffers(), strict=True):
            mine.copy_(theirs)


def _average_by(average: nn.Module, network: nn.Module, move: Tensor) -> None:
    """Do `average_` with a weight on the device; 0 keeps the average unchanged."""
    with torch.no_grad():
        mine = _tensors(average.parameters())
        apart = list(torch._foreach_sub(_tensors(network.parameters()), mine))
        torch._foreach_mul_(apart, move)
        torch._foreach_add_(mine, apart)
        for own, theirs in zip(average.buffers(), network.buffers(), strict=True):
            own.copy_(theirs)


def _tensors(parameters: Iterable[Tensor]) -> list[Tensor]:
    return list(parameters)
