"""Winograd convolutions and their gradients equal torch's, and unsupported ones are computed by torch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.training.photographs import tiny_recipe
from tests.training.run.test_steps import batch_of
from vsr.engine import device as devices
from vsr.kernels.winograd import backend
from vsr.models.archs.compact import CompactConfig
from vsr.training.generators import GeneratorSettings
from vsr.training.run import steps
from vsr.training.run.convolutions import Convolution, fast_convolutions
from vsr.training.run.state import new_state
from vsr.training.run.steps import train_step

pytestmark = pytest.mark.skipif(not backend.available(), reason="llvmlite or the CPU's FMA is not available")

CPU = torch.device("cpu")
ROUNDING = 2e-5
"""Tolerance relative to the largest value: sums of thousands of float32 products, with some more bits lost in
the transforms; the largest error seen is 6e-6."""


@pytest.fixture(params=[1, 2, 3], ids=lambda n: f"{n} threads")
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _wherever_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "is_measured", lambda: True)


def same(made: Tensor, exact: Tensor) -> bool:
    """Return whether two tensors of one shape are equal up to rounding."""
    return made.shape == exact.shape and bool((made - exact).abs().max() <= ROUNDING * exact.abs().max())


Case = tuple[int, int, int, int, int, int]
CASES: list[Case] = [  # images, channels, outputs, height, width, padding
    (1, 16, 16, 4, 4, 1),  # a single output tile
    (2, 16, 32, 8, 12, 1),
    (3, 64, 64, 32, 32, 1),  # tile batches that continue in the next tile row
    (2, 48, 80, 12, 40, 1),
    (1, 32, 16, 4, 212, 1),  # more than two tile batches in a tile row, the last incomplete
    (2, 64, 128, 34, 30, 0),  # without padding, the input is larger than the output
    (1, 128, 192, 10, 14, 0),
    (2, 64, 64, 112, 64, 1),  # several row blocks in an image
    (5, 16, 48, 16, 8, 1),  # not divisible by any number of threads
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("with_bias", [True, False], ids=["bias", "no bias"])
def test_results_and_gradients_equal_those_of_torch(case: Case, with_bias: bool, threads: int) -> None:
    n, channels, outputs, height, width, padding = case
    torch.manual_seed(1)
    x = torch.randn(n, channels, height, width, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(outputs, channels, 3, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(outputs, dtype=torch.float64, requires_grad=True) if with_bias else None
    wanted = (x, weight) if bias is None else (x, weight, bias)
    exact = F.conv2d(x, weight, bias, padding=padding)
    dy = torch.randn_like(exact)
    exact_gradients = torch.autograd.grad(exact, wanted, dy)
    single = [t.detach().float().requires_grad_() for t in wanted]
    made = Convolution.apply(single[0], single[1], single[2] if with_bias else None, padding)
    assert same(made, exact)
    for found, expected in zip(torch.autograd.grad(made, single, dy.float()), exact_gradients, strict=True):
        assert same(found, expected)


def test_the_same_numbers_give_the_same_bits() -> None:
    x, weight = torch.randn(3, 32, 24, 24, requires_grad=True), torch.randn(32, 32, 3, 3, requires_grad=True)

    def once() -> tuple[Tensor, ...]:
        y = Convolution.apply(x, weight, None, 1)
        return y, *torch.autograd.grad(y.square().sum(), (x, weight))

    first = once()
    for _ in range(5):
        assert all(torch.equal(a, b) for a, b in zip(first, once(), strict=True))


def test_tensors_at_any_memory_address_are_supported() -> None:
    weight = torch.randn(16, 16, 3, 3)
    numbers = torch.randn(2 * 16 * 8 * 8 + 5)
    x = numbers[5:].view(2, 16, 8, 8)  # rows that are not aligned to a cache line
    expected = F.conv2d(x, weight, padding=1)
    assert same(Convolution.apply(x, weight, None, 1), expected)
    bias = torch.randn(21)[5:]
    assert same(Convolution.apply(x, weight, bias, 1), F.conv2d(x, weight, bias, padding=1))
    crop = torch.randn(2, 16, 20, 20)[:, :, 3:15, 2:14]
    assert same(Convolution.apply(crop, weight, None, 1), F.conv2d(crop, weight, padding=1))


def test_nan_reaches_all_outputs_that_it_reaches_in_torch() -> None:
    """A tile's outputs have common inputs, so NaN may reach more than
    nine pixels, but it must not disappear."""
    x = torch.randn(1, 16, 12, 12)
    x[0, 3, 5, 5] = torch.nan
    weight = torch.randn(16, 16, 3, 3)
    made, expected = Convolution.apply(x, weight, None, 1), F.conv2d(x, weight, padding=1)
    assert (made.isnan() | ~expected.isnan()).all()
    far = torch.ones_like(expected, dtype=torch.bool)
    far[:, :, :8, :8] = False  # the four tiles whose inputs contain it
    assert same(made[far], expected[far])


def counted(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Return a list of the shapes that `Convolution` computes from now on."""
    seen: list[torch.Size] = []
    real = Convolution.apply

    def apply(x: Tensor, *rest: object) -> Tensor:
        seen.append(x.shape)
        return real(x, *rest)

    monkeypatch.setattr(Convolution, "apply", apply)
    return seen


