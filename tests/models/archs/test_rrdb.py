"""RRDB: published configurations, padding, and errors."""

from __future__ import annotations

import pytest
import torch

from vsr.errors import ConfigError, ModelError
from vsr.models.archs import rrdb
from vsr.models.archs.rrdb import RRDB, RRDBConfig


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (RRDBConfig(), 16_697_987),  # RealESRGAN_x4plus
        (RRDBConfig(nb=6), 4_467_779),  # RealESRGAN_x4plus_anime_6B
        (RRDBConfig(scale=2, unshuffle=2), 16_703_171),  # RealESRGAN_x2plus
    ],
)
def test_published_networks_have_their_published_size(config, parameters):
    with torch.device("meta"):
        network = RRDB(config)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_an_image_that_is_no_multiple_is_padded_by_mirroring():
    network = RRDB(RRDBConfig(scale=2, nf=4, nb=1, gc=2, unshuffle=2)).eval()
    lr = torch.rand(1, 3, 5, 7)
    mirrored = torch.cat((lr, lr[..., -2:-1]), -1)
    mirrored = torch.cat((mirrored, mirrored[..., -2:-1, :]), -2)
    with torch.no_grad():
        assert torch.equal(network(lr), network(mirrored)[..., :10, :14])


@pytest.mark.parametrize("channels", [1, 4, 27])
def test_other_numbers_of_channels_are_refused_with_the_number(channels):
    state = RRDB(RRDBConfig(nf=4, nb=1, gc=2)).state_dict()
    state["conv_first.weight"] = torch.zeros(4, channels, 3, 3)
    with pytest.raises(ModelError, match=f"takes {channels} "):
        rrdb.detect(state)


def test_an_unsupported_scale_is_refused():
    with pytest.raises(ConfigError, match="6"):
        RRDB(RRDBConfig(scale=6))
