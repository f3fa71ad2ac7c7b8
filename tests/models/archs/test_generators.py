"""The contract of all generators, whatever their family."""

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
    # bf16 has 8 bits: relative errors of 2^-9 accumulate over a few layers, but stay far below 5 %.
    assert (sr - exact).abs().max() < 0.05 * exact.abs().max()
    # Numbers that bf16 cannot represent show that the result was not rounded to bf16.
    assert (sr != sr.bfloat16().float()).float().mean() > 0.5


@torch.no_grad()
def test_channels_last_input_gives_the_same_dense_result(config):
    network, lr = make(config), torch.rand(2, 3, 8, 12)
    plain = network(lr)
    network.to(memory_format=torch.channels_last)
    sr = network(lr.contiguous(memory_format=torch.channels_last))
    # Either memory format is fine: colour conversion follows, which reads planes.
    assert sr.is_contiguous(memory_format=torch.channels_last) or sr.is_contiguous()
    torch.testing.assert_close(sr, plain, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_images_of_a_batch_are_independent(config):
    network, lr = make(config), torch.rand(3, 3, 6, 8)
    alone = torch.cat([network(one) for one in lr.split(1)])
    torch.testing.assert_close(network(lr), alone, rtol=1e-4, atol=1e-5)


def test_the_receptive_radius_is_exact(config):
    network = make(config).double()
    multiple, scale = getattr(network, "multiple", 1), network.scale
    radius = network.receptive_radius
    middle = -(-(radius + multiple) // multiple) * multiple
    height = -(-(middle + radius + multiple + 1) // multiple) * multiple  # no padding is needed
    lr = torch.rand(1, 3, height, multiple, dtype=torch.double, requires_grad=True)
    sr = network(lr)
    reach = 0
    for row in (
        middle * scale,
        (middle + multiple) * scale - 1,
    ):  # the outer pixels of an unshuffled block have the largest reach
        (gradient,) = torch.autograd.grad(sr[:, :, row].sum(), lr, retain_graph=True)
        seen = gradient.abs().sum((0, 1, 3)).nonzero()
        lr_row = row // scale
        reach = max(reach, lr_row - int(seen.min()), int(seen.max()) - lr_row)
    # All pixels of an unshuffled block are read, but `nearest` may hide one of them.
    slack = multiple - 1
    assert radius - slack <= reach <= radius


def test_gradients_reach_every_weight(config):
    network = make(config)
    network(torch.rand(1, 3, 8, 8)).square().sum().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without
