"""Compact networks: recognition from weights, exactness of the skip, and initialisation for training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vsr.errors import ModelError
from vsr.models.archs.compact import Compact, CompactConfig, detect, identity_init_
from vsr.models.archs.prelu import PReLU
from vsr.models.load import load_generator

CONFIGS = [
    CompactConfig(nf=64, nc=16, scale=4),
    CompactConfig(nf=8, nc=0, scale=1),
    CompactConfig(nf=12, nc=3, scale=2, activation="relu"),
    CompactConfig(nf=3, nc=2, scale=3),
]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_the_configuration_is_detected_from_the_weights_alone(config: CompactConfig) -> None:
    assert detect(Compact(config).state_dict()) == config


def test_leaky_relu_is_detected_as_relu_because_neither_has_weights() -> None:
    state = Compact(CompactConfig(nf=8, nc=1, scale=2, activation="leakyrelu")).state_dict()
    assert detect(state) == CompactConfig(nf=8, nc=1, scale=2, activation="relu")


def test_names_are_those_of_basicsr() -> None:
    names = list(Compact(CompactConfig(nf=4, nc=1, scale=2)).state_dict())
    assert names == [
        "body.0.weight",
        "body.0.bias",
        "body.1.weight",
        "body.2.weight",
        "body.2.bias",
        "body.3.weight",
        "body.4.weight",
        "body.4.bias",
    ]


def _without(key: str) -> Spoil:
    return lambda state: {name: value for name, value in state.items() if name != key}


Spoil = Callable[[dict[str, Tensor]], dict[str, Tensor]]
SPOILT: dict[str, tuple[Spoil, str]] = {
    "extra": (lambda s: s | {"tail.weight": torch.zeros(1)}, r"Compact with tail\.weight, which it does not"),
    "flat": (lambda s: s | {"body.0.weight": torch.zeros(4)}, "an unknown network"),
    "a bias missing": (_without("body.2.bias"), r"Compact without body\.2\.bias; incomplete"),
    "an inner layer missing": (_without("body.2.weight"), r"Compact without body\.2\.weight; incomplete"),
    "an activation missing": (_without("body.1.weight"), r"Compact without body\.1\.weight; incomplete"),
    "the first layer missing": (
        _without("body.0.weight"),
        r"Compact without body\.0\.weight; incomplete",
    ),
    "the last layer's weights missing": (_without("body.6.weight"), r"Compact without body\.6\.weight"),
    "the last layer missing": (
        lambda s: {k: v for k, v in s.items() if not k.startswith("body.6.")},
        r"Compact ends in body\.5 of shape \(4,\), not in .* missing",
    ),
    "two layers missing": (
        lambda s: {k: v for k, v in s.items() if not k.startswith(("body.5.", "body.6."))},
        r"Compact ends in body\.4 of shape \(4, 4, 3, 3\), not in .* missing",
    ),
    "wide": (
        lambda s: s | {"body.2.weight": torch.zeros(4, 4, 5, 5)},
        r"Compact whose body\.2\.weight is \(4, 4, 5, 5\), not \(4, 4, 3, 3\)",
    ),
    "15 output channels are no square number of pixels": (
        lambda s: s | {"body.6.weight": torch.zeros(15, 4, 3, 3), "body.6.bias": torch.zeros(15)},
        r"Compact ends in body\.6 of shape \(15, 4, 3, 3\)",
    ),
    "one channel": (
        lambda s: s | {"body.0.weight": torch.zeros(4, 1, 3, 3), "body.6.weight": torch.zeros(4, 4, 3, 3)},
        "Compact takes images of 1 channels, not of 3",
    ),
}
"""Changes of a Compact network's weights, and the error for each."""


@pytest.mark.parametrize("spoil", SPOILT)
def test_weights_that_are_almost_a_compact_are_refused_with_the_reason(spoil: str, tmp_path: Path) -> None:
    state = dict(Compact(CompactConfig(nf=4, nc=2, scale=2)).state_dict())
    change, message = SPOILT[spoil]
    save_file(change(state), tmp_path / "net.safetensors")
    with pytest.raises(ModelError, match=message):
        load_generator(tmp_path / "net.safetensors")


def test_empty_weights_belong_to_no_family() -> None:
    assert detect({}) is None


def test_with_a_body_of_zeros_the_output_is_exactly_the_nearest_neighbour() -> None:
    net = Compact(CompactConfig(nf=4, nc=1, scale=3)).to(torch.bfloat16)
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    x = torch.rand(2, 3, 5, 7)
    y = net(x)
    # fp32 in, fp32 out: bf16 weights must not round the image to 8 bits of precision
    assert y.dtype == torch.float32
    assert torch.equal(y, x.repeat_interleave(3, 2).repeat_interleave(3, 3))


def test_an_input_pixel_affects_outputs_within_the_receptive_radius_only() -> None:
    net = Compact(CompactConfig(nf=6, nc=2, scale=2, activation="leakyrelu"))
    identity_init_(net, generator=torch.Generator().manual_seed(0))
    x = torch.rand(1, 3, 21, 21)
    moved = x.clone()
    moved[:, :, 10, 10] += 10
    changed = (net(moved) != net(x)).any(1)[0].nonzero()
    reach = (changed // net.scale - 10).abs().max()
    assert int(reach) == net.receptive_radius == 4


def test_the_memory_format_does_not_change_the_result() -> None:
    net = Compact(CompactConfig(nf=16, nc=2, scale=2)).double()
    x = torch.rand(1, 3, 9, 8, dtype=torch.float64)
    last = net(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, net(x), rtol=0, atol=1e-12)


def test_the_identity_initialisation_lets_a_deep_network_learn_and_the_default_does_not() -> None:
    def first_gradient(start: bool) -> float:
        torch.manual_seed(0)
        net = Compact(CompactConfig(nf=16, nc=16, scale=2))
        if start:
            identity_init_(net, generator=torch.Generator().manual_seed(0))
        x = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(1))
        net(x).square().mean().backward()
        gradient = net.body[0].weight.grad
        assert gradient is not None
        return float(gradient.norm())

    assert first_gradient(start=True) > 100 * first_gradient(start=False)


def test_the_identity_initialisation_is_the_same_for_the_same_seed() -> None:
    def weights(seed: int) -> torch.Tensor:
        net = Compact(CompactConfig(nf=8, nc=2, scale=2))
        identity_init_(net, generator=torch.Generator().manual_seed(seed))
        return torch.cat([p.flatten() for p in net.parameters()])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_prelu_gradients_equal_torchs(layout: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 6, 7, generator=generator, dtype=torch.float64).contiguous(memory_format=layout)
    x[0, 0, 0] = 0.0  # the kink
    grad = torch.randn(2, 5, 6, 7, generator=generator, dtype=torch.float64)
    found = []
    for kind in (PReLU, nn.PReLU):
        layer, leaf = kind(5).double(), x.clone().requires_grad_()
        out = layer(leaf)
        out.backward(grad)
        found.append((out.detach(), leaf.grad, layer.weight.grad))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
