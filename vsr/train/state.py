"""What changes while a run goes on: the network, its average, the optimiser, the step."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vsr.errors import ModelError
from vsr.models.archs.compact import Compact, identity_init_
from vsr.train.recipe import Recipe


@dataclass(slots=True, kw_only=True)
class State:
    """A run between two steps."""

    net: Compact
    """Trained; fp32, channels_last."""
    average: Compact
    """Exponential moving average of `net`'s weights: what is measured and shipped."""
    optimizer: torch.optim.Adam
    step: int = 0
    """Steps done."""
    seconds: float = 0.0
    """Spent on them, over all sittings."""


def new_state(recipe: Recipe, start: Mapping[str, Tensor] | None = None) -> State:
    """Start a run: an identity, with the weights of `start` wherever name and shape fit.

    Raises:
        ModelError: none of `start` fits.
    """
    net = Compact(recipe.network)
    identity_init_(net, generator=torch.Generator().manual_seed(recipe.seed))
    if start is not None:
        _take_over(net, start)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    # betas of the field's recipes (BasicSR's options), TRAINING.md has no measurement of others
    optimizer = torch.optim.Adam(net.parameters(), lr=recipe.lr, betas=(0.9, 0.99), fused=True)
    return State(net=net, average=copy.deepcopy(net).requires_grad_(False), optimizer=optimizer)


def _take_over(net: Compact, start: Mapping[str, Tensor]) -> None:
    own = net.state_dict()
    fitting = {key: value for key, value in start.items() if key in own and value.shape == own[key].shape}
    if not fitting:
        raise ModelError(
            "the weights to start from share no layer with the recipe's network; give a Compact's"
        )
    net.load_state_dict({**own, **fitting})
