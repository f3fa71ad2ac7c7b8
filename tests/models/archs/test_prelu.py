"""The gradients of a PReLU equal torch's, computed in one pass or in several."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.models.archs import prelu
from vsr.models.archs.prelu import PReLU

ROUNDING = 1e-5
"""Relative tolerance of a sum of a few hundred products in float32."""


@pytest.fixture(params=["one pass", "several"])
def passes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "several":
        monkeypatch.setattr(prelu, "_emitted", lambda: None)
    else:
        pytest.importorskip("llvmlite")
    return str(request.param)


@pytest.fixture(params=[1, 3], ids=lambda n: f"{n} threads")
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def gradients(layer: PReLU, x: Tensor, dy: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(layer(x), (x, layer.weight), dy)


def layer_of(channels: int) -> PReLU:
    """Return a layer with slopes below zero, above one and in between."""
    layer = PReLU(channels)
    layer.weight.data = torch.linspace(-0.5, 1.5, channels)
    return layer


@pytest.mark.parametrize("shape", [(1, 16, 1, 1), (3, 64, 10, 13), (2, 48, 7, 5), (2, 12, 6, 6)], ids=str)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=str)
@pytest.mark.usefixtures("passes", "threads")
def test_gradients_equal_those_of_torch(shape: tuple[int, ...], layout: torch.memory_format) -> None:
    layer = layer_of(shape[1])
    x = torch.randn(shape).contiguous(memory_format=layout)
    x[0, 0, 0, 0] = 0.0  # zero counts as negative
    x.requires_grad_()
    dy = torch.randn(shape).contiguous(memory_format=layout)
    exact = F.prelu(x.double(), layer.weight.double())
    dx, slopes = torch.autograd.grad(exact, (x, layer.weight), dy.double())
    made = gradients(layer, x, dy)
    torch.testing.assert_close(made[0], dx, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(made[1], slopes, rtol=0, atol=ROUNDING * x.numel() / shape[1])


@pytest.mark.usefixtures("passes")
def test_nan_is_propagated() -> None:
    layer, x, dy = layer_of(16), torch.ones(1, 16, 2, 2), torch.ones(1, 16, 2, 2)
    x[0, 3, 0, 0], dy[0, 5, 1, 1] = torch.nan, torch.nan
    x, dy = (t.contiguous(memory_format=torch.channels_last) for t in (x, dy))
    dx, slopes = gradients(layer, x.requires_grad_(), dy)
    assert slopes[3].isnan()
    assert slopes.isnan().sum() <= 2
    assert dx[0, 5, 1, 1].isnan()
    assert dx.isnan().sum() <= 2


@pytest.mark.usefixtures("passes")
def test_slopes_at_any_memory_address_are_supported() -> None:
    layer = PReLU(16)
    layer.weight.data = torch.linspace(0, 1, 21)[5:]
    x = torch.randn(2, 16, 4, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    made = gradients(layer, x, torch.ones_like(x))
    expected = torch.autograd.grad(F.prelu(x, layer.weight), (x, layer.weight), torch.ones_like(x))
    for found, wanted in zip(made, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
