"""The engine never loses a picture: memory, NaN and black results are dealt with, and sizes do not matter."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from tests.engine.fakes import BreaksIn16Bits, Hungry, Nearest
from vsr.engine import device, memory
from vsr.engine.upscaler import Upscaler
from vsr.errors import ConfigError, DeviceError, DeviceMemoryError, ModelError
from vsr.models.archs.compact import Compact, CompactConfig
from vsr.models.archs.resample import Resample, ResampleConfig
from vsr.models.archs.rrdb import RRDB, RRDBConfig


def pictures(n: int = 3, height: int = 40, width: int = 56) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(n, 3, height, width)


def doubled(images: torch.Tensor) -> torch.Tensor:
    return images.repeat_interleave(2, -1).repeat_interleave(2, -2)


@pytest.mark.parametrize(
    "words", [None, "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"]
)
def test_out_of_memory_loses_no_picture_and_what_fitted_is_remembered(words: str | None) -> None:
    net = Hungry(limit=1200, words=words)
    upscaler = Upscaler(net, device_name="cpu", batch=4)
    torch.testing.assert_close(upscaler(pictures(4)), doubled(pictures(4)))
    assert upscaler.redone_smaller > 0
    net.calls.clear()
    torch.testing.assert_close(upscaler(pictures(4)), doubled(pictures(4)))
    assert all(n * h * w <= 1200 for n, _, h, w in net.calls), "the second call tried again what had failed"


def test_no_memory_even_for_the_smallest_tile_is_one_clear_error() -> None:
    with pytest.raises(DeviceMemoryError, match="smallest"):
        Upscaler(Hungry(limit=10), device_name="cpu")(pictures())


def test_other_errors_are_not_taken_for_out_of_memory() -> None:
    with pytest.raises(RuntimeError, match="illegal address"):
        Upscaler(Hungry(limit=10, words="CUDA error: illegal address"), device_name="cpu")(pictures())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_broken_16_bit_pictures_are_redone_in_fp32(value: float) -> None:
    upscaler = Upscaler(BreaksIn16Bits(value), device_name="cpu", precision="bf16")
    torch.testing.assert_close(upscaler(pictures()), doubled(pictures()))


def test_a_black_source_may_stay_black() -> None:
    upscaler = Upscaler(BreaksIn16Bits(0.0), device_name="cpu", precision="bf16")
    images = torch.zeros(2, 3, 8, 8)
    launched = upscaler.launch(images)
    assert launched.healthy.all()


def test_a_network_that_gives_nan_in_fp32_too_is_refused() -> None:
    with pytest.raises(ModelError, match="not finite"):
        Upscaler(BreaksIn16Bits(float("nan"), always=True), device_name="cpu")(pictures())


def compact() -> Compact:
    torch.manual_seed(3)
    return Compact(CompactConfig(nf=8, nc=3, scale=2)).eval().requires_grad_(False)


@pytest.mark.parametrize("tile", [0, 7, 16, 33])
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_result_does_not_depend_on_tile_and_batch(tile: int, batch: int) -> None:
    images = pictures()
    net = compact()
    whole = net(images)
    made = Upscaler(net, device_name="cpu", precision="fp32", tile=tile, batch=batch)(images)
    # fp32 sums of 72 products in another order
    torch.testing.assert_close(made, whole, rtol=0, atol=1e-5)


def test_bf16_stays_near_fp32_because_the_skip_is_added_in_fp32() -> None:
    images, net = pictures(), compact()
    made = Upscaler(net, device_name="cpu", precision="bf16")(images)
    error = (made - net(images)).pow(2).mean()
    assert 10 * torch.log10(1 / error) > 50


def test_tiles_of_a_net_that_unshuffles_pixels_begin_at_its_multiple() -> None:
    torch.manual_seed(4)
    net = RRDB(RRDBConfig(scale=2, nf=8, nb=1, gc=4, unshuffle=2)).eval().requires_grad_(False)
    images = pictures(1, 120, 88)
    upscaler = Upscaler(net, device_name="cpu", precision="fp32", tile=17)
    assert upscaler.multiple == 2
    torch.testing.assert_close(upscaler(images), net(images), rtol=0, atol=1e-5)


def test_a_picture_of_one_pixel_works() -> None:
    assert Upscaler(compact(), device_name="cpu")(torch.rand(1, 3, 1, 1)).shape == (1, 3, 2, 2)


def test_the_plan_takes_the_whole_frame_if_it_fits_and_tiles_if_not() -> None:
    load = memory.measure_load(compact(), element_bytes=4)
    needs = load.bytes_per_pixel * 100 * 100

    def plan(free: float, **more: int) -> memory.Plan:
        return memory.fit(
            load, height=100, width=100, free_bytes=int(free), batch=4, margin=5, **{"tile": None, **more}
        )

    assert plan(needs * 100) == memory.Plan(batch=4, tile=0)
    assert plan(needs * 4) == memory.Plan(batch=2, tile=0)
    assert 0 < plan(needs / 2).tile < 100
    assert plan(needs / 2, tile=0).tile == 0


def test_the_estimate_is_at_least_what_the_network_writes_and_reads_in_its_largest_layer() -> None:
    load = memory.measure_load(compact(), element_bytes=4)
    assert load.elements_per_pixel == 12  # 3 channels x 2 x 2 after the shuffle; features have 8
    assert load.bytes_per_pixel >= (12 + 12) * 4


def test_devices_that_are_not_there_are_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="unknown"):
        device.choose_device("abacus")
    with pytest.raises(ConfigError, match="not supported"):
        device.choose_device("mps")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="no CUDA device"):
            device.choose_device("cuda")


def test_auto_precision_is_16_bits_only_where_the_cpu_multiplies_them() -> None:
    expected = torch.bfloat16 if device.cpu_has_bf16() else torch.float32
    assert device.choose_dtype("auto", torch.device("cpu")) is expected


def test_resamplers_have_no_weights_and_run_in_fp32() -> None:
    net = Resample(ResampleConfig(kind="bicubic", scale=Fraction(3, 2)))
    assert Upscaler(net, device_name="cpu", precision="bf16").dtype is torch.float32


@pytest.mark.needs_cuda
def test_cuda_out_of_memory_retries_and_equals_the_cpu() -> None:
    images = pictures(2, 200, 200)
    net = compact()
    made = Upscaler(net, device_name="cuda", precision="fp32", tile=64)(images.cuda()).cpu()
    # TF32 is off by default for matmul, but cuDNN convolutions use it: 10 bits of mantissa
    torch.testing.assert_close(made, net(images), rtol=0, atol=5e-3)


def test_nearest_fake_is_what_it_says() -> None:
    torch.testing.assert_close(Nearest()(pictures()), doubled(pictures()))
