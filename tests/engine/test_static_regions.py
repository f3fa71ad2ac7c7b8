"""Static regions are reused from the frame before, and the result has the same bits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vsr.engine.backends.openvino import backend as openvino
from vsr.engine.static_regions import StaticRegions
from vsr.engine.upscaler import Upscaler
from vsr.kernels.winograd import backend as winograd
from vsr.models.archs.compact import Compact, CompactConfig, identity_init_
from vsr.models.load import load_generator

SIZE = (150, 210)


def network() -> Compact:
    torch.manual_seed(1)
    made = Compact(CompactConfig(nf=8, nc=3, scale=2))
    identity_init_(made)
    return made.eval()


class Exact(nn.Module):
    """Sums each pixel's neighbours one after the other, in the same order on every CPU."""

    scale, receptive_radius = 2, 3

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.rand(7, 7, generator=torch.Generator().manual_seed(2)))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        around = nn.functional.pad(x, (3, 3, 3, 3))
        total = torch.zeros_like(x)
        for dy in range(7):
            for dx in range(7):
                total += around[..., dy : dy + height, dx : dx + width] * self.weights[dy, dx]
        return total.repeat_interleave(2, -1).repeat_interleave(2, -2)


class Counting(Upscaler):
    """Counts the LR pixels that are computed."""

    pixels = 0

    def _retrying(self, images: Tensor, run: object) -> Tensor:
        self.pixels += images.shape[0] * images.shape[-1] * images.shape[-2]
        return super()._retrying(images, run)  # type: ignore[arg-type]


def video(*places: tuple[int, int] | None) -> list[Tensor]:
    """Return frames of noise; each one differs from the frame before in the pixel at a place, or not
    (None)."""
    frame = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(3))
    made = [frame]
    for place in places:
        frame = frame.clone()
        if place is not None:
            frame[0, 1, place[0], place[1]] += 0.25
        made.append(frame)
    return made


CORNERS = [(0, 0), (0, SIZE[1] - 1), (SIZE[0] - 1, 0), (SIZE[0] - 1, SIZE[1] - 1)]
SEAMS = [(y, x) for y in (29, 30, 31, 60) for x in (30, 59, 61, 100)]


def test_one_changed_pixel_anywhere_gives_the_same_bits_as_whole_frames() -> None:
    frames = video(None, *CORNERS, *SEAMS, None)
    plain = Upscaler(Exact(), device_name="cpu", precision="fp32", backend="torch")
    counting = Counting(Exact(), device_name="cpu", precision="fp32", backend="torch")
    regions = StaticRegions(counting)
    with torch.inference_mode():
        for frame in frames:
            assert torch.equal(regions.launch(frame).images, plain(frame))
    assert counting.pixels < len(frames) / 2 * SIZE[0] * SIZE[1]
    assert regions.saved > len(frames) / 2


def _require(backend: str) -> None:
    if backend == "openvino" and not openvino.available():
        pytest.skip("the extra `openvino` is absent")
    if backend == "winograd" and not winograd.available():
        pytest.skip("llvmlite is absent")


@pytest.mark.parametrize("made", ["fast-x2", "small"])
@pytest.mark.parametrize("backend", ["auto", "torch", "openvino", "winograd"])
def test_every_backend_gives_the_same_bits_and_saves_work_where_it_is_exact(backend: str, made: str) -> None:
    """The Winograd kernels are exact on every CPU, those of torch and OpenVINO on some."""
    _require(backend)
    net = network() if made == "small" else load_generator(made).network
    plain, lent = (
        Upscaler(net, device_name="cpu", precision="fp32", backend=backend)  # type: ignore[arg-type]
        for _ in range(2)
    )
    regions = StaticRegions(lent)
    with torch.inference_mode():
        for frame in video((3, 3), (70, 100), (71, 60), (140, 200)):
            assert torch.equal(regions.launch(frame).images, plain(frame))
    assert regions.saved > 1 or (backend != "winograd" and regions.saved == 0)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_dtypes_without_exact_kernels_reuse_nothing(precision: str) -> None:
    if precision == "int8" and not openvino.available():
        pytest.skip("the extra `openvino` is absent")
    regions = StaticRegions(Upscaler(network(), device_name="cpu", precision=precision))  # type: ignore[arg-type]
    with torch.inference_mode():
        for frame in video((3, 3), (70, 100)):
            regions.launch(frame)
    assert regions.saved == 0


def test_most_of_the_work_is_saved_if_one_place_changes() -> None:
    regions = StaticRegions(Upscaler(Exact(), device_name="cpu", precision="fp32", backend="torch"))
    with torch.inference_mode():
        for frame in video(*[(40, 50)] * 9):
            regions.launch(frame)
    assert regions.saved > 6


def test_the_whole_frame_is_computed_once_if_much_changes() -> None:
    counting = Counting(network(), device_name="cpu", precision="fp32")
    regions = StaticRegions(counting)
    with torch.inference_mode():
        for seed in range(4):
            regions.launch(torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(seed)))
    assert counting.pixels == 4 * SIZE[0] * SIZE[1]
    assert regions.saved == 0


def test_a_frame_of_another_size_is_computed_as_a_whole() -> None:
    upscaler = Upscaler(network(), device_name="cpu", precision="fp32")
    regions = StaticRegions(upscaler)
    with torch.inference_mode():
        for size in [(150, 210), (150, 212), (150, 212), (40, 40), (150, 210)]:
            frame = torch.full((1, 3, *size), 0.5)
            assert torch.equal(regions.launch(frame).images, upscaler(frame))


class Whole(nn.Module):
    """A network whose result depends on the size of its input, so that a window differs from the whole."""

    scale, receptive_radius = 2, 4

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.interpolate(x * self.weight, scale_factor=2.0) * (1 + 1e-4 * x.shape[-1])


class LargeDiffers(Exact):
    """A network that computes large images differently, like a library that selects another kernel."""

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = super().forward(x)
        return made if x.shape[-1] < SIZE[1] else made * (1 + 1e-6)


@pytest.mark.parametrize("kind", [Whole, LargeDiffers])
def test_kernels_that_differ_for_a_window_are_detected(kind: type[nn.Module]) -> None:
    plain = Upscaler(kind(), device_name="cpu", precision="fp32", backend="torch")
    regions = StaticRegions(Upscaler(kind(), device_name="cpu", precision="fp32", backend="torch"))
    with torch.inference_mode():
        for frame in video((3, 3), (70, 100), (20, 20)):
            assert torch.equal(regions.launch(frame).images, plain(frame))
    assert regions.saved == 0


def test_kernels_that_differ_in_small_images_are_detected_at_little_cost() -> None:
    size = (300, 400)
    counting = Counting(Whole(), device_name="cpu", precision="fp32", backend="torch")
    regions = StaticRegions(counting)
    frame = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        for _ in range(3):
            regions.launch(frame)
    assert counting.pixels < 3.3 * size[0] * size[1]


def test_a_broken_region_makes_its_frame_unhealthy() -> None:
    regions = StaticRegions(Upscaler(network(), device_name="cpu", precision="fp32", backend="torch"))
    first, second, third = video((3, 3), (5, 5))
    with torch.inference_mode():
        regions.launch(first), regions.launch(second)
        third[0, 0, 100, 100] = float("nan")
        assert not regions.launch(third).healthy.item()
