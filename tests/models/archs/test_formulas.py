"""Networks compute the formulas of their papers, which these tests write out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.models.small_nets import make
from vsr.models.archs.msrresnet import MSRResNetConfig
from vsr.models.archs.rrdb import RRDBConfig
from vsr.models.archs.srresnet import SRResNetConfig


class Layers:
    """The layers of a network by name, applied to a tensor."""

    def __init__(self, network):
        self.state = network.double().state_dict()

    def conv(self, name, x):
        weight = self.state[f"{name}.weight"]
        return F.conv2d(x, weight, self.state[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def prelu(self, name, x):
        return torch.where(x > 0, x, x * self.state[f"{name}.weight"].reshape(1, -1, 1, 1))

    def norm(self, name, x):
        mean, var, gain, bias = (
            self.state[f"{name}.{part}"].reshape(1, -1, 1, 1)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(var + 1e-5) * gain + bias


def _lrelu(x, slope):
    return torch.where(x > 0, x, slope * x)


def _double(x):
    return x.repeat_interleave(2, -1).repeat_interleave(2, -2)


def _dense(layers, name, x):
    features = [x]
    for k in range(1, 5):
        features.append(_lrelu(layers.conv(f"{name}.conv{k}", torch.cat(features, 1)), 0.2))
    return x + 0.2 * layers.conv(f"{name}.conv5", torch.cat(features, 1))


@pytest.mark.parametrize(("scale", "unshuffle"), [(4, 1), (2, 2), (1, 4)])
@torch.no_grad()
def test_rrdb_computes_the_formula_of_esrgan(scale, unshuffle):
    network = make(RRDBConfig(scale=scale, nf=6, nb=2, gc=4, unshuffle=unshuffle))
    layers, lr = Layers(network), torch.rand(1, 3, 8, 12, dtype=torch.double)
    n, c, h, w = lr.shape
    u = unshuffle
    squares = lr.reshape(n, c, h // u, u, w // u, u).permute(0, 1, 3, 5, 2, 4)
    first = layers.conv("conv_first", squares.reshape(n, c * u * u, h // u, w // u))
    x = first
    for block in range(2):
        inner = x
        for k in (1, 2, 3):
            inner = _dense(layers, f"body.{block}.rdb{k}", inner)
        x = x + 0.2 * inner
    x = first + layers.conv("conv_body", x)
    for up in (1, 2):
        x = _lrelu(layers.conv(f"conv_up{up}", _double(x)), 0.2)
    expected = layers.conv("conv_last", _lrelu(layers.conv("conv_hr", x), 0.2))
    torch.testing.assert_close(network(lr), expected)


@torch.no_grad()
def test_srresnet_computes_the_formula_of_srgan():
    network = make(SRResNetConfig(scale=4, nf=6, nb=2, slopes=6))
    layers, lr = Layers(network), torch.rand(1, 3, 5, 7, dtype=torch.double)
    first = layers.prelu("prelu_first", layers.conv("conv_first", lr))
    x = first
    for b in ("body.0", "body.1"):
        inner = layers.prelu(f"{b}.prelu", layers.norm(f"{b}.bn1", layers.conv(f"{b}.conv1", x)))
        x = x + layers.norm(f"{b}.bn2", layers.conv(f"{b}.conv2", inner))
    x = first + layers.norm("bn_trunk", layers.conv("conv_trunk", x))
    for up in ("up.0", "up.1"):
        x = layers.prelu(f"{up}.prelu", F.pixel_shuffle(layers.conv(f"{up}.conv", x), 2))
    torch.testing.assert_close(network(lr), layers.conv("conv_last", x))


@pytest.mark.parametrize(("scale", "stages"), [(2, (2,)), (3, (3,)), (4, (2, 2))])
@torch.no_grad()
def test_msrresnet_computes_the_formula_of_basicsr(scale, stages):
    network = make(MSRResNetConfig(scale=scale, nf=6, nb=2))
    layers, lr = Layers(network), torch.rand(1, 3, 5, 7, dtype=torch.double)
    x = _lrelu(layers.conv("conv_first", lr), 0.1)
    for b in ("body.0", "body.1"):
        x = x + layers.conv(f"{b}.conv2", layers.conv(f"{b}.conv1", x).clamp(min=0))
    for up, factor in enumerate(stages, start=1):
        x = _lrelu(F.pixel_shuffle(layers.conv(f"upconv{up}", x), factor), 0.1)
    details = layers.conv("conv_last", _lrelu(layers.conv("conv_hr", x), 0.1))
    base = F.interpolate(lr, scale_factor=scale, mode="bilinear", align_corners=False)
    torch.testing.assert_close(network(lr), base + details)
