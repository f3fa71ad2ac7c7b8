"""The Winograd F(4x4, 3x3) kernels are as exact as torch in fp32, with vector registers of any width."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from tests.engine.networks import RRDBS, exact, network, on_cpu, random_images, rrdb
from vsr.engine.backends import select
from vsr.engine.backends.contract import Run
from vsr.engine.upscaler import Upscaler
from vsr.errors import ConfigError
from vsr.kernels.amx import backend as amx
from vsr.kernels.winograd import backend as winograd
from vsr.kernels.winograd import transform
from vsr.models.archs.compact import Compact
from vsr.models.archs.rrdb import RRDB
from vsr.models.load import load_generator

CPU, FP32 = torch.device("cpu"), torch.float32
needs_winograd = pytest.mark.skipif(not winograd.available(), reason="no llvmlite, or no FMA")
_WORSE = 100
"""How much larger the mean squared error may be than torch's: the transforms add and subtract numbers that
are larger than the result, which costs a bit or two each. With 16 bits it would be 10^8 times larger."""


class Numbers:
    """`transform.Arithmetic` on tensors."""

    add, sub, scaled = staticmethod(torch.add), staticmethod(torch.sub), staticmethod(torch.mul)

    @staticmethod
    def plus_scaled(one: Tensor, factor: float, other: Tensor) -> Tensor:
        return one + factor * other


def test_the_transforms_compute_a_convolution() -> None:
    """In float64, where rounding is negligible."""
    x, kernel = torch.randn(2, 6, 6, dtype=torch.float64), torch.randn(3, 2, 3, 3)
    source, on = x.permute(1, 2, 0), Numbers()
    both = [transform.forward(on, column) for column in transform.forward(on, source)]
    points = torch.stack([torch.stack(row) for row in both]).flatten(0, 1)
    products = torch.einsum("pc, pco -> po", points, transform.weights(kernel).double()).unflatten(0, (6, 6))
    found = torch.stack([torch.stack(transform.back(on, row)) for row in transform.back(on, products)])
    expected = nn.functional.conv2d(x, kernel.double())
    torch.testing.assert_close(found.permute(2, 0, 1), expected, rtol=0, atol=1e-5)  # weights are float32


def worse_than_torch(made: nn.Module, x: Tensor) -> float:
    """Return the mean squared error over that of torch in float32, both against float64."""
    found = on_cpu(made, "winograd", FP32)(x)
    expected = exact(copy.deepcopy(made).double(), x.double())  # type: ignore[arg-type]
    in_torch = exact(made, x)  # type: ignore[arg-type]
    assert found.shape == expected.shape
    error, others = (found - expected).square().mean(), (in_torch - expected).square().mean()
    return float(error / others.clamp(min=1e-16))


@needs_winograd
@pytest.mark.parametrize(
    "changes",
    [{}, {"nf": 64, "nc": 16, "scale": 4}, {"nf": 24}, {"nf": 80, "nc": 2}, {"nf": 128, "nc": 1}, {"nc": 0},
     {"activation": "relu"}, {"activation": "leakyrelu"}, {"scale": 1}, {"scale": 3}, {"scale": 8}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("size", [(40, 64), (1, 1), (17, 33), (9, 95), (50, 201)], ids=str)
def test_a_compact_network_is_as_exact_as_fp32(changes: dict[str, object], size: tuple[int, int]) -> None:
    assert worse_than_torch(network(**changes), random_images(1, 3, *size)) < _WORSE


@needs_winograd
@pytest.mark.parametrize("name", ["fast-x2", "compact-x4", "rrdb-lite-x4"])
def test_a_shipped_network_is_as_exact_as_fp32(name: str) -> None:
    assert worse_than_torch(load_generator(name).network, random_images(1, 3, 45, 70)) < _WORSE


@needs_winograd
@pytest.mark.parametrize(
    "changes", [*RRDBS.values(), {"nf": 48, "gc": 16}], ids=[*RRDBS.keys(), "x4 of odd channels"]
)
@pytest.mark.parametrize("size", [(21, 31), (1, 28), (18, 130)], ids=str)
def test_an_rrdb_is_as_exact_as_fp32(changes: dict[str, object], size: tuple[int, int]) -> None:
    assert worse_than_torch(rrdb(**changes), random_images(1, 3, *size)) < _WORSE


@needs_winograd
@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize(
    "make", [partial(network, nf=64), partial(rrdb, nf=32, gc=16)], ids=["compact", "rrdb"]
)
def test_the_width_of_vector_registers_changes_no_bit(
    make: Callable[[], Compact | RRDB], lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a command gives the same result on all CPUs; LLVM splits vectors that are too wide for this one."""
    from vsr.kernels.winograd import layers

    made, x = make(), random_images(1, 3, 13, 50)
    expected = on_cpu(made, "winograd", FP32)(x)
    monkeypatch.setattr(layers, "lanes", lambda: lanes)
    assert torch.equal(on_cpu(made, "winograd", FP32)(x), expected)


