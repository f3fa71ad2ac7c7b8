"""The AMX kernels compute Compact and RRDB networks as torch does, however an image is divided."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch

from tests.engine.networks import RRDBS, exact, network, on_cpu, random_images, rrdb
from vsr.engine import device
from vsr.engine.backends import select
from vsr.engine.upscaler import Upscaler
from vsr.errors import ConfigError
from vsr.kernels.amx import backend as amx
from vsr.metrics import psnr
from vsr.models.archs.compact import Compact
from vsr.models.archs.rrdb import RRDB
from vsr.models.load import load_generator

CPU, BF16 = torch.device("cpu"), torch.bfloat16
needs_amx = pytest.mark.skipif(not amx.available(), reason="no AMX that this process may use, or no llvmlite")


@needs_amx
@pytest.mark.parametrize(
    "changes",
    [{}, {"nf": 64, "nc": 16, "scale": 4}, {"nf": 24}, {"nf": 80, "nc": 2}, {"nc": 0}, {"activation": "relu"},
     {"activation": "leakyrelu"}, {"scale": 1}, {"scale": 3}, {"scale": 4}, {"scale": 8}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("size", [(40, 64), (1, 32), (17, 33), (9, 95), (50, 601)], ids=str)
def test_a_compact_network_is_as_close_to_fp32_as_torch_in_bf16(
    changes: dict[str, object], size: tuple[int, int]
) -> None:
    """Both round features to bf16 and sum in fp32; 1 dB is left for sums in another order."""
    made, x = network(**changes), random_images(1, 3, *size)
    expected = exact(made, x)
    in_torch = exact(copy.deepcopy(made).to(BF16), x)
    found = on_cpu(made, "amx", BF16)(x)
    assert found.shape == expected.shape
    assert psnr(found, expected, border=0) > min(psnr(in_torch, expected, border=0) - 1, 80)


@needs_amx
@pytest.mark.parametrize("name", ["fast-x2", "compact-x4"])
def test_a_shipped_network_is_as_close_to_fp32_as_torch_in_bf16(name: str) -> None:
    made, x = load_generator(name).network, random_images(1, 3, 45, 70)
    assert isinstance(made, Compact)
    expected = exact(made, x)
    in_torch = exact(copy.deepcopy(made).to(BF16), x)
    assert psnr(on_cpu(made, "amx", BF16)(x), expected, border=0) > psnr(in_torch, expected, border=0) - 1


@needs_amx
def test_tiled_output_equals_whole_output_to_the_bit() -> None:
    made, x = network(), random_images(3, 3, 70, 90)
    whole = Upscaler(made, device_name="cpu", precision="bf16", backend="amx")
    tiled = Upscaler(made, device_name="cpu", precision="bf16", backend="amx", tile=40, batch=2)
    assert whole.backend == tiled.backend == "amx"
    assert torch.equal(whole(x), tiled(x))


@needs_amx
def test_steps_of_10_bits_are_kept_in_the_input_and_the_output_is_finer_than_bf16() -> None:
    """0.7 and the next code of 10 bits are one number in bf16, whose steps would be visible in a smooth
    sky."""
    run, low, high = on_cpu(network(), "amx", BF16), 716 / 1023, 717 / 1023
    dark, light = (run(torch.full((1, 3, 8, 40), value)) - value for value in (low, high))
    assert torch.tensor(low).to(BF16) == torch.tensor(high).to(BF16)
    assert not torch.equal(dark, light)
    assert (dark == dark.to(BF16).float()).float().mean() < 0.1


@needs_amx
@pytest.mark.parametrize("changes", RRDBS.values(), ids=RRDBS.keys())
@pytest.mark.parametrize("size", [(21, 131), (1, 128), (18, 530)], ids=str)
def test_an_rrdb_is_as_close_to_fp32_as_torch_in_bf16(
    changes: dict[str, object], size: tuple[int, int]
) -> None:
    made, x = rrdb(**changes), random_images(1, 3, *size)
    with torch.no_grad():
        expected, in_torch = made(x), copy.deepcopy(made).to(BF16)(x)
    found = on_cpu(made, "amx", BF16)(x)
    assert found.shape == expected.shape
    error, others = (found - expected).square().mean(), (in_torch - expected).square().mean()
    assert error < 1.25 * others  # 1 dB
    assert error < 1e-3 * expected.var()  # so torch's error is rounding, not a wrong result


DIVISIONS = [
    (1, 512, 1 << 20),
    (2, 512, 1 << 20),
    (5, 64, 1 << 20),
    (4, 40, 1 << 20),
    (3, 333, 1),
    (2, 2000, 1 << 30),
]
"""Threads, width of a region in pixels, and bytes of the L2 cache: they decide the regions of an image, and
how many layers of a Compact network advance together."""


@needs_amx
@pytest.mark.parametrize(
    ("make", "size"),
    [
        (partial(network, nf=64), (3, 40)),
        (partial(network, nf=64), (64, 96)),
        (partial(network, nf=64), (70, 1100)),
        (partial(rrdb, nb=2), (50, 100)),
    ],
    ids=["compact, low", "compact", "compact, wide", "rrdb"],
)
def test_the_division_into_regions_and_groups_changes_no_bit(
    make: Callable[[], Compact | RRDB], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vsr.kernels.amx import program

    made, x = make(), random_images(1, 3, *size)
    results = []
    for threads, region_width, cache in DIVISIONS:
        monkeypatch.setattr(program, "_REGION_WIDTH", region_width)
        monkeypatch.setattr(program, "CACHE", cache)
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        results.append(on_cpu(made, "amx", BF16)(x))
    assert all(torch.equal(result, results[0]) for result in results)


@needs_amx
def test_auto_takes_amx_for_bf16_networks_that_it_supports() -> None:
    other = rrdb(nf=16, gc=8)
    assert select.select(network(), CPU, dtype=BF16).backend == "amx"
    assert select.select(rrdb(), CPU, dtype=BF16).backend == "amx"
    assert select.select(network(), CPU, dtype=torch.float32).backend != "amx"
    assert select.select(other, CPU, dtype=BF16).backend != "amx"
    with pytest.raises(ConfigError, match="in bf16 on the CPU, not this one in float32"):
        select.select(network(), CPU, backend="amx", dtype=torch.float32)
    with pytest.raises(ConfigError, match="RRDB of 32 or 64 channels"):
        select.select(other, CPU, backend="amx", dtype=BF16)


def test_without_amx_auto_takes_another_backend_and_asking_for_amx_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(amx, "available", lambda: False)
    assert select.select(network(), CPU, dtype=BF16).backend != "amx"
    with pytest.raises(ConfigError, match=r"needs a CPU with AMX.*; leave `backend` out"):
        select.select(network(), CPU, backend="amx", dtype=BF16)


def test_on_a_cpu_without_bf16_auto_computes_in_fp32_and_does_not_look_for_amx(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for one in (device, select):
        monkeypatch.setattr(one, "cpu_has_bf16", lambda: False)
    monkeypatch.setattr(amx, "available", lambda: pytest.fail("asked"))
    assert Upscaler(network(), device_name="cpu").backend != "amx"


@needs_amx
@pytest.mark.parametrize("channels", [1, 3, 4, 12])
@pytest.mark.parametrize("size", [(1, 32), (5, 33), (20, 64)], ids=str)
def test_a_sample_of_the_image_becomes_two_bfloat16_numbers(channels: int, size: tuple[int, int]) -> None:
    from vsr.kernels.amx import input_layer, layers

    x = 2 * torch.randn(channels, *size, generator=torch.Generator().manual_seed(3))
    into = torch.zeros(*size, layers.input_channels(channels), dtype=BF16)
    input_layer.split(x, into)
    coarse, fine = into.permute(2, 0, 1).chunk(2)
    assert torch.equal(coarse[:channels], x.to(BF16))
    assert torch.equal(fine[:channels], (x - x.to(BF16)).to(BF16))
    assert not coarse[channels:].any()
    assert not fine[channels:].any()
