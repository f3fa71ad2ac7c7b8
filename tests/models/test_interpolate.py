"""Interpolation is linear, exact at both ends, and only possible between networks of one shape."""

from __future__ import annotations

import pytest
import torch

from tests.models.small_nets import CONFIGS, make
from vsr.errors import ConfigError, ModelError
from vsr.models.archs.srresnet import SRResNetConfig
from vsr.models.interpolate import interpolate

A = make(SRResNetConfig(scale=2, nf=4, nb=1), seed=1).state_dict()
B = make(SRResNetConfig(scale=2, nf=4, nb=1), seed=2).state_dict()


@pytest.mark.parametrize(("alpha", "end"), [(0, A), (1, B)])
def test_the_ends_are_the_networks_themselves(alpha, end):
    mixed = interpolate(A, B, alpha)
    assert all(torch.equal(mixed[key], end[key]) for key in end)


@pytest.mark.parametrize("alpha", [0.2, 0.5, 0.8])
def test_between_the_ends_every_weight_is_the_weighted_mean(alpha):
    mixed = interpolate(A, B, alpha)
    for key, value in mixed.items():
        if value.is_floating_point():
            expected = (1 - alpha) * A[key].double() + alpha * B[key].double()
            torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-6)


def test_the_networks_are_not_changed():
    before = {key: value.clone() for key, value in A.items()}
    interpolate(A, B, 0.5)
    assert all(torch.equal(A[key], before[key]) for key in A)


def test_the_error_for_different_layers_names_them():
    fewer = {key: value for key, value in B.items() if key != "body.0.conv2.bias"}
    with pytest.raises(ModelError, match=r"body\.0\.conv2\.bias is in the first"):
        interpolate(A, fewer, 0.5)
    with pytest.raises(ModelError, match=r"body\.0\.conv2\.bias is in the second"):
        interpolate(fewer, A, 0.5)


def test_the_error_for_different_shapes_has_both():
    wide = make(SRResNetConfig(scale=2, nf=5, nb=1)).state_dict()
    with pytest.raises(ModelError, match=r"bn_trunk\.bias is \(4,\) in the first network, \(5,\)"):
        interpolate(A, wide, 0.5)


def test_networks_of_different_families_cannot_be_mixed():
    with pytest.raises(ModelError, match="network only"):
        interpolate(A, make(CONFIGS[0]).state_dict(), 0.5)


@pytest.mark.parametrize("alpha", [-0.01, 1.01, float("nan")])
def test_an_alpha_outside_zero_and_one_is_refused(alpha):
    with pytest.raises(ConfigError, match="alpha"):
        interpolate(A, B, alpha)
