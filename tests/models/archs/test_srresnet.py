"""SRResNet: folded batch norm, its published size, and errors."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.models.small_nets import make
from vsr.errors import ModelError
from vsr.models.archs import srresnet
from vsr.models.archs.srresnet import SRResNet, SRResNetConfig


@pytest.mark.parametrize("trunk", ["bn", "prelu"])
def test_folding_removes_batch_norm_and_changes_rounding_only(trunk):
    network = make(SRResNetConfig(scale=2, nf=8, nb=4, trunk=trunk)).double()
    lr = torch.rand(1, 3, 9, 11, dtype=torch.double)
    folded = network.folded()
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    torch.testing.assert_close(folded(lr), network(lr), rtol=1e-10, atol=1e-12)


def test_the_generator_of_the_paper_has_its_published_size():
    with torch.device("meta"):
        network = SRResNet(SRResNetConfig())
    # By hand: 9x9 convolutions 15,616 and 15,555; 16 blocks of 74,113; trunk 37,056; 2 x 147,713; PReLU 1.
    assert (
        sum(p.numel() for p in network.parameters())
        == 15_616 + 15_555 + 16 * 74_113 + 37_056 + 2 * 147_713 + 1
    )


@torch.no_grad()
def test_tanh_keeps_results_within_zero_and_one():
    sr = make(SRResNetConfig(scale=2, nf=8, nb=1, tanh=True, trunk="prelu"))(100 * torch.randn(1, 3, 8, 8))
    assert 0 <= sr.min() < 0.1
    assert 0.9 < sr.max() <= 1


def test_other_numbers_of_channels_are_refused_with_the_number():
    state = make(SRResNetConfig(scale=2, nf=4, nb=1)).state_dict()
    state["conv_first.weight"] = torch.zeros(4, 1, 9, 9)
    with pytest.raises(ModelError, match="takes 1 "):
        srresnet.detect(state)
