"""Images with different content are found, and a degraded image is never taken for a different one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.training.photographs import photograph
from vsr.training.data.pairs.pair_match import Mismatch, difference, find_mismatches, reduced

Pairs = list[tuple[Tensor, Tensor]]


def both(hr: Tensor, lr: Tensor) -> tuple[Tensor, Tensor]:
    return reduced(hr), reduced(lr)


def halved(image: Tensor) -> Tensor:
    return image[:, ::2, ::2]


@pytest.mark.parametrize("harm", ["none", "noise", "dark", "faded", "blocks"])
def test_a_degraded_image_matches_its_original(harm: str) -> None:
    torch.manual_seed(0)
    pairs: Pairs = []
    for seed in range(6):
        image = photograph(seed, 192)
        lr = halved(image).float()
        if harm == "noise":
            lr += 40 * torch.randn(lr.shape)
        elif harm == "dark":
            lr = lr * 0.4
        elif harm == "faded":
            lr = 100 + lr * 0.3
        elif harm == "blocks":
            lr = torch.nn.functional.avg_pool2d(lr, 8).repeat_interleave(8, 1).repeat_interleave(8, 2)
        pairs.append(both(image, lr.clamp(0, 255).to(torch.uint8)))
    assert not list(find_mismatches(pairs))


def test_a_different_image_is_found_and_a_matching_neighbour_is_named() -> None:
    images = [photograph(seed, 128) for seed in range(6)]
    lrs = [halved(image) for image in images]
    lrs[1] = halved(photograph(77, 128))
    lrs[4] = halved(images[5])
    found = list(find_mismatches([both(hr, lr) for hr, lr in zip(images, lrs, strict=True)]))
    assert found == [Mismatch(1, None), Mismatch(4, 5)]


@pytest.mark.parametrize("turn", [1, 2, 3])
@pytest.mark.parametrize("mirror", [False, True])
def test_a_rotated_image_is_reported_as_rotated(turn: int, mirror: bool) -> None:
    image = photograph(3, 128)
    lr = halved(image).rot90(turn, (1, 2))
    lr = lr.flip(2) if mirror else lr
    assert list(find_mismatches([both(image, lr)])) == [Mismatch(0, None, turned=True)]


def test_a_delayed_film_is_found_where_it_moves_and_only_there() -> None:
    wide = photograph(5, 400)
    moving = [wide[:, :128, 2 * i : 2 * i + 128] for i in range(9)]
    late = [both(moving[i], halved(moving[max(0, i - 1)])) for i in range(9)]
    assert list(find_mismatches(late, reach=3)) == [Mismatch(i, i - 1) for i in range(1, 9)]
    assert not list(find_mismatches([both(moving[4], halved(moving[4]))] * 9, reach=3))


def test_images_of_one_colour_cannot_be_compared() -> None:
    flat, image = torch.full((3, 64, 64), 90, dtype=torch.uint8), photograph(1, 64)
    assert difference(reduced(flat), reduced(image)) is None
    assert not list(find_mismatches([both(image, flat), both(flat, image)]))
