"""Clips in memory, a few replaced every so many steps by threads of their own, and batches of their crops.

What a step gets depends on the recipe's seed and the step alone, never on how fast the threads are: a clip is
drawn from (seed, round, number), and a round's clips come in at a fixed step. So a run that was cut off goes
on exactly where it stopped, by making the clips of the last rounds again.
"""

from __future__ import annotations

import logging
import os
import random
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import torch

from vsr.engine.device import free_memory
from vsr.training.batches.crops import Batch, draw, draw_batch
from vsr.training.batches.device_buffer import Cut, Shelf, room
from vsr.training.data.datasets import Material
from vsr.training.degrade.clips import Clip, degrade_clip, pair_clip
from vsr.training.recipe import Recipe

logger = logging.getLogger(__name__)

MOST_WORKERS = 8
"""A worker holds Python's lock an eighth of its time (`h264` at x4, measured): more would wait for it."""
MOST_ROOM = 0.25
"""Share of a card's free memory that clips may take."""


class ClipPool:
    """The clips that a step may take crops from."""

    def __init__(
        self, material: Material, recipe: Recipe, *, step: int = 0, device: torch.device | None = None
    ) -> None:
        """Fill the pool for `step`; takes seconds.

        Args:
            material: What clips are drawn from.
            recipe: Of the run.
            step: The first that is asked for.
            device: That trains; the clips lie on a card, too, where they fit. None is the CPU.
        """
        self._material = material
        self._recipe = recipe
        self._device = torch.device("cpu") if device is None else device
        count = recipe.pool.workers or workers_for(self._device, os.cpu_count() or 1)
        self._workers = _workers(count)
        self._round = step // recipe.pool.every
        self._clips: deque[Clip] = deque(maxlen=recipe.pool.clips)
        self._shelf: Shelf | None = None
        self._ahead = -(-2 * count // recipe.pool.fresh)  # rounds: enough that no worker waits for another
        self._ordered: deque[Future[Clip]] = deque()
        # Clips are counted over all rounds.
        self._next = (self._round + 1) * recipe.pool.fresh - recipe.pool.clips
        self._order_for(self._round * recipe.pool.every)
        try:
            for _ in range(recipe.pool.clips):
                self._clips.append(self._ordered.popleft().result())
            if self._device.type == "cuda":
                self._shelf = _filled_shelf(self._clips, recipe, self._device)
        except BaseException:
            self.close()  # else the process would make all the other clips before it ends
            raise

    def close(self) -> None:
        """End the threads, once the clips that they work on are done."""
        self._workers.shutdown(cancel_futures=True)

    def batch(self, step: int) -> Batch:
        """The crops of a step, on the host; steps must not go back."""
        self._go_to(step)
        return draw_batch(self._clips, self._recipe, _chance(self._recipe, step))

    def feed(self, step: int) -> Batch | Cut:
        """The crops of a step, as they are best brought to the device; steps must not go back."""
        self._go_to(step)
        chance = _chance(self._recipe, step)
        if self._shelf is None:
            return draw_batch(self._clips, self._recipe, chance)
        return Cut(self._shelf, self._shelf.rows(draw(self._clips, self._recipe, chance)))

    def _go_to(self, step: int) -> None:
        self._order_for(step)
        while self._round < step // self._recipe.pool.every:
            for _ in range(self._recipe.pool.fresh):
                self._take(self._ordered.popleft().result())  # waits: it may still be encoded
            self._round += 1

    def _take(self, clip: Clip) -> None:
        self._clips.append(clip)
        if self._shelf is None:
            return
        if self._shelf.takes(clip):
            self._shelf.put(clip)
        else:
            logger.debug("clips differ in size: crops are cut on the host")
            self._shelf = None

    def _order_for(self, step: int) -> None:
        """Order clips some rounds ahead of a step: evenly, as many at once would hold up who trains."""
        settings, pinned = self._recipe.pool, self._device.type == "cuda"
        end = (step + (1 + self._ahead) * settings.every) * settings.fresh // settings.every
        for clip in range(self._next, end):
            number, i = divmod(clip, settings.fresh)
            order = self._workers.submit(_make, self._material, self._recipe, number, i, pinned=pinned)
            self._ordered.append(order)
        self._next = max(self._next, end)


def workers_for(device: torch.device, cores: int) -> int:
    """Threads that make clips where the recipe does not say: on the CPU the cores are needed to train."""
    return 1 if device.type == "cpu" else max(1, min(MOST_WORKERS, cores // 2))


def _chance(recipe: Recipe, step: int) -> random.Random:
    return random.Random(f"{recipe.seed}/batch/{step}")


def _filled_shelf(clips: deque[Clip], recipe: Recipe, device: torch.device) -> Shelf | None:
    """The clips on the device; None where they differ in size, or take too much of its memory."""
    if room(clips[0], recipe) > MOST_ROOM * free_memory(device):
        logger.debug("clips stay on the host: %.1f GB", room(clips[0], recipe) / 1e9)
        return None
    shelf = Shelf(clips[0], recipe, device)
    if not all(shelf.takes(clip) for clip in clips):
        return None
    for clip in clips:
        shelf.put(clip)
    return shelf


def _make(material: Material, recipe: Recipe, number: int, i: int, *, pinned: bool) -> Clip:
    clip = make_clip(material, recipe, number, i)
    return _pinned(clip) if pinned else clip


def _pinned(clip: Clip) -> Clip:
    """The clip in memory from which a card copies by itself."""
    hr = clip.hr.pin_memory()
    plain = hr if clip.plain is clip.hr else clip.plain.pin_memory()
    return replace(clip, hr=hr, lr=clip.lr.pin_memory(), plain=plain)


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
