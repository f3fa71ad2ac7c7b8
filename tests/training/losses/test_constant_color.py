"""The constant-colour loss: a small input represents a large image, and training reduces the loss."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.training.photographs import tiny_recipe
from tests.training.run.test_steps import batch_of
from vsr.errors import ConfigError
from vsr.models.archs.compact import Compact, CompactConfig
from vsr.models.archs.rrdb import RRDB, RRDBConfig
from vsr.models.archs.srresnet import SRResNetConfig
from vsr.training.generators import GeneratorSettings
from vsr.training.losses.constant_color import check_flat, constant_color_loss, edges_repeated
from vsr.training.run.state import new_state
from vsr.training.run.steps import train_step

NETWORKS = {
    "compact": lambda: Compact(CompactConfig(nf=8, nc=3, scale=4)),
    "rrdb": lambda: RRDB(RRDBConfig(nf=8, gc=4, nb=1, scale=4)),
    "rrdb that unshuffles": lambda: RRDB(RRDBConfig(nf=8, gc=4, nb=1, scale=2, unshuffle=2)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_few_pixels_represent_a_large_image(name: str) -> None:
    torch.manual_seed(1)
    network = NETWORKS[name]().double().requires_grad_(False)
    colours = torch.rand(2, 3, dtype=torch.float64)
    large = colours[:, :, None, None].expand(-1, -1, 112, 112)
    inner = slice(112 * network.scale // 2 - 4, 112 * network.scale // 2 + 4)
    middle = network(large)[..., inner, inner]  # far from the zero padding
    expected = (middle - colours[:, :, None, None]).abs().mean()
    assert float(constant_color_loss(network, colours)) == pytest.approx(float(expected), rel=1e-5)


def test_the_padding_mode_is_restored_after_an_error() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1))
    with edges_repeated(network):
        assert {m.padding_mode for m in network} == {"replicate"}
    assert {m.padding_mode for m in network} == {"zeros"}
    with pytest.raises(RuntimeError):
        constant_color_loss(network, torch.rand(2, 4))  # four channels are an error
    assert {m.padding_mode for m in network} == {"zeros"}


def test_it_is_learnt_together_with_the_pixel_loss() -> None:
    recipe = tiny_recipe()
    recipe = replace(recipe, losses=replace(recipe.losses, flat=1.0))
    state, batch = new_state(recipe), batch_of()
    found = [train_step(state, recipe, batch, factor=1.0) for _ in range(60)]
    assert found[-1]["flat"] < 0.5 * found[0]["flat"]
    assert found[0]["loss"] == pytest.approx(found[0]["pixel"] + found[0]["flat"], rel=1e-5)


def test_batch_norm_is_rejected() -> None:
    recipe = tiny_recipe()
    network = GeneratorSettings(srresnet=SRResNetConfig(nf=8, nb=1, scale=2))
    with pytest.raises(ConfigError, match="batch norm"):
        new_state(replace(recipe, generator=network, losses=replace(recipe.losses, flat=1.0)))
    check_flat(Compact(CompactConfig(nf=4, nc=1, scale=2)))
