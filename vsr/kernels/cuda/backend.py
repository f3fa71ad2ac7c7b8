"""The target `cuda` of `vsr.kernels`: whether it is available, which graphs it supports, and `compile`."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from vsr.kernels.conv_graph import ConvGraph
from vsr.kernels.cuda import halo, limits

_KEPT = 2
"""Batch shapes whose buffers are kept: full batches, and the last one of a clip."""
_MOST = 2**31
"""Least number of elements in a buffer that is too large for the kernel's 32-bit offsets."""


def available() -> bool:
    """Return whether the current device is a Hopper GPU, and the kernel compiles and loads."""
    return halo.available()


def supports(graph: ConvGraph, dtype: torch.dtype) -> bool:
    """Return whether `compile` takes a graph: bfloat16 or float16, and convolutions that `limits.fits`
    accepts.
    """
    return dtype in (torch.bfloat16, torch.float16) and limits.fits(graph)


def compile(
    graph: ConvGraph, dtype: torch.dtype, device: torch.device, threads: int
) -> Callable[[Tensor], Tensor | None]:
    """Compile a supported graph; the arguments are those of `vsr.kernels.compile`.

    Features have 16 bits and sums are float32. A sample of the image enters as two numbers of 16 bits, and
    the last convolution writes float32.

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
        except (RuntimeError, MemoryError):
            sized.cache_clear()  # frees the buffers of other shapes, in case memory ran out
            raise
        if own is None:
            return None
        return own(batch)

    return run
