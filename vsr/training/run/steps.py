"""One training step: the generator's, and the discriminator's where there is one.

There are two of one mathematics. `train_step` decides on the host whether a step counts, and waits for its
figures; `device_step` leaves that to the device, so that it can be recorded and replayed (`replay`).
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
from vsr.training.losses.constant_color import COLOURS, flatness
from vsr.training.losses.loss_settings import (
    PIXEL,
    chroma,
    discriminator_losses,
    generator_loss,
    grid,
    needs_real,
    tone,
)
from vsr.training.losses.temporal import consistency, consistency_on_device
from vsr.training.recipe import Recipe
from vsr.training.run.convolutions import quick
from vsr.training.run.state import Rivals, State

logger = logging.getLogger(__name__)

Terms = dict[str, float]
"""Loss terms of a step by name, unweighted, and the norms of the gradients; NaN for what was left out."""


def train_step(state: State, recipe: Recipe, batch: Batch, *, factor: float) -> Terms:
    """Do one step.

    Random numbers inside the networks (dropout) are drawn from the recipe's seed and the step alone, so that
    a run that was cut off goes on bit for bit. torch's own generator is set for that.

    Args:
        state: Changed; its `step` always counts on.
        recipe: Of the run.
        batch: On the state's device.
        factor: Of the learning rates, see `schedule.factor_at`.

    Returns:
        The terms; `loss` is NaN where the step was left out because something was not finite.
    """
    torch.manual_seed(seed_of(recipe, state.step))
    _set_rate(state.optimizer, recipe.adam.lr * factor)
    rivals = state.rivals if state.step >= recipe.losses.warmup else None
    kept = _buffers(state.network), _buffers(rivals.discriminator if rivals else None)
    sr = _forward(state.network, batch.lr, recipe, state.device)
    terms, loss = generator_terms(state, recipe, batch, sr, rivals)
    found = {name: float(value.detach()) for name, value in terms.items()}
    found["norm"] = _descend(state.optimizer, state.network, loss, recipe.clip)
    found["loss"] = float(loss.detach()) if math.isfinite(found["norm"]) else math.nan
    if math.isfinite(found["loss"]):
        average_(state.average, state.network, ema_decay(recipe.ema, state.step + 1))
        if rivals is not None:
            found |= _rival_step(rivals, recipe, batch, sr.detach(), factor, state.device)
    else:
        _bring_back(kept[0])
    if not math.isfinite(found["loss"] + found.get("d_norm", 0.0)):
        _bring_back(kept[1])
    state.step += 1
    return found


def seed_of(recipe: Recipe, step: int) -> int:
    """Of what is random in a step."""
    return (recipe.seed * 1_000_003 + step) % 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class Dials:
    """What changes from step to step beside the batch, on the device: a recorded step reads it anew."""

    rate: Tensor
    """Learning rate of the generator; this and the next two: float32, no dimensions."""
    rival_rate: Tensor
    """Of the discriminator."""
    move: Tensor
    """How far the average moves towards the network: 1 less its decay."""
    colours: Tensor
    """`(COLOURS, 3)` float32, [0, 1], for `flat`."""


def device_step(state: State, recipe: Recipe, batch: Batch, dials: Dials) -> dict[str, Tensor]:
    """Do one step without waiting for the device; `train_step`'s mathematics, rounding apart.

    Where the loss or a gradient is not finite, all numbers are left as they were, on the device itself.
    Dropout is not for it: torch's generator is not set.

    Args:
        state: Changed, but for `step`. Its optimisers must be fused, and on CUDA capturable.
        recipe: Of the run.
        batch: On the state's device.
        dials: See there.

    Returns:
        `train_step`'s terms, fp32, no dimensions, on the device; NaN for what was left out.
    """
    rivals = state.rivals if state.step >= recipe.losses.warmup else None
    kept = _buffers(state.network), _buffers(rivals.discriminator if rivals else None)
    sr = _forward(state.network, batch.lr, recipe, state.device)
    terms, loss = generator_terms(state, recipe, batch, sr, rivals, dials.colours)
    found = {name: value.detach() for name, value in terms.items()}
    good, norm = _descend_where_finite(state.optimizer, state.network, loss, recipe.clip, dials.rate)
    found |= {"norm": _where(good, norm), "loss": _where(good, loss.detach())}
    _bring_back_unless(good, kept[0])
    _average_by(state.average, state.network, dials.move * good)
    if rivals is not None:
        told, losses = _rival_losses(rivals, recipe, batch, sr.detach(), state.device)
        fine, norm = _descend_where_finite(
            rivals.optimizer, rivals.discriminator, losses, recipe.clip, dials.rival_rate, good
        )
        found |= {name: _where(good, value) for name, value in told.items()} | {"d_norm": _where(fine, norm)}
        _bring_back_unless(fine, kept[1])
    return found


def generator_terms(
    state: State,
    recipe: Recipe,
    batch: Batch,
    sr: Tensor,
    rivals: Rivals | None,
    colours: Tensor | None = None,
) -> tuple[dict[str, Tensor], Tensor]:
    """The generator's loss terms, and their weighted sum; colours that are not given are drawn."""
    losses = recipe.losses
    terms = {"pixel": PIXEL[losses.pixel](sr, batch.hr)}
    if state.step < losses.warmup:
        return terms, terms["pixel"]
    weights = {"pixel": losses.pixel_weight}
    if losses.perceptual is not None and state.perceptual is not None:
        with autocast(recipe, state.device):
            terms["perceptual"] = state.perceptual(sr, batch.hr)
        weights["perceptual"] = losses.perceptual.weight
    if losses.adversarial is not None and rivals is not None:
        terms["adversarial"] = _adversarial(rivals, recipe, batch, sr, state.device)
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
            # On the host: a card would draw others.
            drawn = torch.rand(COLOURS, 3).to(state.device) if colours is None else colours
            terms["flat"] = flatness(state.network, drawn)
        weights["flat"] = losses.flat
    return terms, torch.stack([weights[name] * value for name, value in terms.items()]).sum()


