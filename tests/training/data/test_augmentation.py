"""Photographs that are turned and reduced show what they showed, and nothing that lies outside of them."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.photographs import photograph, tiny_recipe, write_photographs
from vsr.training.data.augmentation import varied
from vsr.training.data.image_folder import Photographs
from vsr.training.data.images import read_image
from vsr.training.degrade.degradation import Vary
from vsr.training.run.loop import material_for

ALL = Vary(rotation=45, reduction=(0.4, 1.0), channels=0.5)


def slopes(image: Tensor) -> tuple[float, float, float]:
    """Of the plane nearest to one channel, down and right, and how far the worst pixel is from it."""
    height, width = image.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    a = torch.stack([y.flatten(), x.flatten(), torch.ones(height * width)], 1).double()
    b = image.flatten().double()
    plane = torch.linalg.lstsq(a, b[:, None]).solution
    return float(plane[0]), float(plane[1]), float((a @ plane - b[:, None]).abs().max())


def ramp(side: int) -> Tensor:
    """Rises to the right alone, in thirds of a code that are rounded."""
    return (torch.arange(side) * (240 / side)).round().to(torch.uint8).expand(3, side, side).contiguous()


@pytest.mark.parametrize("seed", range(25))
def test_a_plane_stays_a_plane_to_its_very_edge(seed: int) -> None:
    vary = Vary(rotation=45, reduction=(0.4, 1.0))
    found = varied(ramp(300), vary, side=96, rng=random.Random(seed))
    assert found.shape == (3, 96, 96)
    down, right, worst = slopes(found[0])
    steeper = math.hypot(down, right) / (240 / 300)  # 1 over the reduction
    assert 0.98 <= steeper <= 1.02 / 0.4
    assert abs(math.degrees(math.atan2(down, right))) <= 45.5
    assert worst < 1.6  # both were rounded; what was repeated beyond an edge would be flat


def test_turns_and_reductions_differ_and_reach_their_limits() -> None:
    found = [
        slopes(varied(ramp(400), replace(ALL, channels=0.0), side=64, rng=random.Random(i))[0])
        for i in range(80)
    ]
    angles = [math.degrees(math.atan2(down, right)) for down, right, _ in found]
    scales = [240 / 400 / math.hypot(down, right) for down, right, _ in found]
    assert min(angles) < -40
    assert max(angles) > 40
    assert min(scales) < 0.43
    assert max(scales) > 0.95


def test_without_room_a_photograph_stays_as_it_is() -> None:
    image = photograph(0, 96)
    assert torch.equal(varied(image, replace(ALL, channels=0.0), side=96, rng=random.Random(1)), image)


def test_nothing_set_is_a_window_of_the_photograph() -> None:
    image = photograph(0, 96)
    found = varied(image, Vary(), side=64, rng=random.Random(3))
    windows = image.unfold(1, 64, 1).unfold(2, 64, 1)
    assert bool((windows == found[:, None, None]).all(0).all(-1).all(-1).any())


def test_channels_are_exchanged_whole_in_every_order() -> None:
    image, orders = photograph(0, 64), set()
    for seed in range(60):
        found = varied(image, Vary(channels=1.0), side=64, rng=random.Random(seed))
        orders.add(tuple(next(i for i in range(3) if torch.equal(channel, image[i])) for channel in found))
    assert len(orders) == 6


def test_the_same_chance_gives_the_same_square() -> None:
    one, two = (varied(photograph(0, 200), ALL, side=64, rng=random.Random(5)) for _ in range(2))
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
def test_impossible_settings_are_named(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Vary(**wrong)  # type: ignore[arg-type]


def test_what_is_trained_on_is_changed_and_what_is_held_out_is_not(tmp_path: Path) -> None:
    write_photographs(tmp_path, 4, side=128)
    recipe = tiny_recipe()
    plain = material_for(recipe, [tmp_path])
    changed = material_for(replace(recipe, degrade=replace(recipe.degrade, vary=ALL)), [tmp_path])
    for i in range(4):
        (known, held_out), (other, same) = (
            [half.draw(random.Random(i)) for half in halves] for halves in (plain, changed)
        )
        assert torch.equal(held_out.hr, same.hr)
        assert other.hr.shape == known.hr.shape
        assert not torch.equal(other.hr, known.hr)
        assert other.shift is not None  # still a pan over one picture
        down, right = other.shift
        a, b = other.hr[0], other.hr[1]
        inner = slice(4, 60)
        moved = a[:, 4 + down : 60 + down, 4 + right : 60 + right]
        assert torch.equal(b[:, inner, inner], moved)
    assert isinstance(plain[0], Photographs)


def test_only_the_share_that_is_asked_for_is_changed(tmp_path: Path) -> None:
    write_photographs(tmp_path, 4, side=128)
    recipe, vary = tiny_recipe(), replace(ALL, probability=0.4)
    known, _ = material_for(replace(recipe, degrade=replace(recipe.degrade, vary=vary)), [tmp_path])
    assert isinstance(known, Photographs)
    originals = [read_image(picture.path) for picture in known.pictures]
    windows = [
        w for image in originals for w in image.unfold(1, 16, 1).unfold(2, 16, 1).flatten(1, 2).unbind(1)
    ]
    seen = {tuple(w.flatten().tolist()) for w in windows}
    kept = sum(
        tuple(known.draw(random.Random(i)).hr[0, :, :16, :16].flatten().tolist()) in seen for i in range(60)
    )
    assert 24 <= kept <= 47  # 36 expected; 3 deviations of a share of 0.6 either way
