"""Runs of a backend replayed as CUDA graphs: one call starts all kernels.

This saves time where kernels are short: for small networks and small images.
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
"""Batch shapes whose graphs are kept: full batches, and the last one of a clip."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded run with its input and output."""

    batch: Tensor
    """Replay reads the batch from here."""
    result: Tensor
    """Replay writes the result here."""
    replay: Callable[[], None]


def record(run: Run, example: Tensor) -> Recorded:
    """Record a CUDA graph of `run`, which must have been called with a batch of this shape before.

    During the recording only this thread must not wait for the GPU; others may copy frames to and from it.
    """
    batch, graph = example.clone(), torch.cuda.CUDAGraph()
    # A stream of this GPU: torch's default for recording belongs to the GPU that it first recorded on.
    stream = torch.cuda.Stream(example.device)
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        result = run(batch)
    return Recorded(batch, result, graph.replay)


def replayed(run: Run, recorder: Callable[[Run, Tensor], Recorded] = record) -> Run:
    """Return a run that replays a CUDA graph from the second batch of a shape on.

    The first batch calls `run` itself, because kernels are selected and compiled then, which cannot be
    recorded. If recording fails, `run` is called for each batch.

    Args:
        run: Starts the same kernels for every batch of a shape; the next call may overwrite its result.
        recorder: Records the graph.
    """
    seen: set[tuple[int, ...]] = set()
    latest: list[Tensor] = []  # an example for the recorder, because the key of the cache is only the shape

    @lru_cache(maxsize=_KEPT)
    def recorded(shape: tuple[int, ...]) -> Recorded | None:
        try:
            return recorder(run, latest[0])
        except RuntimeError as error:
            if device.is_lost(error) and not (device.is_out_of_memory(error) or "captur" in str(error)):
                raise  # "operation not permitted when stream is capturing" is a CUDA error, too
            logger.warning("no CUDA graph for batches of %s: %s", shape, str(error).splitlines()[0])
            return None

    def again(batch: Tensor) -> Tensor:
        shape = tuple(batch.shape)
        if shape not in seen:
            seen.add(shape)
            return run(batch).clone()  # the next run may overwrite the result
        latest[:] = [batch]
        graph = recorded(shape)
        latest.clear()
        if graph is None:
            return run(batch).clone()
        graph.batch.copy_(batch)
        graph.replay()
        return graph.result.clone()  # the next replay overwrites the result

    @torch.inference_mode()
    def replay(batch: Tensor) -> Tensor:
        try:
            return again(batch)
        except (RuntimeError, MemoryError):
            recorded.cache_clear()  # frees the memory of the graphs, in case memory ran out
            raise

    return replay