def _adversarial(rivals: Rivals, recipe: Recipe, batch: Batch, sr: Tensor, device: torch.device) -> Tensor:
    """What the discriminator says of the generator's pictures; its own weights get no gradient here."""
    assert recipe.losses.adversarial is not None
    kind, real = recipe.losses.adversarial.kind, None
    rivals.discriminator.requires_grad_(False)
    fake = _forward(rivals.discriminator, sr, recipe, device)
    if needs_real(kind):
        with torch.no_grad():
            real = _forward(rivals.discriminator, batch.plain, recipe, device)
    rivals.discriminator.requires_grad_(True)
    return generator_loss(kind, real, fake)


def _rival_step(
    rivals: Rivals, recipe: Recipe, batch: Batch, sr: Tensor, factor: float, device: torch.device
) -> Terms:
    """Teach the discriminator, which sees the HR pictures as they are, without sharpening."""
    assert recipe.losses.adversarial is not None
    _set_rate(rivals.optimizer, recipe.losses.adversarial.lr * factor)
    told, loss = _rival_losses(rivals, recipe, batch, sr, device)
    norm = _descend(rivals.optimizer, rivals.discriminator, loss, recipe.clip)
    return {name: float(value) for name, value in told.items()} | {"d_norm": norm}


def _rival_losses(
    rivals: Rivals, recipe: Recipe, batch: Batch, sr: Tensor, device: torch.device
) -> tuple[dict[str, Tensor], Tensor]:
    """The discriminator's two losses, and their sum."""
    assert recipe.losses.adversarial is not None
    real = _forward(rivals.discriminator, batch.plain, recipe, device)
    fake = _forward(rivals.discriminator, sr, recipe, device)
    losses = discriminator_losses(recipe.losses.adversarial.kind, real, fake)
    return {"d_real": losses.real.detach(), "d_fake": losses.fake.detach()}, losses.real + losses.fake


