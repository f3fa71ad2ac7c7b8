"""The state of a training run: networks, optimisers and counters."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vsr.errors import ConfigError
from vsr.training.distributed.group import Group
from vsr.training.distributed.whole_batch import see_whole_batch_
from vsr.training.generators import load_matching_weights, make_generator
from vsr.training.losses.constant_color import check_flat
from vsr.training.losses.discriminators import make_discriminator
from vsr.training.losses.features import PerceptualLoss, load_features
from vsr.training.recipe import Adam, Recipe
from vsr.training.run.muon import Muon, hidden_convolutions


@dataclass(slots=True, kw_only=True)
class Adversary:
    """The discriminator of a run and its optimiser."""

    discriminator: nn.Module
    optimizer: torch.optim.Adam


@dataclass(slots=True, kw_only=True)
class State:
    """The state of a run between two steps."""

    network: nn.Module
    """The generator in training; fp32, channels_last, in training mode."""
    average: nn.Module
    """Exponential moving average of its weights, which is validated and saved; in eval mode."""
    optimizer: torch.optim.Adam
    adversary: Adversary | None
    perceptual: nn.Module | None
    device: torch.device
    step: int = 0
    """Number of steps done."""
    seconds: float = 0.0
    """Time spent on them, including the time before the run was resumed."""
    best: float | None = None
    """Highest mean gain over bicubic in validation so far, in dB."""
    group: Group = field(default_factory=Group)
    """The processes that train together; all have the same state."""


def new_state(
    recipe: Recipe,
    *,
    device: torch.device | str = "cpu",
    start: Mapping[str, Tensor] | None = None,
    vgg: Path | None = None,
    group: Group | None = None,
) -> State:
    """Create the state of a new run.

    Args:
        recipe: Recipe of the run.
        device: Device to train on.
        start: Initial weights of the generator, see `generators.load_matching_weights`.
        vgg: File with VGG19's weights; required by recipes with a perceptual loss.
        group: The processes that train together; None is this one alone.

    Raises:
        ModelError: `start` or `vgg` does not match.
        ConfigError: The recipe requires `vgg`, but it is None.
    """
    device = torch.device(device)
    network = make_generator(recipe.generator, seed=recipe.seed)
    if recipe.losses.flat:
        check_flat(network)
    if start is not None:
        load_matching_weights(network, start)
    network = _placed(network, device)
    state = State(
        network=network,
        average=copy.deepcopy(network).requires_grad_(False).eval(),
        optimizer=_optimizer(network, recipe.adam),
        adversary=_adversary(recipe, device),
        perceptual=_perceptual(recipe, device, vgg),
        device=device,
        group=Group() if group is None else group,
    )
    see_whole_batch_(state.network, state.group)
    if state.adversary is not None:
        see_whole_batch_(state.adversary.discriminator, state.group)
    return state


def _adversary(recipe: Recipe, device: torch.device) -> Adversary | None:
    adversarial = recipe.losses.adversarial
    if adversarial is None:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed + 1)
        network = make_discriminator(adversarial.discriminator, patch=recipe.patch * recipe.scale)
    network = _placed(network.train(), device)
    return Adversary(discriminator=network, optimizer=_adam(network, recipe.adam, adversarial.lr))


def _perceptual(recipe: Recipe, device: torch.device, vgg: Path | None) -> nn.Module | None:
    wanted = recipe.losses.perceptual
    if wanted is None:
        return None
    if vgg is None:
        raise ConfigError(
            f"recipe {recipe.name} has a perceptual loss. Give VGG19's weights with `vgg`"
            " (torchvision's vgg19, .pth or .safetensors; nothing is downloaded)"
        )
    names = [name for name, _ in wanted.layers]
    features = load_features(vgg, names)
    loss = PerceptualLoss(
        features, dict(wanted.layers), criterion=wanted.criterion, accumulate=wanted.accumulate
    )
    return _placed(loss.requires_grad_(False).eval(), device)


def _placed(network: nn.Module, device: torch.device) -> nn.Module:
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def _optimizer(network: nn.Module, settings: Adam) -> torch.optim.Adam:
    """Return the optimiser of the generator."""
    if not settings.muon:
        return _adam(network, settings, settings.lr)
    return Muon(
        network.parameters(),
        matrices=hidden_convolutions(network),
        ratio=settings.muon,
        lr=settings.lr,
        **_common(network, settings),
    )


def _adam(network: nn.Module, settings: Adam, lr: float) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=lr, **_common(network, settings))


def _common(network: nn.Module, settings: Adam) -> dict[str, Any]:
    on_cuda = next(network.parameters()).is_cuda  # on CUDA, a step may be recorded, see `replay`
    return {"betas": settings.betas, "eps": settings.eps, "fused": True, "capturable": on_cuda}
