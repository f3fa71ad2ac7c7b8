"""Augmented photographs keep their content, and no pixel comes from outside the photograph."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.photographs import photograph, tiny_recipe, write_photographs
from vsr.training.data.augmentation import augmented
from vsr.training.data.image_folder import Photographs
from vsr.training.data.images import read_image
from vsr.training.degrade.degradation import Augmentation
from vsr.training.run.loop import datasets_for

ALL = Augmentation(rotation=45, reduction=(0.4, 1.0), channels=0.5)


def slopes(image: Tensor) -> tuple[float, float, float]:
    """Fit a plane to one channel; return its slopes down and right, and the largest deviation of a pixel."""
    height, width = image.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    a = torch.stack([y.flatten(), x.flatten(), torch.ones(height * width)], 1).double()
    b = image.flatten().double()
    plane = torch.linalg.lstsq(a, b[:, None]).solution
    return float(plane[0]), float(plane[1]), float((a @ plane - b[:, None]).abs().max())


def ramp(side: int) -> Tensor:
    """Return an image that rises only to the right, by a third of a code value a pixel, rounded."""
    return (torch.arange(side) * (240 / side)).round().to(torch.uint8).expand(3, side, side).contiguous()


@pytest.mark.parametrize("seed", range(25))
def test_a_linear_gradient_stays_linear_up_to_the_border(seed: int) -> None:
    vary = Augmentation(rotation=45, reduction=(0.4, 1.0))
    found = augmented(ramp(300), vary, side=96, rng=random.Random(seed))
    assert found.shape == (3, 96, 96)
    down, right, worst = slopes(found[0])
    steeper = math.hypot(down, right) / (240 / 300)  # divided by the scaling factor
    assert 0.98 <= steeper <= 1.02 / 0.4
    assert abs(math.degrees(math.atan2(down, right))) <= 45.5
    assert worst < 1.6  # rounding twice; padding at a border would be constant


def test_rotations_and_reductions_vary_and_reach_their_limits() -> None:
    found = [
        slopes(augmented(ramp(400), replace(ALL, channels=0.0), side=64, rng=random.Random(i))[0])
        for i in range(80)
    ]
    angles = [math.degrees(math.atan2(down, right)) for down, right, _ in found]
    scales = [240 / 400 / math.hypot(down, right) for down, right, _ in found]
    assert min(angles) < -40
    assert max(angles) > 40
    assert min(scales) < 0.43
    assert max(scales) > 0.95


def test_a_photograph_without_spare_pixels_does_not_change() -> None:
    image = photograph(0, 96)
    assert torch.equal(augmented(image, replace(ALL, channels=0.0), side=96, rng=random.Random(1)), image)


def test_without_settings_the_result_is_a_crop_of_the_photograph() -> None:
    image = photograph(0, 96)
    found = augmented(image, Augmentation(), side=64, rng=random.Random(3))
    windows = image.unfold(1, 64, 1).unfold(2, 64, 1)
    assert bool((windows == found[:, None, None]).all(0).all(-1).all(-1).any())


def test_channels_are_permuted_in_every_order() -> None:
    image, orders = photograph(0, 64), set()
    for seed in range(60):
        found = augmented(image, Augmentation(channels=1.0), side=64, rng=random.Random(seed))
        orders.add(tuple(next(i for i in range(3) if torch.equal(channel, image[i])) for channel in found))
    assert len(orders) == 6


def test_the_same_random_state_gives_the_same_square() -> None:
    one, two = (augmented(photograph(0, 200), ALL, side=64, rng=random.Random(5)) for _ in range(2))
    assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"rotation": 46.0}, r"vary\.rotation = 46 must be"),
        ({"reduction": (0.5, 1.5)}, r"vary\.reduction"),
        ({"channels": 2.0}, r"vary\.channels"),
        ({"probability": -0.1}, r"vary\.probability"),
    ],
)
def test_invalid_settings_are_named(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Augmentation(**wrong)  # type: ignore[arg-type]


def test_training_photographs_are_augmented_and_held_out_ones_are_not(tmp_path: Path) -> None:
    write_photographs(tmp_path, 4, side=128)
    recipe = tiny_recipe()
    plain = datasets_for(recipe, [tmp_path])
    changed = datasets_for(replace(recipe, degrade=replace(recipe.degrade, vary=ALL)), [tmp_path])
    for i in range(4):
        (known, held_out), (other, same) = (
            [half.draw(random.Random(i)) for half in halves] for halves in (plain, changed)
        )
        assert torch.equal(held_out.hr, same.hr)
        assert other.hr.shape == known.hr.shape
        assert not torch.equal(other.hr, known.hr)
        assert other.shift is not None  # still a pan over a single image
        down, right = other.shift
        a, b = other.hr[0], other.hr[1]
        inner = slice(4, 60)
        moved = a[:, 4 + down : 60 + down, 4 + right : 60 + right]
        assert torch.equal(b[:, inner, inner], moved)
    assert isinstance(plain[0], Photographs)


def test_the_requested_fraction_of_clips_is_augmented(tmp_path: Path) -> None:
    write_photographs(tmp_path, 4, side=128)
    recipe, vary = tiny_recipe(), replace(ALL, probability=0.4)
    known, _ = datasets_for(replace(recipe, degrade=replace(recipe.degrade, vary=vary)), [tmp_path])
    assert isinstance(known, Photographs)
    originals = [read_image(picture.path) for picture in known.image_files]
    windows = [
        w for image in originals for w in image.unfold(1, 16, 1).unfold(2, 16, 1).flatten(1, 2).unbind(1)
    ]
    seen = {tuple(w.flatten().tolist()) for w in windows}
    kept = sum(
        tuple(known.draw(random.Random(i)).hr[0, :, :16, :16].flatten().tolist()) in seen for i in range(60)
    )
    assert 24 <= kept <= 47  # 36 expected; 3 standard deviations for a probability of 0.6
