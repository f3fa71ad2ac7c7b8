"""The state of a run before its first step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.photographs import tiny_crisp, tiny_recipe, tiny_srgan, write_vgg
from vsr.errors import ConfigError, ModelError
from vsr.training.recipe import Adam
from vsr.training.run.state import State, new_state


def numbers(state: State) -> dict[str, torch.Tensor]:
    networks = {"network": state.network, "average": state.average}
    if state.adversary is not None:
        networks["discriminator"] = state.adversary.discriminator
    return {
        f"{part}.{name}": value
        for part, network in networks.items()
        for name, value in network.state_dict().items()
    }


def test_the_average_starts_as_the_network_and_is_not_trained_itself() -> None:
    state = new_state(tiny_srgan())
    for name, value in state.network.state_dict().items():
        assert torch.equal(state.average.state_dict()[name], value)
    assert state.network.training
    assert not state.average.training
    assert not any(parameter.requires_grad for parameter in state.average.parameters())
    own = {parameter.data_ptr() for parameter in state.network.parameters()}
    assert own.isdisjoint(parameter.data_ptr() for parameter in state.average.parameters())


def test_two_states_of_one_recipe_are_equal_for_any_state_of_torchs_generator() -> None:
    torch.manual_seed(1)
    first = numbers(new_state(tiny_srgan()))
    torch.manual_seed(2)
    for name, value in numbers(new_state(tiny_srgan())).items():
        assert torch.equal(first[name], value), name
    other = numbers(new_state(replace(tiny_srgan(), seed=9)))
    assert any(not torch.equal(first[name], other[name]) for name in first if "discriminator" in name)


def test_optimisers_have_the_recipes_settings() -> None:
    recipe = replace(tiny_srgan(), adam=Adam(lr=2e-4, betas=(0.8, 0.95), eps=1e-7))
    state = new_state(recipe)
    assert state.adversary is not None
    assert recipe.losses.adversarial is not None
    optimizers = ((state.optimizer, 2e-4), (state.adversary.optimizer, recipe.losses.adversarial.lr))
    for optimizer, lr in optimizers:
        (group,) = optimizer.param_groups
        assert (group["lr"], group["betas"], group["eps"]) == (lr, (0.8, 0.95), 1e-7)


def test_only_the_networks_that_the_losses_require_exist(tmp_path: Path) -> None:
    plain = new_state(tiny_recipe())
    assert plain.adversary is None
    assert plain.perceptual is None
    crisp = new_state(tiny_crisp(), vgg=write_vgg(tmp_path / "vgg.safetensors"))
    assert crisp.adversary is not None
    assert crisp.perceptual is not None
    assert not any(parameter.requires_grad for parameter in crisp.perceptual.parameters())


def test_a_missing_vgg_file_is_rejected_with_instructions() -> None:
    with pytest.raises(ConfigError, match=r"`vgg` .*nothing is downloaded"):
        new_state(tiny_crisp())


def test_a_vgg_file_that_does_not_exist_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.safetensors: the file with VGG19's weights does not exist"):
        new_state(tiny_crisp(), vgg=tmp_path / "none.safetensors")


def test_initial_weights_reach_network_and_average() -> None:
    start = {name: value + 1 for name, value in new_state(tiny_recipe()).network.state_dict().items()}
    state = new_state(tiny_recipe(), start=start)
    for network in (state.network, state.average):
        assert all(torch.equal(value, start[name]) for name, value in network.state_dict().items())


def test_the_layout_is_channels_last() -> None:
    weights = [p for p in new_state(tiny_srgan()).network.parameters() if p.dim() == 4]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