@pytest.mark.parametrize(
    ("settings", "channels", "size", "taken"),
    [
        ({"padding": 1}, (16, 16), (8, 8), True),
        ({"padding": 1, "bias": False}, (32, 48), (8, 4), True),
        ({"padding": 0}, (16, 16), (10, 6), True),
        ({"padding": 1, "padding_mode": "reflect"}, (16, 16), (8, 8), True),
        ({"padding": 1}, (3, 16), (8, 8), False),
        ({"padding": 1}, (16, 12), (8, 8), False),
        ({"padding": 1}, (16, 16), (9, 8), False),
        ({"padding": 0}, (16, 16), (8, 8), False),
        ({"padding": 1, "stride": 2}, (16, 16), (8, 8), False),
        ({"padding": 2, "dilation": 2}, (16, 16), (8, 8), False),
        ({"padding": 1, "groups": 2}, (32, 32), (8, 8), False),
        ({"padding": "same"}, (16, 16), (8, 8), False),
        ({"padding": (1, 0)}, (16, 16), (8, 10), False),
    ],
    ids=str,
)
def test_unsupported_layers_are_computed_by_torch(
    settings: dict[str, object],
    channels: tuple[int, int],
    size: tuple[int, int],
    taken: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer, x = nn.Conv2d(*channels, 3, **settings), torch.randn(2, channels[0], *size)  # type: ignore[arg-type]
    expected, seen = layer(x), counted(monkeypatch)
    with fast_convolutions(CPU):
        made = layer(x)
    assert same(made, expected)
    assert bool(seen) == taken


def test_other_dtypes_and_kernels_are_computed_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = counted(monkeypatch)
    with fast_convolutions(CPU):
        nn.Conv2d(16, 16, 3, padding=1).double()(torch.randn(1, 16, 8, 8, dtype=torch.float64))
        nn.Conv2d(16, 16, 1)(torch.randn(1, 16, 8, 8))
        nn.Conv2d(16, 16, 3, padding=1)(torch.randn(16, 8, 8))  # without a batch
        nn.ConvTranspose2d(16, 16, 3, padding=1)(torch.randn(1, 16, 8, 8))
    assert not seen


def test_it_is_used_only_in_fp32_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    fp32 = replace(tiny_recipe(), precision="fp32")
    assert not isinstance(steps.autocast(fp32, CPU), contextlib.nullcontext)
    assert isinstance(steps.autocast(replace(fp32, precision="bf16"), CPU), torch.autocast)
    assert isinstance(fast_convolutions(torch.device("cuda", 0)), contextlib.nullcontext)
    monkeypatch.setattr(backend, "is_measured", lambda: False)
    assert isinstance(steps.autocast(fp32, CPU), contextlib.nullcontext)


def test_a_run_learns_the_same_as_with_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "bf16_is_quicker", lambda: False)
    network = GeneratorSettings(compact=CompactConfig(nf=16, nc=2, scale=2))
    recipe, batch = replace(tiny_recipe(), precision="auto", generator=network), batch_of()
    seen = counted(monkeypatch)

    def losses() -> list[float]:
        state = new_state(recipe)
        return [train_step(state, recipe, batch, factor=1.0)["loss"] for _ in range(30)]

    own = losses()
    assert seen
    monkeypatch.setattr(steps, "fast_convolutions", lambda device: contextlib.nullcontext())
    assert own == pytest.approx(losses(), rel=1e-3)
    assert own[-1] < own[0]


def test_torch_compile_sees_torchs_convolution() -> None:
    layer, x = nn.Conv2d(16, 16, 3, padding=1), torch.randn(1, 16, 8, 8)
    expected = layer(x)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    with fast_convolutions(CPU):
        assert same(compiled(x), expected)
