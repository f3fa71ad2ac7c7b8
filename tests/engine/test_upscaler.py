"""The engine returns every image: it handles out-of-memory, NaN and black results, and all sizes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import torch

from tests.engine.fakes import BreaksIn16Bits, Hungry, Nearest
from vsr.engine import device, memory
from vsr.engine.upscaler import Upscaler
from vsr.errors import ConfigError, DeviceError, DeviceMemoryError, InputError, ModelError
from vsr.models.archs.compact import Compact, CompactConfig
from vsr.models.archs.resample import Resample, ResampleConfig
from vsr.models.archs.rrdb import RRDB, RRDBConfig
from vsr.system import host


def random_images(n: int = 3, height: int = 40, width: int = 56) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(n, 3, height, width)


def doubled(images: torch.Tensor) -> torch.Tensor:
    return images.repeat_interleave(2, -1).repeat_interleave(2, -2)


@pytest.mark.parametrize(
    "words", [None, "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"]
)
def test_out_of_memory_loses_no_image_and_the_plan_that_fits_is_remembered(words: str | None) -> None:
    net = Hungry(limit=1200, words=words)
    upscaler = Upscaler(net, device_name="cpu", batch=4)
    torch.testing.assert_close(upscaler(random_images(4)), doubled(random_images(4)))
    assert upscaler.redone_smaller > 0
    net.calls.clear()
    torch.testing.assert_close(upscaler(random_images(4)), doubled(random_images(4)))
    assert all(n * h * w <= 1200 for n, _, h, w in net.calls), "the second call repeated a failed plan"


def test_too_little_memory_for_the_smallest_tile_is_one_clear_error() -> None:
    with pytest.raises(DeviceMemoryError, match="smallest"):
        Upscaler(Hungry(limit=10), device_name="cpu")(random_images())


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: out of memory",
        "CUDA out of memory. Tried to allocate 2 GiB",
        "std::bad_alloc",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "GET was unable to find an engine to execute this computation",
        "CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate",
        "could not create a memory object",
    ],
)
def test_every_message_about_out_of_memory_is_recognised(words: str) -> None:
    assert device.is_out_of_memory(RuntimeError(words))
    assert not device.is_out_of_memory(ValueError(words))


def test_a_filter_at_a_fractional_scale_is_not_tiled_into_a_wrong_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upscaler = Upscaler(Resample(ResampleConfig(kind="bicubic", scale=Fraction(3, 2))), device_name="cpu")

    def full(_: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("no")

    monkeypatch.setattr(upscaler, "_run", full)
    with pytest.raises(DeviceMemoryError):
        upscaler(random_images(1))


def test_a_black_result_in_fp32_is_not_computed_again() -> None:
    net = BreaksIn16Bits(0.0, always=True)
    upscaler = Upscaler(net, device_name="cpu", precision="fp32")
    assert upscaler.launch(random_images()).healthy.all()


def test_blended_tiles_are_not_retried_below_their_smallest_size() -> None:
    net = Hungry(limit=10)
    net.receptive_radius = 100
    with pytest.raises(DeviceMemoryError, match="80"):
        Upscaler(net, device_name="cpu")(random_images(1, 300, 300))


def test_the_page_cache_of_a_cgroup_counts_as_free_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory.max").write_text(f"{8 << 30}\n")
    (tmp_path / "memory.current").write_text(f"{7 << 30}\n")
    (tmp_path / "memory.stat").write_text(f"anon {1 << 30}\ninactive_file {6 << 30}\n")
    monkeypatch.setattr(host, "_CGROUP", tmp_path)
    monkeypatch.setattr(host, "_meminfo", lambda key: 100 << 30)
    assert device.free_memory(torch.device("cpu")) == 7 << 30


def test_other_errors_do_not_count_as_out_of_memory() -> None:
    with pytest.raises(RuntimeError, match="illegal address"):
        Upscaler(Hungry(limit=10, words="CUDA error: illegal address"), device_name="cpu")(random_images())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_broken_16_bit_results_are_computed_again_in_fp32(value: float) -> None:
    upscaler = Upscaler(BreaksIn16Bits(value), device_name="cpu", precision="bf16")
    torch.testing.assert_close(upscaler(random_images()), doubled(random_images()))


def test_a_black_source_may_stay_black() -> None:
    upscaler = Upscaler(BreaksIn16Bits(0.0), device_name="cpu", precision="bf16")
    images = torch.zeros(2, 3, 8, 8)
    launched = upscaler.launch(images)
    assert launched.healthy.all()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_an_input_with_nan_or_infinity_is_an_input_error_not_a_model_error(
    value: float, precision: str
) -> None:
    images = random_images()
    images[-1, 1, 3, 4] = value
    with pytest.raises(InputError, match="an image has values up to"):
        Upscaler(Nearest(), device_name="cpu", precision=precision)(images)  # type: ignore[arg-type]


def test_a_network_that_gives_nan_in_fp32_is_refused() -> None:
    with pytest.raises(ModelError, match="not finite"):
        Upscaler(BreaksIn16Bits(float("nan"), always=True), device_name="cpu")(random_images())


def compact() -> Compact:
    torch.manual_seed(3)
    return Compact(CompactConfig(nf=8, nc=3, scale=2)).eval().requires_grad_(False)


@pytest.mark.parametrize("tile", [0, 7, 16, 33])
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_result_does_not_depend_on_tile_and_batch(tile: int, batch: int) -> None:
    images = random_images()
    net = compact()
    whole = net(images)
    made = Upscaler(net, device_name="cpu", precision="fp32", tile=tile, batch=batch)(images)
    # fp32 sums of 72 products in another order
    torch.testing.assert_close(made, whole, rtol=0, atol=1e-5)


def test_bf16_stays_near_fp32_because_the_skip_is_added_in_fp32() -> None:
    images, net = random_images(), compact()
    made = Upscaler(net, device_name="cpu", precision="bf16")(images)
    error = (made - net(images)).pow(2).mean()
    assert 10 * torch.log10(1 / error) > 50


def test_tiles_of_a_net_that_unshuffles_pixels_begin_at_its_multiple() -> None:
    torch.manual_seed(4)
    net = RRDB(RRDBConfig(scale=2, nf=8, nb=1, gc=4, unshuffle=2)).eval().requires_grad_(False)
    images = random_images(1, 120, 88)
    upscaler = Upscaler(net, device_name="cpu", precision="fp32", tile=17)
    assert upscaler.multiple == 2
    torch.testing.assert_close(upscaler(images), net(images), rtol=0, atol=1e-5)


def test_an_image_of_one_pixel_works() -> None:
    assert Upscaler(compact(), device_name="cpu")(torch.rand(1, 3, 1, 1)).shape == (1, 3, 2, 2)


def test_the_plan_is_the_whole_image_if_it_fits_and_tiles_if_not() -> None:
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


def test_the_estimate_is_at_least_the_input_and_output_of_the_largest_layer() -> None:
    load = memory.measure_load(compact(), element_bytes=4)
    assert load.elements_per_pixel == 12  # 3 channels x 2 x 2 after the shuffle; features have 8
    assert load.bytes_per_pixel >= (12 + 12) * 4


def test_missing_and_unknown_devices_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown"):
        device.choose_device("abacus")
    with pytest.raises(ConfigError, match="not supported"):
        device.choose_device("xpu")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="no CUDA device"):
            device.choose_device("cuda")


@pytest.mark.parametrize(
    ("has", "bf16_takes", "expected"),
    [(False, 0.1, torch.float32), (True, 0.5, torch.bfloat16), (True, 1.0, torch.float32),
     (True, 2.0, torch.float32)],
)  # fmt: skip
def test_auto_precision_is_bf16_only_if_the_cpu_is_faster_in_it(
    monkeypatch: pytest.MonkeyPatch, has: bool, bf16_takes: float, expected: torch.dtype
) -> None:
    """A fake clock advances with each product; in fp32 by a second."""
    now = [0.0]

    def product(one: torch.Tensor, other: torch.Tensor) -> None:
        now[0] += bf16_takes if one.dtype == torch.bfloat16 else 1.0

    monkeypatch.setattr(device, "cpu_has_bf16", lambda: has)
    monkeypatch.setattr(torch, "mm", product)
    monkeypatch.setattr(device.time, "perf_counter", lambda: now[0])
    device.bf16_is_quicker.cache_clear()
    assert device.choose_dtype("auto", torch.device("cpu")) is expected
    device.bf16_is_quicker.cache_clear()


def test_filters_have_no_weights_and_run_in_fp32() -> None:
    net = Resample(ResampleConfig(kind="bicubic", scale=Fraction(3, 2)))
    assert Upscaler(net, device_name="cpu", precision="bf16").dtype is torch.float32


@pytest.mark.needs_cuda
@pytest.mark.parametrize(("tile", "batch"), [(0, 1), (0, 2), (64, 1), (61, 2)])
def test_fp32_on_cuda_equals_the_cpu_for_every_tile_and_batch(tile: int, batch: int) -> None:
    images = random_images(2, 200, 200)
    net = compact()
    made = Upscaler(net, device_name="cuda", precision="fp32", tile=tile, batch=batch)(images.cuda()).cpu()
    error = (made - net(images)).pow(2).mean()
    # The order of sums differs; TF32, which is disabled, would give about 70 dB.
    assert 10 * torch.log10(1 / error) > 90


@pytest.mark.needs_cuda
def test_cuda_out_of_memory_is_retried_with_smaller_tiles() -> None:
    net = Compact(CompactConfig(nf=64, nc=4, scale=4)).eval().requires_grad_(False)
    images = random_images(2, 1000, 1000).cuda()
    whole = Upscaler(net, device_name="cuda", precision="fp32", tile=0, batch=2)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    held = torch.cuda.memory_reserved()  # memory of other tests and of graphs counts, too
    try:
        # Enough for the result, 0.4 GB, but not for the input and output of one convolution, 1.0 GB.
        torch.cuda.set_per_process_memory_fraction((held + 0.9e9) / total)
        made = whole(images)
        assert whole.redone_smaller > 0
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
    assert torch.isfinite(made).all()
    assert made.shape == (2, 3, 4000, 4000)


def test_the_fake_network_is_the_nearest_neighbour() -> None:
    torch.testing.assert_close(Nearest()(random_images()), doubled(random_images()))
