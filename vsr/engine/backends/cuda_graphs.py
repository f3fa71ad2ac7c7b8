"""Batches replayed as CUDA graphs: one call starts all kernels.

It pays where kernels are short: small networks, small pictures.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from vsr.engine import device
from vsr.engine.backends.contract import Run

logger = logging.getLogger(__name__)

_KEPT = 2
"""Shapes of batches whose graphs are kept: whole ones, and a clip's last."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a run did, to be done again."""

    entry: Tensor
    """The batch lies here when it is replayed."""
    result: Tensor
    """And here what became of it."""
    replay: Callable[[], None]


def record(run: Run, example: Tensor) -> Recorded:
    """A CUDA graph of `run`, which was called with such a batch before.

    Only this thread may not wait for the card meanwhile; others copy pictures to and from it.
    """
    entry, graph = example.clone(), torch.cuda.CUDAGraph()
    stream = torch.cuda.Stream(example.device)  # torch's own is one of the card that it first recorded on
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        result = run(entry)
    return Recorded(entry, result, graph.replay)


def replayed(run: Run, recorder: Callable[[Run, Tensor], Recorded] = record) -> Run:
    """`run`, from the second batch of a shape on from a graph.

    The first batch goes through `run` itself: kernels are chosen and compiled then, which cannot be recorded.
    What cannot be recorded is run as it is, each time.

    Args:
        run: Starts the same kernels for every batch of a shape; the next run may write over its result.
        recorder: Makes the graph.
    """
    seen: set[tuple[int, ...]] = set()
    latest: list[Tensor] = []  # an example for the recorder; lru_cache's key is the shape alone

    @lru_cache(maxsize=_KEPT)
    def recorded(shape: tuple[int, ...]) -> Recorded | None:
        try:
            return recorder(run, latest[0])
        except RuntimeError as error:
            if device.is_lost(error) and not (device.is_out_of_memory(error) or "captur" in str(error)):
                raise  # "operation not permitted when stream is capturing" is called a CUDA error, too
            logger.warning("no CUDA graph for batches of %s: %s", shape, str(error).splitlines()[0])
            return None

    def again(batch: Tensor) -> Tensor:
        shape = tuple(batch.shape)
        if shape not in seen:
            seen.add(shape)
            return run(batch).clone()  # a run's result may be written over by the next
        latest[:] = [batch]
        graph = recorded(shape)
        latest.clear()
        if graph is None:
            return run(batch).clone()
        graph.entry.copy_(batch)
        graph.replay()
        return graph.result.clone()  # the next batch is written where this one lies

    @torch.inference_mode()
    def replay(batch: Tensor) -> Tensor:
        try:
            return again(batch)
        except (RuntimeError, MemoryError):
            recorded.cache_clear()  # where memory is short, what the graphs hold may be what is missing
            raise

    return replay
