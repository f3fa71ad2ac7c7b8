"""Shared layers: the precision of the last convolution, padding, stages of enlargement."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vsr.errors import ConfigError
from vsr.models.archs.layers import last_conv, pad_to_multiple, upsampling_stages


@pytest.mark.parametrize("side", [3, 9])
@torch.no_grad()
def test_two_roundings_equal_fp32_to_16_bits(side):
    torch.manual_seed(0)
    conv = nn.Conv2d(16, 3, side, padding=side // 2).to(torch.bfloat16)
    features = torch.rand(1, 16, 12, 12).to(torch.bfloat16)
    exact = conv.double()(features.double())
    fine = last_conv(conv.to(torch.bfloat16), features, torch.float32)
    # The first rounding error is at most 2^-9 of the value, the second at most 2^-9 of the first.
    assert (fine - exact).abs().max() < 2**-17 * exact.abs().max()
    coarse = conv(features)
    assert (coarse - exact).abs().max() > 2**-12 * exact.abs().max()  # one rounding alone is less exact


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (4, 8), (2, 9)])
def test_padding_reaches_the_next_multiple_and_keeps_the_image(height, width):
    x = torch.rand(1, 3, height, width)
    padded = pad_to_multiple(x, 4)
    assert padded.shape[-2:] == (-(-height // 4) * 4, -(-width // 4) * 4)
    assert torch.equal(padded[..., :height, :width], x)
    assert x.min() <= padded.min()
    assert padded.max() <= x.max()


def test_stages_multiply_to_the_scale():
    assert [upsampling_stages(n) for n in (1, 2, 3, 4, 8)] == [(), (2,), (3,), (2, 2), (2, 2, 2)]


@pytest.mark.parametrize("factor", [-2, 0, 5, 6, 32])
def test_other_scales_are_refused(factor):
    with pytest.raises(ConfigError, match=str(factor)):
        upsampling_stages(factor)
