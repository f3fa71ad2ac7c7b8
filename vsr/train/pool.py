"""Clips in memory, a few replaced every so many steps by threads of their own, and batches of their crops.

What a step gets depends on the recipe's seed and the step alone, never on how fast the threads are: a clip is
drawn from (seed, round, number), and a round's clips come in at a fixed step. So a run that was cut off goes
on exactly where it stopped, by making the clips of the last rounds again.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from vsr.train.degrade import Clip, degrade_clip, pair_clip
from vsr.train.material import Material
from vsr.train.recipe import Recipe
from vsr.train.temporal import follow


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The crops of a step; float32, nominally [0, 1], channels_last."""

    lr: Tensor
    """`(N, 3, patch, patch)`."""
    hr: Tensor
    """`(N, 3, patch * scale, patch * scale)`: the target, sharpened where the recipe says so."""
    plain: Tensor
    """The same without sharpening: what a discriminator is shown."""
    shift: Tensor | None = None
    """`(N / 2, 2)` int64: crops 2i and 2i + 1 show one place of a clip in two of its pictures; by how many HR
    pixels, down and right, the content of the second lies from where it is in the first."""

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        moved = [t.to(device, non_blocking=True) for t in (self.lr, self.hr, self.plain)]
        shift = None if self.shift is None else self.shift.to(device)
        return Batch(lr=moved[0], hr=moved[1], plain=moved[2], shift=shift)


class ClipPool:
    """The clips that a step may take crops from."""

    def __init__(self, material: Material, recipe: Recipe, *, step: int = 0) -> None:
        """Fill the pool for `step`; takes seconds."""
        self._material = material
        self._recipe = recipe
        self._workers = _workers(recipe.pool.workers)
        self._round = step // recipe.pool.every
        self._clips: deque[Clip] = deque(maxlen=recipe.pool.clips)
        rounds = recipe.pool.clips // recipe.pool.fresh
        first = [self._order(number) for number in range(self._round - rounds + 1, self._round + 1)]
        try:
            for ordered in first:
                self._clips.extend(clip.result() for clip in ordered)
        except BaseException:
            self.close()  # else the process would make all the other clips before it ends
            raise
        self._next = self._order(self._round + 1)

    def close(self) -> None:
        """End the threads, once the clips that they work on are done."""
        self._workers.shutdown(cancel_futures=True)

    def batch(self, step: int) -> Batch:
        """The crops of a step, on the host; steps must not go back."""
        while self._round < step // self._recipe.pool.every:
            self._clips.extend(clip.result() for clip in self._next)  # waits: it may still be encoded
            self._round += 1
            self._next = self._order(self._round + 1)
        return draw_batch(self._clips, self._recipe, random.Random(f"{self._recipe.seed}/batch/{step}"))

    def _order(self, number: int) -> list[Future[Clip]]:
        fresh = range(self._recipe.pool.fresh)
        return [self._workers.submit(make_clip, self._material, self._recipe, number, i) for i in fresh]


def make_clip(material: Material, recipe: Recipe, number: int, i: int) -> Clip:
    """Clip `i` of a round."""
    rng = random.Random(f"{recipe.seed}/clip/{number}/{i}")
    sample = material.draw(rng)
    if sample.lr is not None:
        return pair_clip(sample.hr, sample.lr, recipe.pool.kept, rng)
    return degrade_clip(
        sample.hr, recipe.degrade, scale=recipe.scale, kept=recipe.pool.kept, rng=rng, shift=sample.shift
    )


def _workers(number: int) -> ThreadPoolExecutor:
    """Workers whose own torch calls use one thread each; the caller keeps its number."""
    threads = torch.get_num_threads()
    workers = ThreadPoolExecutor(number, "clips", initializer=torch.set_num_threads, initargs=(1,))
    for started in [workers.submit(int) for _ in range(number)]:
        started.result()
    torch.set_num_threads(threads)  # the workers' setting also changed the caller's (torch 2.13)
    return workers


def draw_batch(clips: Sequence[Clip], recipe: Recipe, rng: random.Random) -> Batch:
    """Take crops from the clips, each turned or mirrored."""
    if recipe.losses.temporal:
        pairs = [_draw_pair(rng.choice(clips), recipe, rng) for _ in range(recipe.batch // 2)]
        crops = [crop for pair, _ in pairs for crop in pair]
        return _batch(crops, torch.tensor([shift for _, shift in pairs]))
    return _batch([_draw_one(rng.choice(clips), recipe, rng) for _ in range(recipe.batch)], None)


Crop = tuple[Tensor, Tensor, Tensor]
"""LR, target and plain HR of one place."""


def _draw_one(clip: Clip, recipe: Recipe, rng: random.Random) -> Crop:
    return _crop(clip, rng.randrange(len(clip.lr)), _place(clip, recipe, rng), rng.randrange(8), recipe)


def _draw_pair(clip: Clip, recipe: Recipe, rng: random.Random) -> tuple[list[Crop], tuple[int, int]]:
    """One place in two pictures of a clip, and how far its content moved between them.

    Of a clip whose motion is unknown the same picture is taken twice: it is trained on, and nothing compared.
    """
    place, turn = _place(clip, recipe, rng), rng.randrange(8)
    if clip.shift is None or len(clip.lr) < 2:
        crop = _crop(clip, rng.randrange(len(clip.lr)), place, turn, recipe)
        return [crop, crop], (0, 0)
    first, second = rng.sample(range(len(clip.lr)), 2)
    apart = clip.chosen[second] - clip.chosen[first]
    travel = (clip.shift[0] * apart, clip.shift[1] * apart)
    height, width = clip.lr.shape[-2:]
    view = follow(place, travel, size=(height, width), patch=recipe.patch, scale=recipe.scale)
    crops = [
        _crop(clip, frame, corner, turn, recipe) for frame, corner in ((first, place), (second, view.corner))
    ]
    return crops, turned(view.shift, turn)


def _place(clip: Clip, recipe: Recipe, rng: random.Random) -> tuple[int, int]:
    height, width = clip.lr.shape[-2:]
    return rng.randint(0, height - recipe.patch), rng.randint(0, width - recipe.patch)


def _crop(clip: Clip, frame: int, place: tuple[int, int], turn: int, recipe: Recipe) -> Crop:
    (y, x), patch, scale = place, recipe.patch, recipe.scale
    large = (slice(None), slice(scale * y, scale * (y + patch)), slice(scale * x, scale * (x + patch)))
    lr = clip.lr[frame, :, y : y + patch, x : x + patch]
    return _turn(lr, turn), _turn(clip.hr[frame][large], turn), _turn(clip.plain[frame][large], turn)


def _turn(crop: Tensor, turn: int) -> Tensor:
    """One of the eight symmetries of the square."""
    crop = crop.rot90(turn % 4, (1, 2))
    return crop.flip(2) if turn >= 4 else crop


def turned(vector: tuple[int, int], turn: int) -> tuple[int, int]:
    """A (down, right) vector in a picture that went through the same turn as its crop."""
    down, right = vector
    for _ in range(turn % 4):
        down, right = -right, down  # rot90 brings (y, x) to (W - 1 - x, y)
    return (down, -right) if turn >= 4 else (down, right)


def _batch(crops: Sequence[Crop], shift: Tensor | None) -> Batch:
    lr = torch.stack([crop[0] for crop in crops]).float()
    hr, plain = (torch.stack([crop[i] for crop in crops]).float() / 255 for i in (1, 2))
    lr, hr, plain = (t.contiguous(memory_format=torch.channels_last) for t in (lr, hr, plain))
    return Batch(lr=lr, hr=hr, plain=plain, shift=shift)
