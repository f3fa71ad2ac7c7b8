"""Clips in memory, a few replaced every so many steps by a thread of its own, and batches of crops from them.

What a step gets depends on the recipe's seed and the step alone, never on how fast the thread is: a clip is
drawn from (seed, round, number), and a round's clips come in at a fixed step. So a run that was cut off goes
on exactly where it stopped, by making the clips of the last rounds again.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch
from torch import Tensor

from vsr.train.data import Picture, read_image
from vsr.train.degrade import Clip, make_clip
from vsr.train.recipe import Recipe


class ClipPool:
    """The clips that a step may take crops from."""

    def __init__(self, pictures: Sequence[Picture], recipe: Recipe, *, step: int = 0) -> None:
        """Fill the pool for `step`; takes seconds."""
        self._pictures = pictures
        self._recipe = recipe
        self._worker = _one_thread()
        self._round = step // recipe.pool.every
        self._clips: deque[Clip] = deque(maxlen=recipe.pool.clips)
        rounds = recipe.pool.clips // recipe.pool.fresh
        for number in range(self._round - rounds + 1, self._round + 1):
            self._clips.extend(self._worker.submit(self._make, number).result())
        self._next = self._order()

    def __enter__(self) -> ClipPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.shutdown(cancel_futures=True)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The crops of a step; steps must not go back.

        Returns:
            LR `(N, 3, patch, patch)` and HR `(N, 3, patch * scale, patch * scale)`, float32, nominally
            [0, 1], on the CPU, channels_last.
        """
        while self._round < step // self._recipe.pool.every:
            self._clips.extend(self._next.result())  # waits: the thread may still be encoding
            self._round += 1
            self._next = self._order()
        return draw_batch(self._clips, self._recipe, random.Random(f"{self._recipe.seed}/batch/{step}"))

    def _order(self) -> Future[list[Clip]]:
        return self._worker.submit(self._make, self._round + 1)

    def _make(self, number: int) -> list[Clip]:
        return [self._make_one(number, i) for i in range(self._recipe.pool.fresh)]

    def _make_one(self, number: int, i: int) -> Clip:
        recipe = self._recipe
        rng = random.Random(f"{recipe.seed}/clip/{number}/{i}")
        image = read_image(rng.choice(self._pictures).path)
        return make_clip(image, recipe.degrade, recipe.network.scale, recipe.pool.kept, rng)


def _one_thread() -> ThreadPoolExecutor:
    """A worker whose own torch calls use one thread; the caller keeps its number."""
    threads = torch.get_num_threads()
    worker = ThreadPoolExecutor(1, "clips", initializer=torch.set_num_threads, initargs=(1,))
    worker.submit(int).result()
    torch.set_num_threads(threads)  # the worker's setting also changed the caller's (torch 2.13)
    return worker


def draw_batch(clips: Sequence[Clip], recipe: Recipe, rng: random.Random) -> tuple[Tensor, Tensor]:
    """Take crops from the clips, each turned or mirrored; see `ClipPool.batch`."""
    pairs = [
        _draw_crop(rng.choice(clips), recipe.patch, recipe.network.scale, rng) for _ in range(recipe.batch)
    ]
    lr = torch.stack([pair[0] for pair in pairs]).float()
    hr = torch.stack([pair[1] for pair in pairs]).float() / 255
    return lr.contiguous(memory_format=torch.channels_last), hr.contiguous(memory_format=torch.channels_last)


def _draw_crop(clip: Clip, patch: int, scale: int, rng: random.Random) -> tuple[Tensor, Tensor]:
    frame = rng.randrange(len(clip.lr))
    y, x = (rng.randint(0, side - patch) for side in clip.lr.shape[-2:])
    turn = rng.randrange(8)
    lr = clip.lr[frame, :, y : y + patch, x : x + patch]
    hr = clip.hr[frame, :, scale * y : scale * (y + patch), scale * x : scale * (x + patch)]
    return _turn(lr, turn), _turn(hr, turn)


def _turn(crop: Tensor, turn: int) -> Tensor:
    """One of the eight symmetries of the square."""
    crop = crop.rot90(turn % 4, (1, 2))
    return crop.flip(2) if turn >= 4 else crop