@needs_winograd
def test_a_window_that_begins_on_the_grid_gives_the_bits_of_the_whole_image() -> None:
    """On all four sides, wherever the window ends."""
    upscaler = Upscaler(network(), device_name="cpu", backend="winograd")
    x, halo, scale = random_images(1, 3, 90, 100), upscaler.bit_radius, int(upscaler.scale)
    whole = upscaler(x)
    for top, bottom, left, right in product(
        (0, 3 * upscaler.grid), (69, 90), (5 * upscaler.grid, 8), (70, 71, 72)
    ):
        inner = [slice(scale * (a + halo), scale * (b - halo)) for a, b in ((top, bottom), (left, right))]
        window = upscaler(x[..., top:bottom, left:right])
        off = slice(scale * halo, -scale * halo)
        assert torch.equal(window[..., off, off], whole[..., inner[0], inner[1]])


@needs_winograd
def test_without_amx_auto_takes_winograd_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amx, "available", lambda: False)
    for made in (network(), rrdb()):
        upscaler = Upscaler(made, device_name="cpu")
        assert (upscaler.backend, upscaler.precision) == ("winograd", "float32")


@needs_winograd
@pytest.mark.parametrize("other", ["openvino", "torch"])
def test_on_other_kinds_of_cpus_a_trial_decides(other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Winograd was never measured there."""
    monkeypatch.setattr(winograd.platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(select.openvino, "available", lambda: other == "openvino")
    monkeypatch.setattr(select.openvino, "compiled", lambda network, dtype: network)
    monkeypatch.setattr(amx, "available", lambda: False)
    for wins in (0, 1):
        tried = []

        def quicker(
            candidates: Mapping[str, Callable[[], Run]],
            *_: object,
            wins: int = wins,
            tried: list[str] = tried,
        ) -> tuple[str, Run]:
            tried += candidates
            return tried[wins], candidates[tried[wins]]()

        monkeypatch.setattr(select.trial, "quicker", quicker)
        assert select.select(network(), CPU, dtype=FP32).backend == ["winograd", other][wins]
        assert tried == ["winograd", other]
    assert Upscaler(network(), device_name="cpu", backend="winograd").precision == "float32"


@needs_winograd
def test_a_request_for_bf16_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amx, "available", lambda: False)
    upscaler = Upscaler(network(), device_name="cpu", precision="bf16")
    assert (upscaler.backend != "winograd", upscaler.precision) == (True, "bfloat16")


@needs_winograd
def test_with_amx_auto_takes_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amx, "available", lambda: True)
    monkeypatch.setattr(select, "cpu_has_bf16", lambda: True)
    assert select.select(network(), CPU).dtype == torch.bfloat16
    assert select.select(network(), CPU, backend="winograd").dtype == FP32


def test_asking_for_winograd_where_it_is_absent_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "available", lambda: False)
    with pytest.raises(ConfigError, match=r"needs llvmlite and .*; leave `backend` out"):
        select.select(network(), CPU, backend="winograd", dtype=FP32)