def _forward(network: nn.Module, images: Tensor, recipe: Recipe, device: torch.device) -> Tensor:
    with autocast(recipe, device):
        result: Tensor = network(images)
    return result.float()


def _descend(optimizer: torch.optim.Optimizer, network: nn.Module, loss: Tensor, clip: float) -> float:
    """Back-propagate and step; returns the gradient's norm, and changes nothing where that is not finite."""
    optimizer.zero_grad()
    loss.backward()
    norm = float(clip_grad_norm_(network.parameters(), clip))
    if math.isfinite(norm) and math.isfinite(float(loss.detach())):
        optimizer.step()
        return norm
    logger.warning("a step of the %s left out: gradient norm %g", type(network).__name__, norm)
    return math.nan


def _descend_where_finite(
    optimizer: torch.optim.Adam,
    network: nn.Module,
    loss: Tensor,
    clip: float,
    rate: Tensor,
    wanted: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`_descend` without the host: whether the step was done (bool, no dimensions), and the norm."""
    optimizer.zero_grad()
    loss.backward()
    norm = clip_grad_norm_(network.parameters(), clip)
    good = norm.isfinite() & loss.detach().isfinite()
    good = good if wanted is None else good & wanted
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.found_inf = (~good).float()  # type: ignore[attr-defined]
    optimizer.step()  # the fused one changes nothing where found_inf is 1
    del optimizer.found_inf  # type: ignore[attr-defined]
    return good, norm


def _where(good: Tensor, value: Tensor) -> Tensor:
    return value.masked_fill(~good, math.nan)  # a number of the host's would be waited for by `where`


Buffers = list[tuple[Tensor, Tensor]]
"""Buffers of a network, and copies of them."""


def _buffers(network: nn.Module | None) -> Buffers:
    """What a forward pass itself changes: batch norm's averages, which NaN would stay in for good."""
    return [(b, b.clone()) for b in network.buffers()] if network is not None else []


def _bring_back(buffers: Buffers) -> None:
    for buffer, before in buffers:
        buffer.copy_(before)


def _bring_back_unless(good: Tensor, buffers: Buffers) -> None:
    for buffer, before in buffers:
        buffer.copy_(torch.where(good, buffer, before))


def _set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def autocast(recipe: Recipe, device: torch.device) -> AbstractContextManager[object]:
    """Run convolutions in the recipe's precision, and in fp32 on a processor by the quicker way."""
    if computes_in(recipe, device) == "fp32":
        return quick(device)
    # No weight is used twice under one of these, and a recorded step must not find one that was cast before.
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def computes_in(recipe: Recipe, device: torch.device) -> Literal["bf16", "fp32"]:
    """What `precision = "auto"` is on a device.

    fp16, which the engine takes on some, would need losses that are scaled.
    """
    return "bf16" if choose_dtype(recipe.precision, device) == torch.bfloat16 else "fp32"


def ema_decay(decay: float, step: int) -> float:
    """Decay of the average at `step`: short at first, so that the start is soon forgotten."""
    return min(decay, (1 + step) / (10 + step))


def average_(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move `average` towards `network`; buffers, averages already (batch norm), are copied."""
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), _tensors(network.parameters()), 1 - decay)
        for mine, theirs in zip(average.buffers(), network.buffers(), strict=True):
            mine.copy_(theirs)


def _average_by(average: nn.Module, network: nn.Module, move: Tensor) -> None:
    """`average_` by a number on the device; 0 leaves the average as it is."""
    with torch.no_grad():
        mine = _tensors(average.parameters())
        apart = list(torch._foreach_sub(_tensors(network.parameters()), mine))
        torch._foreach_mul_(apart, move)
        torch._foreach_add_(mine, apart)
        for own, theirs in zip(average.buffers(), network.buffers(), strict=True):
            own.copy_(theirs)


def _tensors(parameters: Iterable[Tensor]) -> list[Tensor]:
    return list(parameters)
