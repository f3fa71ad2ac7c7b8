"""Batches of images on a thread pool: one image after the other, its work items at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from threading import Lock
from typing import Any

import torch
from torch import Tensor

_KEPT = 4
"""Image sizes whose buffers are kept: whole frames and tiles."""

Program = Callable[[Tensor, Tensor, ThreadPoolExecutor], None]
"""Fills `(3, H * scale, W * scale)` from `(C, H, W)`, both float32 and contiguous, on a pool."""


def run_images(
    program_for: Callable[[int, int], Program], *, scale: int, threads: int, name: str
) -> Callable[[Tensor], Tensor]:
    """Return a function that computes the images of a batch one after the other.

    Args:
        program_for: Makes the program for images of a height and a width; the last few programs are kept.
        scale: Side of the result over the side of the image.
        threads: Threads of the pool.
        name: Prefix of their names.

    Returns:
        A function from `(N, C, H, W)` float32 on the host to `(N, 3, H * scale, W * scale)`. Calls from
        several threads wait for each other.
    """
    pool, lock = ThreadPoolExecutor(threads, name), Lock()
    sized = lru_cache(maxsize=_KEPT)(program_for)

    @torch.inference_mode()
    def run(batch: Tensor) -> Tensor:
        height, width = batch.shape[-2:]
        sr = batch.new_empty(len(batch), 3, height * scale, width * scale)
        with lock:  # a program has one set of buffers
            for image, result in zip(batch.contiguous(), sr, strict=True):
                sized(height, width)(image, result, pool)
        return sr

    return run


def run_items(
    pool: ThreadPoolExecutor, function: Callable[..., None], items: Iterable[Any], *held: Any
) -> None:
    """Call `function(item, *held)` for each work item on the pool and wait for all calls.

    Also an interrupted caller waits until all calls have ended: the next one must not find the buffers in
    use.

    Args:
        held: Tensors that a call reads or writes; a queued call keeps them alive.
    """
    calls = [pool.submit(function, item, *held) for item in items]
    try:
        for call in calls:
            call.result()
    finally:
        wait(calls)
