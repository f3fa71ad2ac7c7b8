"""Crops that are cut from a device buffer equal those that are cut on the CPU to the bit."""

from __future__ import annotations

import random
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.photographs import photograph, tiny_crisp, tiny_recipe, write_photographs
from vsr.training.batches.crops import Batch, cut, draw
from vsr.training.batches.device_buffer import BufferedBatch, ClipBuffer
from vsr.training.batches.pool import ClipPool, workers_for
from vsr.training.data.drawing import Pan, cut_pan
from vsr.training.degrade.clips import Clip, reduce
from vsr.training.recipe import PoolSettings, Recipe
from vsr.training.run.loop import datasets_for

POOL = PoolSettings(clips=4, kept=3, fresh=2, every=5)
ONE = replace(tiny_recipe(), batch=32, pool=POOL)
PAIRS = replace(tiny_crisp(), batch=32, pool=POOL)


def clip_of(seed: int, *, sharpened: bool = False, size: int = 64, moved: bool = True) -> Clip:
    step, frames = (seed % 3 - 1, 2), 3
    hr = cut_pan(photograph(seed, 128), Pan((8, 8), step), (size, size), frames)
    lr = (reduce(hr, 2) / 255).half() - 0.01  # not clipped
    plain = 255 - hr if sharpened else hr
    return Clip(hr=hr, lr=lr, plain=plain, chosen=(0, 1, 2), shift=step if moved else None)


def filled(clips: list[Clip], recipe: Recipe, device: str = "cpu") -> ClipBuffer:
    buffer = ClipBuffer(clips[0], recipe, torch.device(device))
    for clip in clips:
        buffer.add(clip)
    return buffer


def same(a: Batch, b: Batch) -> bool:
    shifts = a.shift is b.shift or (
        a.shift is not None and b.shift is not None and torch.equal(a.shift.cpu(), b.shift.cpu())
    )
    return shifts and all(
        torch.equal(getattr(a, name).cpu(), getattr(b, name).cpu()) for name in ("lr", "hr", "plain")
    )


def check(clips: list[Clip], recipe: Recipe, device: str = "cpu") -> None:
    """Compare over more clips than the buffer holds, so that the oldest are overwritten."""
    buffer = filled(clips[:4], recipe, device)
    for newest in range(4, len(clips) + 1):
        held = clips[newest - 4 : newest]
        for seed in range(4):
            drawn = draw(held, recipe, random.Random(seed))
            here = BufferedBatch(buffer, buffer.rows(drawn))
            found = here.batch([tensor.to(device) for tensor in here.tensors])
            assert same(found, cut(held, drawn, recipe))
            assert found.lr.is_contiguous(memory_format=torch.channels_last)
            assert found.hr.is_contiguous(memory_format=torch.channels_last)
        if newest < len(clips):
            buffer.add(clips[newest])


@pytest.mark.parametrize("recipe", [ONE, PAIRS], ids=["one", "pairs"])
@pytest.mark.parametrize("sharpened", [False, True])
@pytest.mark.parametrize("moved", [False, True])
def test_crops_equal_those_of_the_cpu_to_the_bit(recipe: Recipe, sharpened: bool, moved: bool) -> None:
    check([clip_of(i, sharpened=sharpened, moved=moved) for i in range(7)], recipe)


def test_all_eight_symmetries_occur() -> None:
    drawn = draw([clip_of(0)] * 4, ONE, random.Random(0))
    assert {place.turn for place in drawn.places} == set(range(8))


def test_targets_without_sharpening_are_stored_and_cut_once() -> None:
    buffer = filled([clip_of(i) for i in range(4)], ONE)
    found = buffer.cut(buffer.rows(draw([clip_of(i) for i in range(4)], ONE, random.Random(0))))
    assert found.plain is found.hr
    on_host = cut([clip_of(0)], draw([clip_of(0)], ONE, random.Random(0)), ONE)
    assert on_host.plain is on_host.hr


def test_a_clip_of_another_shape_does_not_fit() -> None:
    buffer = filled([clip_of(0)], ONE)
    assert buffer.fits(clip_of(1))
    assert not buffer.fits(clip_of(1, size=60))
    assert not buffer.fits(clip_of(1, sharpened=True))


def test_the_number_of_workers_follows_the_cores_on_a_gpu() -> None:
    card = torch.device("cuda")
    assert [workers_for(card, cores) for cores in (1, 2, 4, 16, 128)] == [1, 1, 2, 8, 8]
    assert workers_for(torch.device("cpu"), 128) == 1


@pytest.mark.needs_cuda
@pytest.mark.parametrize("recipe", [ONE, PAIRS], ids=["one", "pairs"])
@pytest.mark.parametrize("sharpened", [False, True])
def test_a_gpu_cuts_the_same_bits_as_the_cpu(recipe: Recipe, sharpened: bool) -> None:
    check([clip_of(i, sharpened=sharpened) for i in range(7)], recipe, "cuda")


@pytest.mark.needs_cuda
def test_a_pool_gives_a_gpu_the_same_batches_as_the_cpu(tmp_path: Path) -> None:
    write_photographs(tmp_path, 3)
    recipe = replace(tiny_recipe(), pool=POOL)
    known, _ = datasets_for(recipe, [tmp_path])
    card = torch.device("cuda")
    with closing(ClipPool(known, recipe)) as host, closing(ClipPool(known, recipe, device=card)) as device:
        for step in range(23):
            batch_source = device.batch_source(step)
            assert isinstance(batch_source, BufferedBatch)
            assert same(batch_source.batch([t.to(card) for t in batch_source.tensors]), host.batch(step))
