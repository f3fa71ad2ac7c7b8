"""Parts that stand still are taken over from the picture before, and nobody can tell from the result."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vsr.engine.backends import openvino
from vsr.engine.static_regions import StillParts
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
    """Adds up each pixel's neighbours one after the other, in an order that no processor changes."""

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


def film(*places: tuple[int, int] | None) -> list[Tensor]:
    """Pictures of noise, each like the one before but for one pixel at a place; None changes nothing."""
    picture = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(3))
    made = [picture]
    for place in places:
        picture = picture.clone()
        if place is not None:
            picture[0, 1, place[0], place[1]] += 0.25
        made.append(picture)
    return made


CORNERS = [(0, 0), (0, SIZE[1] - 1), (SIZE[0] - 1, 0), (SIZE[0] - 1, SIZE[1] - 1)]
SEAMS = [(y, x) for y in (29, 30, 31, 60) for x in (30, 59, 61, 100)]


def test_one_changed_pixel_anywhere_gives_the_same_bits_as_the_whole() -> None:
    pictures = film(None, *CORNERS, *SEAMS, None)
    plain = Upscaler(Exact(), device_name="cpu", precision="fp32", backend="torch")
    counting = Counting(Exact(), device_name="cpu", precision="fp32", backend="torch")
    parts = StillParts(counting)
    with torch.inference_mode():
        for picture in pictures:
            assert torch.equal(parts.launch(picture).images, plain(picture))
    assert counting.pixels < len(pictures) / 2 * SIZE[0] * SIZE[1]
    assert parts.saved > len(pictures) / 2


def _require(backend: str) -> None:
    if backend == "openvino" and not openvino.available():
        pytest.skip("the extra `openvino` is absent")
    if backend == "winograd" and not winograd.available():
        pytest.skip("llvmlite is absent")


@pytest.mark.parametrize("made", ["fast-x2", "small"])
@pytest.mark.parametrize("backend", ["auto", "torch", "openvino", "winograd"])
def test_every_backend_gives_the_same_bits_and_saves_work_where_it_is_exact(backend: str, made: str) -> None:
    """Winograd's kernels are exact on every processor; torch's and OpenVINO's on some."""
    _require(backend)
    net = network() if made == "small" else load_generator(made).network
    plain, lent = (
        Upscaler(net, device_name="cpu", precision="fp32", backend=backend)  # type: ignore[arg-type]
        for _ in range(2)
    )
    parts = StillParts(lent)
    with torch.inference_mode():
        for picture in film((3, 3), (70, 100), (71, 60), (140, 200)):
            assert torch.equal(parts.launch(picture).images, plain(picture))
    assert parts.saved > 1 or (backend != "winograd" and parts.saved == 0)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_where_kernels_are_not_exact_nothing_is_taken_over(precision: str) -> None:
    if precision == "int8" and not openvino.available():
        pytest.skip("the extra `openvino` is absent")
    parts = StillParts(Upscaler(network(), device_name="cpu", precision=precision))  # type: ignore[arg-type]
    with torch.inference_mode():
        for picture in film((3, 3), (70, 100)):
            parts.launch(picture)
    assert parts.saved == 0


def test_where_one_place_changes_most_of_the_work_is_saved() -> None:
    parts = StillParts(Upscaler(Exact(), device_name="cpu", precision="fp32", backend="torch"))
    with torch.inference_mode():
        for picture in film(*[(40, 50)] * 9):
            parts.launch(picture)
    assert parts.saved > 6


def test_where_much_changes_the_whole_is_computed_once() -> None:
    counting = Counting(network(), device_name="cpu", precision="fp32")
    parts = StillParts(counting)
    with torch.inference_mode():
        for seed in range(4):
            parts.launch(torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(seed)))
    assert counting.pixels == 4 * SIZE[0] * SIZE[1]
    assert parts.saved == 0


def test_a_change_of_size_begins_anew() -> None:
    upscaler = Upscaler(network(), device_name="cpu", precision="fp32")
    parts = StillParts(upscaler)
    with torch.inference_mode():
        for size in [(150, 210), (150, 212), (150, 212), (40, 40), (150, 210)]:
            picture = torch.full((1, 3, *size), 0.5)
            assert torch.equal(parts.launch(picture).images, upscaler(picture))


class Whole(nn.Module):
    """Depends on the size of what it is given, as no kernel should: a window does not equal the whole."""

    scale, receptive_radius = 2, 4

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.interpolate(x * self.weight, scale_factor=2.0) * (1 + 1e-4 * x.shape[-1])


class LargeDiffers(Exact):
    """As a library that takes another kernel for large pictures."""

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = super().forward(x)
        return made if x.shape[-1] < SIZE[1] else made * (1 + 1e-6)


@pytest.mark.parametrize("kind", [Whole, LargeDiffers])
def test_kernels_that_differ_for_a_window_are_found_out(kind: type[nn.Module]) -> None:
    plain = Upscaler(kind(), device_name="cpu", precision="fp32", backend="torch")
    parts = StillParts(Upscaler(kind(), device_name="cpu", precision="fp32", backend="torch"))
    with torch.inference_mode():
        for picture in film((3, 3), (70, 100), (20, 20)):
            assert torch.equal(parts.launch(picture).images, plain(picture))
    assert parts.saved == 0


def test_kernels_that_differ_in_small_pictures_too_are_found_out_at_little_cost() -> None:
    size = (300, 400)
    counting = Counting(Whole(), device_name="cpu", precision="fp32", backend="torch")
    parts = StillParts(counting)
    picture = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        for _ in range(3):
            parts.launch(picture)
    assert counting.pixels < 3.3 * size[0] * size[1]


def test_a_broken_part_is_told_as_a_broken_picture() -> None:
    parts = StillParts(Upscaler(network(), device_name="cpu", precision="fp32", backend="torch"))
    first, second, third = film((3, 3), (5, 5))
    with torch.inference_mode():
        parts.launch(first), parts.launch(second)
        third[0, 0, 100, 100] = float("nan")
        assert not parts.launch(third).healthy.item()
