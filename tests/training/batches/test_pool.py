"""Batches depend only on seed and step, LR and HR match, and pairs of frames show the same content."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.training.photographs import photograph, tiny_crisp, tiny_recipe, write_photographs
from vsr.errors import InputError
from vsr.metrics import overlap
from vsr.training.batches.crops import Batch, draw_batch, turn, turned
from vsr.training.batches.pool import ClipPool
from vsr.training.data.datasets import Dataset
from vsr.training.data.drawing import Pan, cut_pan
from vsr.training.data.image_folder import Photographs
from vsr.training.degrade.clips import Clip, reduce
from vsr.training.recipe import PoolSettings, Recipe
from vsr.training.run.loop import datasets_for


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("photographs")
    write_photographs(folder, 3)
    return datasets_for(tiny_recipe(), [folder])[0]


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def same(a: Batch, b: Batch) -> bool:
    return torch.equal(a.lr, b.lr) and torch.equal(a.hr, b.hr) and torch.equal(a.plain, b.plain)


def batches(known: Dataset, recipe: Recipe, steps: range) -> list[Batch]:
    with closing(ClipPool(known, recipe, step=steps.start)) as pool:
        return [pool.batch(step) for step in steps]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_pool_created_for_a_later_step_gives_the_batches_of_an_uninterrupted_one(
    known: Dataset, workers: int
) -> None:
    recipe = replace(tiny_recipe(), pool=replace(tiny_recipe().pool, workers=workers))
    unbroken = batches(known, recipe, range(23))
    for expected, found in zip(unbroken[17:], batches(known, recipe, range(17, 23)), strict=True):
        assert same(expected, found)


def test_the_number_of_workers_does_not_change_the_batches(known: Dataset) -> None:
    one, three = (
        replace(tiny_recipe(), pool=replace(tiny_recipe().pool, workers=workers)) for workers in (1, 3)
    )
    for a, b in zip(batches(known, one, range(12)), batches(known, three, range(12)), strict=True):
        assert same(a, b)


def test_another_seed_or_step_gives_different_batches(known: Dataset) -> None:
    recipe = tiny_recipe()
    first, second = batches(known, recipe, range(2))
    assert not same(first, second)
    assert not same(first, batches(known, replace(recipe, seed=9), range(1))[0])


def test_clips_are_replaced_as_often_as_the_recipe_says(known: Dataset) -> None:
    recipe = replace(tiny_recipe(), pool=PoolSettings(clips=4, kept=1, fresh=2, every=5))
    with closing(ClipPool(known, recipe)) as pool:
        held, kept = [], []
        for step in (0, 4, 5, 10):
            pool.batch(step)
            kept += pool._clips  # keeps the clips alive, so that no other clip gets their id
            held.append([id(clip) for clip in pool._clips])
    assert held[0] == held[1]
    assert held[1][2:] == held[2][:2]  # the oldest two were replaced
    assert set(held[1]).isdisjoint(held[3])


def test_new_clips_are_submitted_evenly_and_a_whole_round_ahead(known: Dataset) -> None:
    recipe = replace(tiny_recipe(), pool=PoolSettings(clips=4, kept=1, fresh=2, every=4, workers=1))
    submitted = []
    with closing(ClipPool(known, recipe)) as pool:
        for step in range(9):
            pool.batch(step)
            submitted.append(len(pool._submitted))
    assert submitted == [2, 2, 3, 3, 2, 2, 3, 3, 2]


def test_lr_and_hr_of_a_batch_have_the_same_rotation(known: Dataset) -> None:
    recipe = replace(tiny_recipe(), batch=32, degrade=replace(tiny_recipe().degrade, clean=1.0))
    (batch,) = batches(known, recipe, range(1))
    assert batch.lr.shape == (32, 3, 16, 16)
    assert batch.hr.shape == (32, 3, 32, 32)
    assert batch.lr.is_contiguous(memory_format=torch.channels_last)
    assert batch.shift is None
    again = F.interpolate(batch.hr, scale_factor=0.5, mode="bicubic", antialias=True).clamp(0, 1)
    # Away from the border, the clean LR equals the downscaled HR, except for rounding and clipping between
    # the two passes of the 8-bit filter. A crop with another rotation differs by a tenth.
    error = (again - batch.lr)[..., 4:-4, 4:-4].square().mean((1, 2, 3)).sqrt()
    assert error.max() < 1 / 255


def pan_clip(step: tuple[int, int], frames: int = 4) -> Clip:
    """Make an uncoded clip with a known pan, in which `plain` is the negative of `hr`."""
    image, size, travel = photograph(3, 128), 64, [s * (frames - 1) for s in step]
    start = tuple(max(0, -t) for t in travel)
    hr = cut_pan(image, Pan((start[0], start[1]), step), (size, size), frames)
    chosen = (0, frames - 1) if frames > 1 else (0,)
    hr = hr[list(chosen)]
    return Clip(hr=hr, lr=(reduce(hr, 2) / 255).half(), plain=255 - hr, chosen=chosen, shift=step)


TEMPORAL = replace(tiny_crisp(), batch=8)


@pytest.mark.parametrize("step", [(0, 0), (3, -5), (-4, 1), (5, 5)])
def test_pairs_show_the_same_content_after_the_shift(step: tuple[int, int]) -> None:
    clip = pan_clip(step)
    shifts = set()
    for draw in range(40):
        batch = draw_batch([clip], TEMPORAL, random.Random(draw))
        assert batch.shift is not None
        assert torch.allclose(batch.plain, 1 - batch.hr)
        for i, (down, right) in enumerate(batch.shift.tolist()):
            a, b = overlap(batch.hr[2 * i], batch.hr[2 * i + 1], (down, right))
            assert a.shape[-1] * a.shape[-2] > 0
            assert torch.equal(a, b)
            shifts.add((down, right))
    # Both orders of the frames, with eight symmetries. An odd shift lies between pixels of LR.
    assert len(shifts) >= (1 if step == (0, 0) else 4)


def test_pairs_without_known_motion_are_the_same_frame_twice() -> None:
    clip = replace(pan_clip((3, 1)), shift=None)
    batch = draw_batch([clip], TEMPORAL, random.Random(0))
    assert batch.shift is not None
    assert not batch.shift.any()
    assert torch.equal(batch.hr[0::2], batch.hr[1::2])
    assert torch.equal(batch.lr[0::2], batch.lr[1::2])


def dot(y: int, x: int) -> Tensor:
    image = torch.zeros(1, 9, 9)
    image[0, y, x] = 1
    return image


def place(image: Tensor) -> tuple[int, int]:
    _, y, x = image.nonzero()[0].tolist()
    return y, x


@pytest.mark.parametrize("number", range(8))
def test_vectors_rotate_with_their_images(number: int) -> None:
    (y, x), (later_y, later_x) = (place(turn(dot(*at), number)) for at in ((2, 3), (3, 7)))
    assert turned((1, 4), number) == (later_y - y, later_x - x)


def test_the_eight_symmetries_differ() -> None:
    image = photograph(0, 32)
    assert len({turn(image, number).contiguous().numpy().tobytes() for number in range(8)}) == 8


def test_the_callers_number_of_threads_does_not_change(known: Dataset) -> None:
    torch.set_num_threads(2)
    with closing(ClipPool(known, tiny_recipe())):
        assert torch.get_num_threads() == 2


def test_an_image_that_becomes_unreadable_in_training_ends_the_run_with_its_name(tmp_path: Path) -> None:
    write_photographs(tmp_path, 3)
    recipe = tiny_recipe()
    known, _ = datasets_for(recipe, [tmp_path])
    with closing(ClipPool(known, recipe)) as pool:
        for path in tmp_path.iterdir():
            path.write_bytes(b"gone")
        with pytest.raises(InputError, match="photo"):
            [pool.batch(step) for step in range(40)]


def test_drawing_ends_with_an_error_if_no_held_out_image_can_be_read(tmp_path: Path) -> None:
    write_photographs(tmp_path, 3)
    _, held_out = datasets_for(tiny_recipe(), [tmp_path])
    assert isinstance(held_out, Photographs)
    held_out.image_files[0].path.write_bytes(b"gone")  # this is the only held-out image
    with pytest.raises(InputError, match="no readable image is left"):
        held_out.draw(random.Random(0))


def test_a_pool_that_cannot_be_filled_leaves_no_thread_running(tmp_path: Path) -> None:
    write_photographs(tmp_path, 3)
    recipe = tiny_recipe()
    known, _ = datasets_for(recipe, [tmp_path])
    for path in tmp_path.iterdir():
        path.write_bytes(b"gone")
    before = set(threading.enumerate())
    with pytest.raises(InputError, match="photo"):
        ClipPool(known, recipe)
    assert set(threading.enumerate()) <= before
