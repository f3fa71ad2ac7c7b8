"""Images of a page: exact where they fit, otherwise as near as is stated, in no more bytes than allowed."""

from __future__ import annotations

import io

import av
import pytest
import torch
from torch import Tensor

from tests.report.compare.colourful import colourful
from vsr.report.compare.coding import decibel, lossless, sequence
from vsr.report.compare.full_chroma import KIND, full_chroma
from vsr.report.compare.pictures import LARGEST_ERROR, Pictures


def drawn(count: int, *, height: int = 72, width: int = 96, detail: float = 0.4) -> list[Tensor]:
    """Return grey images of smooth noise that moves."""
    noise = torch.rand(1, 1, height // 6, width // 6, generator=torch.Generator().manual_seed(3))
    big = torch.nn.functional.interpolate(noise, size=(height, width), mode="bicubic")[0].clamp(0, 1)
    fine = torch.rand(1, height, width, generator=torch.Generator().manual_seed(4)) * 0.02 * detail
    image = ((big * 0.9 + fine) * 255).round().to(torch.uint8).expand(3, -1, -1)
    return [torch.roll(image, 2 * i, -1).contiguous() for i in range(count)]


def decoded(data: bytes) -> list[Tensor]:
    with av.open(io.BytesIO(data)) as container:
        arrays = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [torch.from_numpy(array.copy()).permute(2, 0, 1) for array in arrays]


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (72, 96), (71, 97)])
def test_lossless_images_are_lossless(size: tuple[int, int]) -> None:
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    (data,) = lossless([image]).files
    assert torch.equal(decoded(data)[0], image)


@pytest.mark.parametrize("size", [(10, 20), (72, 96), (91, 131)])
def test_sequences_of_any_size_state_their_error(size: tuple[int, int]) -> None:
    images = drawn(5, height=max(6, size[0]), width=max(6, size[1]))
    better, worse = sequence(images, crf=4), sequence(images, crf=40)
    assert decibel(better.square_error) > 40
    assert worse.square_error > better.square_error
    assert len(worse.files[0]) < len(better.files[0])


def filled(limit: int, *, count: int = 40, twins: bool = False) -> Pictures:
    pictures = Pictures(limit=limit, expected=count)
    for image in drawn(count):
        pictures.add([image, image.clone() if twins else 255 - image])
    pictures.flush()
    return pictures


def size_of(pictures: Pictures) -> int:
    return sum(len(data) for chunk in pictures.chunks for coded in chunk.panels for data in coded.files)


def test_small_images_are_exact_and_large_ones_fit() -> None:
    exact = filled(10_000_000)
    assert exact.square_error == 0
    assert [m for chunk in exact.chunks for m in chunk.moments] == list(range(40))
    limit = size_of(exact) // 2
    smaller = filled(limit)
    assert size_of(smaller) <= limit
    assert 0 < smaller.square_error <= LARGEST_ERROR
    # Encoders differ from version to version, and a short last sequence takes more bytes for each frame.
    assert smaller.shown > smaller.moments / 2 == 20


def noisy(count: int) -> Pictures:
    """Return the images of panels of which none fits at a good quality."""
    pictures = Pictures(limit=60_000, expected=count)
    for number in range(count):
        random = torch.Generator().manual_seed(number)
        pictures.add([torch.randint(0, 256, (3, 72, 96), generator=random).to(torch.uint8) for _ in range(2)])
    pictures.flush()
    return pictures


def test_the_limit_holds_where_no_image_of_good_quality_fits_into_its_share() -> None:
    """Two lossless images of noise have 42 kB: as many moments have some as fit."""
    pictures = noisy(100)
    assert 0 < size_of(pictures) <= 60_000
    assert pictures.shown >= 1
    assert pictures.square_error <= LARGEST_ERROR
    assert pictures.moments == 100


def test_one_moment_always_has_images() -> None:
    pictures = Pictures(limit=10, expected=1)
    pictures.add([torch.randint(0, 256, (3, 72, 96)).to(torch.uint8)] * 2)
    pictures.flush()
    assert pictures.shown == 1


def test_frames_are_left_out_before_they_are_spoilt() -> None:
    pictures = filled(12_000)
    assert pictures.square_error <= LARGEST_ERROR
    assert 0 < pictures.shown < pictures.moments == 40


def test_the_first_frame_of_each_shot_has_an_image() -> None:
    """Shots of five moving frames with grain, bright and dark in turn, of which not all images fit."""
    pictures, random = Pictures(limit=120_000, expected=40), torch.Generator().manual_seed(6)
    for number, image in enumerate(drawn(40)):
        grain = 8 * torch.randn(1, 72, 96, generator=random)
        shown = image // 4 + (160 if number // 5 % 2 else 20) + grain
        dark = shown.clamp(0, 255).to(torch.uint8)
        pictures.add([dark, 255 - dark])
    pictures.flush()
    shown = {m for chunk in pictures.chunks for m in chunk.moments}
    assert len(shown) < 40
    assert shown >= set(range(0, 40, 5))


def test_equal_panels_share_their_images() -> None:
    for chunk in filled(10_000_000, count=3, twins=True).chunks:
        assert chunk.panels[0] is chunk.panels[1]


def test_a_difference_below_the_coding_error_is_counted() -> None:
    pictures = Pictures(limit=12_000, expected=8)
    for image in drawn(8):
        near = image.clone()
        near[:, 0, 0] ^= 1
        pictures.add([image, near])
    pictures.flush()
    assert pictures.square_error > 0
    assert pictures.alike == pictures.shown


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (120, 160), (91, 131)])
def test_sequences_with_full_chroma_of_any_size_state_their_error(size: tuple[int, int]) -> None:
    images = colourful(4, height=size[0], width=size[1])
    better, worse = full_chroma(images, crf=0), full_chroma(images, crf=50)
    assert decibel(better.square_error) > 40
    assert worse.square_error >= better.square_error
    assert len(better.files) == len(worse.files) == 4, "a packet for each image"


def test_images_with_strong_colours_are_compressed_with_full_chroma() -> None:
    """4:2:0 would not reach the quality at which an error is hardly seen, so they were lossless before."""
    images = colourful(16)
    assert sequence(images, crf=3).square_error > LARGEST_ERROR
    limit = sum(map(len, lossless(images).files)) // 3
    pictures = Pictures(limit=limit, expected=16)
    for image in images:
        pictures.add([image])
    pictures.flush()
    assert {coded.kind for chunk in pictures.chunks for coded in chunk.panels} == {KIND}
    assert 0 < pictures.square_error <= LARGEST_ERROR
    assert pictures.shown == 16
    assert size_of(pictures) <= limit


def test_lossless_images_that_are_smaller_than_others_are_taken() -> None:
    """Of few colours and with sharp edges, as on a screen."""
    images = [torch.roll(colourful(1)[0] // 128 * 255, 2 * i, -1).contiguous() for i in range(8)]
    exact = lossless(images)
    pictures = Pictures(limit=sum(map(len, exact.files)) // 2, expected=8)
    for image in images:
        pictures.add([image])
    pictures.flush()
    assert pictures.shown >= 3
    assert {coded.kind for chunk in pictures.chunks for coded in chunk.panels} == {exact.kind}
