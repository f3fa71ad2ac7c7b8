"""Whether the Winograd F(4x4, 3x3) kernels can compute a graph here, and the graph in them.

They need the package `llvmlite`, and a CPU that multiplies and adds in one instruction. `llvmlite` is
imported when a graph is compiled, not before.
"""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from threading import Lock

import torch
from torch import Tensor

from vsr.kernels.conv_graph import ConvGraph
from vsr.kernels.winograd import limits

WINDOW = (4, 2, 4)
"""Output tiles of 4x4 pixels are computed at once. A pixel beside a tile depends on the tile's nearest row or
column, and a pixel inside it on all of it, if only by rounding: so influence spreads by four more pixels with
every second layer. At the right and at the bottom a window may end within a tile, up to three pixels of which
begin it."""
_KEPT = 4
"""Image sizes whose buffers are kept: whole frames and tiles."""


def is_measured() -> bool:
    """Whether the CPU is of a kind on which these kernels were measured to be faster than all others.

    On ARM they were tested in emulation only, which says nothing about speed.
    """
    return platform.machine() in ("x86_64", "AMD64") and available()


def is_measured_fastest(graph: ConvGraph, dtype: torch.dtype) -> bool:
    """Whether they were measured to be the fastest for such graphs on such CPUs."""
    return supports(graph, dtype) and is_measured()


@cache
def available() -> bool:
    """Whether `llvmlite` is installed, and the CPU has the instructions that the code uses."""
    if importlib.util.find_spec("llvmlite") is None:
        return False
    if platform.machine() in ("aarch64", "arm64"):
        return True
    from llvmlite import binding  # imported late: it takes 0.1 s

    return bool(binding.get_host_cpu_features().get("fma"))


def supports(graph: ConvGraph, dtype: torch.dtype) -> bool:
    """Whether `compile` takes a graph: float32, and what `limits.fits` says of its convolutions."""
    return dtype == torch.float32 and limits.fits(graph)


def compile(
    graph: ConvGraph, dtype: torch.dtype, device: torch.device, threads: int
) -> Callable[[Tensor], Tensor]:
    """Compile a graph that is supported; arguments as of `vsr.kernels.compile`.

    Returns:
        A function from `(N, C, H, W)` float32 on the host to `(N, 3, H * scale, W * scale)`; one call at a
        time computes.
    """
    from vsr.kernels.winograd import lowering, program

    pool, alone = ThreadPoolExecutor(threads, "vsr-winograd"), Lock()
    network = lowering.network(graph)

    @lru_cache(maxsize=_KEPT)
    def sized(height: int, width: int) -> program.Program:
        return program.Program(network, height, width, threads)

    @torch.inference_mode()
    def run(batch: Tensor) -> Tensor:
        height, width = batch.shape[-2:]
        sr = batch.new_empty(len(batch), 3, height * network.scale, width * network.scale)
        with alone:  # the buffers of a size belong to one program
            for image, result in zip(batch.contiguous(), sr, strict=True):
                sized(height, width)(image, result, pool)
        return sr

    return run
