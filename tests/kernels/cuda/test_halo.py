"""The kernel for Hopper GPUs computes what torch does; without a GPU its text is compiled for the host."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.kernels.cuda import emulation
from vsr.engine.backends import select
from vsr.engine.backends.own_kernels import kernels_are_fastest
from vsr.kernels.cuda import halo
from vsr.kernels.cuda.operands import Operands, Residual
from vsr.metrics import psnr
from vsr.models.archs.compact import Compact, CompactConfig
from vsr.models.archs.rrdb import RRDB, RRDBConfig
from vsr.models.load import load_generator

HALF = torch.float16


def drawn(*shape: int, seed: int = 2) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - 0.5


Convolve = Callable[..., None]
"""`(packed, operands)`: computes a layer."""
WHERE = ["cpu", pytest.param("cuda", marks=pytest.mark.needs_cuda)]


@pytest.fixture
def convolve() -> Convolve:
    """Compute layers on a GPU, or in a few emulated blocks on the host."""
    return emulation.launch


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(
    ("outputs", "channels"),
    [(64, 64), (32, 96), pytest.param(64, 192, marks=pytest.mark.slow)],
    ids=["one tap a product", "stacked", "two parts"],
)
def test_a_convolution_with_bias_activation_and_residuals_equals_torchs(
    convolve: Convolve, where: str, outputs: int, channels: int
) -> None:
    device, height, width = torch.device(where), 19, 37
    weight, bias, slopes = drawn(outputs, channels, 3, 3) / 8, drawn(outputs, seed=3), drawn(outputs, seed=4)
    packed = halo.pack(weight, bias, slopes, dtype=HALF, device=device, top=-1, left=-1, planes=False)
    assert packed is not None
    src = drawn(2, height, width, channels + 32).to(device, HALF)
    dst = torch.full((2, height, width, outputs + 16), torch.nan, dtype=HALF, device=device)
    base, outer = (drawn(2, height, width, outputs + 8 * n, seed=5 + n).to(device, HALF) for n in (1, 0))
    residuals = Residual(base, 0.7), Residual(outer, 1.0)
    convolve(packed, Operands(src[..., :channels], dst[..., :outputs], 0.2, *residuals))
    sums = F.conv2d(
        src[..., :channels].float().cpu().permute(0, 3, 1, 2), weight.to(HALF).float(), bias, padding=1
    )
    sums = torch.where(sums < 0, sums * slopes[:, None, None], sums).permute(0, 2, 3, 1)
    expected = 0.2 * sums + 0.7 * base[..., :outputs].float().cpu() + outer.float().cpu()
    # float32 sums in another order, and one rounding to 11 bits of numbers below 2
    torch.testing.assert_close(dst[..., :outputs].float().cpu(), expected, rtol=0, atol=2**-10)
    assert dst[..., outputs:].isnan().all()


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("outputs", [3, 48])
def test_planes_of_float32_are_written_with_any_strides(convolve: Convolve, where: str, outputs: int) -> None:
    weight, plain = drawn(outputs, 64, 3, 3), torch.ones(outputs)
    packed = halo.pack(
        weight, 0 * plain, plain, dtype=HALF, device=torch.device(where), top=-1, left=-1, planes=True
    )
    assert packed is not None
    src = drawn(1, 33, 16, 64).to(where, HALF)
    dst = torch.full((1, outputs, 33, 16), torch.nan, device=where)
    convolve(packed, Operands(src, dst.permute(0, 2, 3, 1)))
    expected = F.conv2d(src.float().cpu().permute(0, 3, 1, 2), weight.to(HALF).float(), padding=1)
    torch.testing.assert_close(dst.cpu(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("scale", [2, 4])
def test_results_are_shuffled_and_added_to_the_enlarged_image(
    convolve: Convolve, where: str, scale: int
) -> None:
    weight, plain = drawn(3 * scale**2, 32, 3, 3), torch.ones(3 * scale**2)
    device = torch.device(where)
    packed = halo.pack(
        weight, 0 * plain, plain, dtype=HALF, device=device, top=-1, left=-1, planes=True, shuffle=scale
    )
    assert packed is not None
    src, image = drawn(2, 18, 20, 32).to(device, HALF), drawn(2, 3, 18, 20, seed=5).to(device)
    dst = torch.full((2, 3, 18 * scale, 20 * scale), torch.nan, device=device)
    convolve(packed, Operands(src, dst.permute(0, 2, 3, 1), image=image))
    details = F.conv2d(src.float().cpu().permute(0, 3, 1, 2), weight.to(HALF).float(), padding=1)
    expected = F.pixel_shuffle(details, scale) + F.interpolate(image.cpu(), scale_factor=scale)
    torch.testing.assert_close(dst.cpu(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("where", WHERE)
def test_a_2x2_convolution_writes_every_other_pixel(convolve: Convolve, where: str) -> None:
    weight, plain = drawn(32, 32, 2, 2), torch.ones(32)
    packed = halo.pack(
        weight, 0 * plain, plain, dtype=HALF, device=torch.device(where), top=0, left=-1, planes=False
    )
    assert packed is not None
    src, dst = drawn(1, 17, 18, 32).to(where, HALF), torch.zeros(1, 34, 36, 32, dtype=HALF, device=where)
    convolve(packed, Operands(src, dst[:, 1::2, ::2]))
    padded = F.pad(src.float().cpu().permute(0, 3, 1, 2), (1, 0, 0, 1))
    expected = F.conv2d(padded, weight.to(HALF).float()).permute(0, 2, 3, 1)
    torch.testing.assert_close(dst[:, 1::2, ::2].float().cpu(), expected, rtol=0, atol=2**-9)
    assert not dst[:, ::2].any()
    assert not dst[:, :, 1::2].any()


@pytest.mark.needs_cuda
def test_an_image_with_many_tiles_for_each_block_equals_torchs(convolve: Convolve) -> None:
    """The stages in shared memory are reused, and the two warp groups of a block overtake each other."""
    weight, plain = drawn(32, 160, 3, 3) / 8, torch.ones(32)
    packed = halo.pack(
        weight, 0 * plain, plain, dtype=HALF, device=torch.device("cuda"), top=-1, left=-1, planes=False
    )
    assert packed is not None
    src = drawn(3, 270, 480, 160).to("cuda", HALF)
    dst = torch.full((3, 270, 480, 32), torch.nan, dtype=HALF, device="cuda")
    convolve(packed, Operands(src, dst))
    exact = F.conv2d(src.double().permute(0, 3, 1, 2), weight.to(HALF).double().cuda(), padding=1)
    torch.testing.assert_close(dst.double(), exact.permute(0, 2, 3, 1), rtol=0, atol=2**-10)


@pytest.mark.parametrize(("outputs", "channels"), [(64, 16), (48, 64), (24, 64), (64, 1024)])
def test_unsupported_layers_have_no_shape(outputs: int, channels: int) -> None:
    assert halo.shape_for(outputs, channels, rows=3, columns=3, planes=False, half=False) is None


@pytest.mark.parametrize(
    ("network", "taken"),
    [
        (Compact(CompactConfig(nf=32, nc=1, scale=2)), True),
        (Compact(CompactConfig(nf=24, nc=1, scale=2)), False),
        (RRDB(RRDBConfig(nf=64, nb=1, gc=32)), True),
        (RRDB(RRDBConfig(nf=64, nb=1, gc=16)), False),
        (nn.Conv2d(3, 3, 3), False),
    ],
    ids=["Compact", "Compact with few channels", "RRDB", "RRDB with few channels", "another network"],
)
def test_auto_takes_the_kernel_on_hopper_for_supported_networks_only(
    monkeypatch: pytest.MonkeyPatch, network: nn.Module, taken: bool
) -> None:
    assert not kernels_are_fastest(network, "cuda", torch.bfloat16)
    monkeypatch.setattr(halo, "available", lambda: True)
    assert kernels_are_fastest(network, "cuda", torch.bfloat16) is taken
    assert not kernels_are_fastest(network, "cuda", torch.float32)


@pytest.mark.needs_cuda
def test_on_a_gpu_auto_takes_the_backend_that_was_measured_fastest() -> None:
    network = load_generator("fast-x2").network
    chosen = select.select(network, torch.device("cuda", 0), dtype=torch.bfloat16)
    assert (chosen.backend == "cuda") is halo.available()
    x = drawn(1, 3, 40, 60).cuda() + 0.5
    exact = network(x.cpu())
    assert (
        psnr(chosen.compiled()(x).cpu().clamp(0, 1), exact.clamp(0, 1), border=0) > 50
    )  # bfloat16's 8 bits, in 10 layers


def test_a_kernel_that_does_not_compile_is_not_used_and_one_line_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("NVRTC: no such target\nsecond line")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(halo.nvrtc, "available", lambda: True)
    monkeypatch.setattr(halo, "_kernel", refuse)
    halo.available.cache_clear()
    try:
        assert not halo.available()
    finally:
        halo.available.cache_clear()
    assert [record.message for record in caplog.records] == [
        "the kernel for Hopper GPUs is not used: NVRTC: no such target"
    ]
