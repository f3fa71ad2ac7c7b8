"""Whether the CUDA kernels can compute a graph here, and the graph in them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache, lru_cache

import torch
from torch import Tensor

from vsr.kernels.conv_graph import ConvGraph, shuffled_on
from vsr.kernels.cuda import halo, limits

_KEPT = 2
"""Batch shapes whose buffers are kept: whole batches, and the last one of a clip."""
_MOST = 2**31
"""Elements that a kernel can count in a buffer."""


@cache
def available() -> bool:
    """Whether there is a CUDA device of compute capability 8.0 or later, and Triton to write code for it."""
    if importlib.util.find_spec("triton") is None or not torch.cuda.is_available():
        return False
    return torch.cuda.get_device_capability()[0] >= 8


def supports(graph: ConvGraph, dtype: torch.dtype) -> bool:
    """Whether `compile` takes a graph: in 16 bits, and what `limits.fits` says of its convolutions."""
    return dtype in (torch.bfloat16, torch.float16) and limits.fits(graph)


def is_measured_fastest(graph: ConvGraph, dtype: torch.dtype) -> bool:
    """Whether the device and the graph are of a kind for which these kernels were measured to be the fastest:
    Hopper, and features whose channels suit its own kernel (docs/benchmarks.md)."""
    if not (supports(graph, dtype) and available() and halo.available()):
        return False
    return all(conv.channels % halo.CHUNK == 0 for conv in graph.convs[:-1])


def compile(
    graph: ConvGraph, dtype: torch.dtype, device: torch.device, threads: int
) -> Callable[[Tensor], Tensor | None]:
    """Compile a graph that is supported; arguments as of `vsr.kernels.compile`.

    Features are 16 bits and sums float32. The image goes in as two numbers of 16 bits a sample, and the last
    convolution gives float32.

    Returns:
        A function from `(N, C, H, W)` float32 to `(N, 3, H * scale, W * scale)` float32, which the next call
        may overwrite, or to None for batches whose buffers have too many elements.
    """
    from vsr.kernels.cuda import lowering, program

    build = lowering.build(graph, device=device, dtype=dtype)

    @lru_cache(maxsize=_KEPT)
    def sized(shape: program.Shape) -> program.Program | None:
        return build(shape) if program.elements(build, shape) < _MOST else None

    @torch.inference_mode()
    def run(batch: Tensor) -> Tensor | None:
        images, _, height, width = batch.shape
        try:
            own = sized(program.Shape(images, height, width, device, dtype))
        except (RuntimeError, MemoryError):  # where memory is short, other shapes may hold what is missing
            sized.cache_clear()
            raise
        if own is None:
            return None
        found = own(batch)
        if graph.adds_image and own.picture is None:
            return shuffled_on(batch, found, graph.scale)
        return found

    return run
