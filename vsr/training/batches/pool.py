"""Clips in memory, which threads replace a few at a time, and batches of crops of them.

The batch of a step depends only on the recipe's seed and the step, not on the speed of the
threads: the random numbers of a clip come from (seed, round, number), and the clips of a round
replace others at a fixed step. A resumed run therefore continues exactly where it stopped, after
it has made the clips of the last rounds again.

Of several processes that train together, each makes its part of the clips, and all get all of them: the clips
and the batches are those of one process.
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
from vsr.training.batches.crops import Batch, cut, draw, draw_batch
from vsr.training.batches.device_buffer import BufferedBatch, ClipBuffer, buffer_bytes
from vsr.training.batches.exchange import shared_clips
from vsr.training.data.datasets import Dataset
from vsr.training.data.drawing import part_for
from vsr.training.degrade.clips import Clip, degrade_clip, pair_clip
from vsr.training.distributed.group import Group
from vsr.training.recipe import Recipe

logger = logging.getLogger(__name__)

MAX_WORKERS = 8
"""Largest number of workers. A worker holds Python's lock an eighth of its time (measured with `h264` at x4),
so more workers would wait for each other."""
MAX_BUFFER_SHARE = 0.25
"""Largest fraction of a GPU's free memory that clips may take."""


class ClipPool:
    """The clips from which steps take their crops."""

    def __init__(
        self,
        dataset: Dataset,
        recipe: Recipe,
        *,
        step: int = 0,
        device: torch.device | None = None,
        group: Group | None = None,
    ) -> None:
        """Fill the pool for `step`, which takes seconds.

        Args:
            dataset: The dataset that clips are drawn from.
            recipe: Recipe of the run.
            step: The first step that will be asked for.
            device: Device that trains; None is the CPU. A GPU also stores the clips if they fit.
            group: The processes that share the work; None is this one alone.
        """
        self._dataset = dataset
        self._recipe = recipe
        self._device = torch.device("cpu") if device is None else device
        self._group = Group() if group is None else group
        cores = (os.cpu_count() or 1) // self._group.local_size
        count = recipe.pool.workers or workers_for(self._device, max(1, cores))
        self._workers = _workers(count)
        self._round = step // recipe.pool.every
        self._clips: deque[Clip] = deque(maxlen=recipe.pool.clips)
        self._buffer: ClipBuffer | None = None
        self._rounds_ahead = -(
            -2 * count // recipe.pool.fresh
        )  # rounds: enough that no worker waits for another one
        self._submitted: deque[Future[Clip]] = deque()
        # Clips are numbered over all rounds.
        self._next = self._taken = (self._round + 1) * recipe.pool.fresh - recipe.pool.clips
        self._submit_for(self._round * recipe.pool.every)
        try:
            for _ in range(recipe.pool.clips // recipe.pool.fresh):
                self._clips.extend(self._next_round())
            if self._device.type == "cuda" and self._group.size == 1:
                self._buffer = _filled_buffer(self._clips, recipe, self._device)
        except BaseException:
            self.close()  # otherwise the process would make all remaining clips before it ends
            raise

    def close(self) -> None:
        """End the threads after they have finished their current clips."""
        self._workers.shutdown(cancel_futures=True)

    def batch(self, step: int) -> Batch:
        """Return the crops of a step on the CPU; the step must not decrease."""
        self._advance_to(step)
        drawn = draw(self._clips, self._recipe, _chance(self._recipe, step))
        return cut(self._clips, drawn.part(self._group.share(self._recipe.batch)), self._recipe)

    def batch_source(self, step: int) -> Batch | BufferedBatch:
        """Return the crops of a step for the device: cut on the CPU, or to be
        cut on the GPU. Steps must not decrease."""
        self._advance_to(step)
        chance = _chance(self._recipe, step)
        if self._buffer is None:
            return draw_batch(self._clips, self._recipe, chance)
        return BufferedBatch(self._buffer, self._buffer.rows(draw(self._clips, self._recipe, chance)))

    def _advance_to(self, step: int) -> None:
        self._submit_for(step)
        while self._round < step // self._recipe.pool.every:
            for clip in self._next_round():
                self._add(clip)
            self._round += 1

    def _next_round(self) -> list[Clip]:
        """Return the clips of the next round; waits for those that are not ready yet."""
        fresh = self._recipe.pool.fresh
        numbers = range(self._taken, self._taken + fresh)
        self._taken += fresh
        own = {n: self._submitted.popleft().result() for n in numbers if self._group.makes(n % fresh)}
        return shared_clips(own, self._group)

    def _add(self, clip: Clip) -> None:
        self._clips.append(clip)
        if self._buffer is None:
            return
        if self._buffer.fits(clip):
            self._buffer.add(clip)
        else:
            logger.debug("clips differ in size: crops are cut on the CPU")
            self._buffer = None

    def _submit_for(self, step: int) -> None:
        """Submit the clips for some rounds after a step. Few at a time, since
        many would delay the training thread."""
        settings, pinned = self._recipe.pool, self._device.type == "cuda"
        end = (step + (1 + self._rounds_ahead) * settings.every) * settings.fresh // settings.every
        for clip in range(self._next, end):
            number, i = divmod(clip, settings.fresh)
            if not self._group.makes(i):
                continue
            order = self._workers.submit(_make, self._dataset, self._recipe, number, i, pinned=pinned)
            self._submitted.append(order)
        self._next = max(self._next, end)


def workers_for(device: torch.device, cores: int) -> int:
    """Return the number of threads that make clips by default; on the CPU, training needs the other cores."""
    return 1 if device.type == "cpu" else max(1, min(MAX_WORKERS, cores // 2))


def _chance(recipe: Recipe, step: int) -> random.Random:
    return random.Random(f"{recipe.seed}/batch/{step}")


def _filled_buffer(clips: deque[Clip], recipe: Recipe, device: torch.device) -> ClipBuffer | None:
    """Copy the clips to the GPU; None if they differ in size or need too much of its memory."""
    if buffer_bytes(clips[0], recipe) > MAX_BUFFER_SHARE * free_memory(device):
        logger.debug("clips stay in host memory: they need %.1f GB", buffer_bytes(clips[0], recipe) / 1e9)
        return None
    buffer = ClipBuffer(clips[0], recipe, device)
    if not all(buffer.fits(clip) for clip in clips):
        return None
    for clip in clips:
        buffer.add(clip)
    return buffer


def _make(dataset: Dataset, recipe: Recipe, number: int, i: int, *, pinned: bool) -> Clip:
    clip = make_clip(dataset, recipe, number, i)
    return _pinned(clip) if pinned else clip


def _pinned(clip: Clip) -> Clip:
    """Return the clip in pinned memory, from which a GPU copies asynchronously."""
    hr = clip.hr.pin_memory()
    plain = hr if clip.plain is clip.hr else clip.plain.pin_memory()
    return replace(clip, hr=hr, lr=clip.lr.pin_memory(), plain=plain)


def make_clip(dataset: Dataset, recipe: Recipe, number: int, i: int) -> Clip:
    """Make clip `i` of a round."""
    rng = random.Random(f"{recipe.seed}/clip/{number}/{i}")
    sample = part_for(dataset, number, i, recipe.pool.fresh).draw(rng)
    if sample.lr is not None:
        return pair_clip(sample.hr, sample.lr, recipe.pool.kept, rng)
    return degrade_clip(
        sample.hr, recipe.degrade, scale=recipe.scale, kept=recipe.pool.kept, rng=rng, shift=sample.shift
    )


def _workers(number: int) -> ThreadPoolExecutor:
    """Start workers whose torch calls use one thread each; the caller's number of threads stays the same."""
    threads = torch.get_num_threads()
    workers = ThreadPoolExecutor(number, "clips", initializer=torch.set_num_threads, initargs=(1,))
    for started in [workers.submit(int) for _ in range(number)]:
        started.result()
    torch.set_num_threads(threads)  # the workers' setting also changed the caller's (torch 2.13)
    return workers
