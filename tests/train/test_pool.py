"""Batches depend on seed and step alone, and their two halves fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tests.train.photographs import tiny_recipe, write_photographs
from vsr.errors import InputError
from vsr.train.data import Picture, find_pictures
from vsr.train.pool import ClipPool


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    folder = tmp_path_factory.mktemp("photographs")
    write_photographs(folder, 3)
    return find_pictures(folder)


def test_a_pool_made_for_a_later_step_gives_the_batches_of_an_unbroken_one(pictures: list[Picture]) -> None:
    recipe = tiny_recipe()
    with ClipPool(pictures, recipe) as pool:
        unbroken = [pool.batch(step) for step in range(23)]
    with ClipPool(pictures, recipe, step=17) as pool:
        resumed = [pool.batch(step) for step in range(17, 23)]
    for (lr, hr), (lr_again, hr_again) in zip(unbroken[17:], resumed, strict=True):
        assert torch.equal(lr, lr_again)
        assert torch.equal(hr, hr_again)


def test_another_seed_gives_other_batches(pictures: list[Picture]) -> None:
    recipe = tiny_recipe()
    with ClipPool(pictures, recipe) as one, ClipPool(pictures, replace(recipe, seed=9)) as other:
        assert not torch.equal(one.batch(0)[0], other.batch(0)[0])


def test_lr_and_hr_of_a_batch_are_turned_alike(pictures: list[Picture]) -> None:
    recipe = replace(tiny_recipe(), batch=32, degrade=replace(tiny_recipe().degrade, clean=1.0))
    with ClipPool(pictures, recipe) as pool:
        lr, hr = pool.batch(0)
    assert lr.shape == (32, 3, 16, 16)
    assert hr.shape == (32, 3, 32, 32)
    again = F.interpolate(hr, scale_factor=0.5, mode="bicubic", antialias=True).clamp(0, 1)
    # Away from the crop's edges the clean LR is the reduced HR, but for rounding and clipping between the two
    # passes of the 8-bit filter; a crop turned otherwise differs by a tenth.
    error = (again - lr)[..., 4:-4, 4:-4].square().mean((1, 2, 3)).sqrt()
    assert error.max() < 1 / 255


def test_the_callers_number_of_threads_stays(pictures: list[Picture]) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with ClipPool(pictures, tiny_recipe()):
        assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_a_picture_that_breaks_while_training_ends_the_run_with_its_name(tmp_path: Path) -> None:
    write_photographs(tmp_path, 2)
    pictures = find_pictures(tmp_path)
    with ClipPool(pictures, tiny_recipe()) as pool:
        for picture in pictures:
            picture.path.write_bytes(b"gone")
        with pytest.raises(InputError, match="photo"):
            [pool.batch(step) for step in range(40)]
