"""Crops that are cut where a card could cut them have the bits of those that the host cuts."""

from __future__ import annotations

import random
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.photographs import photograph, tiny_crisp, tiny_recipe, write_photographs
from vsr.training.batches.crops import Batch, cut, draw
from vsr.training.batches.device_buffer import Cut, Shelf
from vsr.training.batches.pool import ClipPool, workers_for
from vsr.training.data.drawing import Pan, cut_pan
from vsr.training.degrade.clips import Clip, reduce
from vsr.training.recipe import PoolSettings, Recipe
from vsr.training.run.loop import material_for

POOL = PoolSettings(clips=4, kept=3, fresh=2, every=5)
ONE = replace(tiny_recipe(), batch=32, pool=POOL)
PAIRS = replace(tiny_crisp(), batch=32, pool=POOL)


def clip_of(seed: int, *, sharpened: bool = False, size: int = 64, moved: bool = True) -> Clip:
    step, frames = (seed % 3 - 1, 2), 3
    hr = cut_pan(photograph(seed, 128), Pan((8, 8), step), (size, size), frames)
    lr = (reduce(hr, 2) / 255).half() - 0.01  # not clipped
    plain = 255 - hr if sharpened else hr
    return Clip(hr=hr, lr=lr, plain=plain, chosen=(0, 1, 2), shift=step if moved else None)


def filled(clips: list[Clip], recipe: Recipe, device: str = "cpu") -> Shelf:
    shelf = Shelf(clips[0], recipe, torch.device(device))
    for clip in clips:
        shelf.put(clip)
    return shelf


def same(a: Batch, b: Batch) -> bool:
    shifts = a.shift is b.shift or (
        a.shift is not None and b.shift is not None and torch.equal(a.shift.cpu(), b.shift.cpu())
    )
    return shifts and all(
        torch.equal(getattr(a, name).cpu(), getattr(b, name).cpu()) for name in ("lr", "hr", "plain")
    )


def check(clips: list[Clip], recipe: Recipe, device: str = "cpu") -> None:
    """Over more clips than the shelf has places, so that the oldest are written over."""
    shelf = filled(clips[:4], recipe, device)
    for newest in range(4, len(clips) + 1):
        held = clips[newest - 4 : newest]
        for seed in range(4):
            drawn = draw(held, recipe, random.Random(seed))
            here = Cut(shelf, shelf.rows(drawn))
            found = here.batch([tensor.to(device) for tensor in here.tensors])
            assert same(found, cut(held, drawn, recipe))
            assert found.lr.is_contiguous(memory_format=torch.channels_last)
            assert found.hr.is_contiguous(memory_format=torch.channels_last)
        if newest < len(clips):
            shelf.put(clips[newest])


@pytest.mark.parametrize("recipe", [ONE, PAIRS], ids=["one", "pairs"])
@pytest.mark.parametrize("sharpened", [False, True])
@pytest.mark.parametrize("moved", [False, True])
def test_crops_have_the_bits_of_the_hosts(recipe: Recipe, sharpened: bool, moved: bool) -> None:
    check([clip_of(i, sharpened=sharpened, moved=moved) for i in range(7)], recipe)


def test_all_eight_turns_are_among_them() -> None:
    drawn = draw([clip_of(0)] * 4, ONE, random.Random(0))
    assert {place.turn for place in drawn.places} == set(range(8))


def test_targets_that_are_not_sharpened_are_kept_and_cut_once() -> None:
    shelf = filled([clip_of(i) for i in range(4)], ONE)
    found = shelf.cut(shelf.rows(draw([clip_of(i) for i in range(4)], ONE, random.Random(0))))
    assert found.plain is found.hr
    on_host = cut([clip_of(0)], draw([clip_of(0)], ONE, random.Random(0)), ONE)
    assert on_host.plain is on_host.hr


def test_a_clip_of_another_shape_is_not_taken() -> None:
    shelf = filled([clip_of(0)], ONE)
    assert shelf.takes(clip_of(1))
    assert not shelf.takes(clip_of(1, size=60))
    assert not shelf.takes(clip_of(1, sharpened=True))


def test_workers_follow_the_cores_where_a_card_trains() -> None:
    card = torch.device("cuda")
    assert [workers_for(card, cores) for cores in (1, 2, 4, 16, 128)] == [1, 1, 2, 8, 8]
    assert workers_for(torch.device("cpu"), 128) == 1


@pytest.mark.needs_cuda
@pytest.mark.parametrize("recipe", [ONE, PAIRS], ids=["one", "pairs"])
@pytest.mark.parametrize("sharpened", [False, True])
def test_a_card_cuts_the_bits_of_the_host(recipe: Recipe, sharpened: bool) -> None:
    check([clip_of(i, sharpened=sharpened) for i in range(7)], recipe, "cuda")


@pytest.mark.needs_cuda
def test_a_pool_feeds_a_card_what_it_feeds_the_host(tmp_path: Path) -> None:
    write_photographs(tmp_path, 3)
    recipe = replace(tiny_recipe(), pool=POOL)
    known, _ = material_for(recipe, [tmp_path])
    card = torch.device("cuda")
    with closing(ClipPool(known, recipe)) as host, closing(ClipPool(known, recipe, device=card)) as device:
        for step in range(23):
            feed = device.feed(step)
            assert isinstance(feed, Cut)
            assert same(feed.batch([t.to(card) for t in feed.tensors]), host.batch(step))
