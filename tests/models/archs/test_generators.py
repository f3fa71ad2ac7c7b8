"""What every generator promises, whatever its family."""

from __future__ import annotations

import pytest
import torch

from tests.models.small_nets import CONFIGS, make, name_of

pytestmark = pytest.mark.parametrize("config", CONFIGS, ids=name_of)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 5), (7, 3)])
@torch.no_grad()
def test_any_size_is_multiplied_by_the_scale(config, height, width):
    network = make(config)
    sr = network(torch.rand(2, 3, height, width))
    assert sr.shape == (2, 3, height * config.scale, width * config.scale)


@torch.no_grad()
def test_result_is_in_the_dtype_of_the_input_and_finer_than_bf16_weights(config):
    network, lr = make(config), torch.rand(1, 3, 9, 8)
    exact = network(lr)
    sr = network.to(torch.bfloat16)(lr)
    assert sr.dtype == torch.float32
    assert network(lr.bfloat16()).dtype == torch.bfloat16
    # bf16 keeps 8 bits: relative errors of 2^-9 add up over a few layers, 5 % of the largest is far beyond.
    assert (sr - exact).abs().max() < 0.05 * exact.abs().max()
    # Numbers that bf16 cannot hold: the result was not rounded to it at the end.
    assert (sr != sr.bfloat16().float()).float().mean() > 0.5


@torch.no_grad()
def test_channels_last_changes_nothing_and_the_result_is_dense(config):
    network, lr = make(config), torch.rand(2, 3, 8, 12)
    plain = network(lr)
    network.to(memory_format=torch.channels_last)
    sr = network(lr.contiguous(memory_format=torch.channels_last))
    # Either will do: what follows is colour conversion, which wants planes (Compact gives them for nothing).
    assert sr.is_contiguous(memory_format=torch.channels_last) or sr.is_contiguous()
    torch.testing.assert_close(sr, plain, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_pictures_of_a_batch_do_not_mix(config):
    network, lr = make(config), torch.rand(3, 3, 6, 8)
    alone = torch.cat([network(one) for one in lr.split(1)])
    torch.testing.assert_close(network(lr), alone, rtol=1e-4, atol=1e-5)


def test_nothing_beyond_the_receptive_radius_counts_and_no_smaller_radius_would_do(config):
    network = make(config).double()
    multiple, scale = getattr(network, "multiple", 1), network.scale
    radius = network.receptive_radius
    middle = -(-(radius + multiple) // multiple) * multiple
    height = -(-(middle + radius + multiple + 1) // multiple) * multiple  # nothing is padded
    lr = torch.rand(1, 3, height, multiple, dtype=torch.double, requires_grad=True)
    sr = network(lr)
    reach = 0
    for row in (middle * scale, (middle + multiple) * scale - 1):  # the ends of a square see farthest
        (gradient,) = torch.autograd.grad(sr[:, :, row].sum(), lr, retain_graph=True)
        seen = gradient.abs().sum((0, 1, 3)).nonzero()
        lr_row = row // scale
        reach = max(reach, lr_row - int(seen.min()), int(seen.max()) - lr_row)
    # A square that is unshuffled is read whole, but `nearest` may hide a pixel of it.
    slack = multiple - 1
    assert radius - slack <= reach <= radius


def test_gradients_reach_every_weight(config):
    network = make(config)
    network(torch.rand(1, 3, 8, 8)).square().sum().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without
