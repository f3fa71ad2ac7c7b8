"""Whether the AMX kernels can compute a graph here, and the graph in them.

They need a CPU with AMX in bfloat16 (Intel's Xeon since 2023) under Linux, and the package `llvmlite`, which
is imported when a graph is compiled, not before.
"""

from __future__ import annotations

import ctypes
import importlib.util
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from threading import Lock

import torch
from torch import Tensor

from vsr.kernels.amx import limits
from vsr.kernels.conv_graph import ConvGraph

_KEPT = 4
"""Image sizes whose buffers are kept: whole frames and tiles."""
_FEATURES = {"amx-tile", "amx-bf16", "avx512bf16", "avx512f"}
_ARCH_PRCTL = 158  # number of the call on x86-64
_ASK_FOR_FEATURE = 0x1023  # ARCH_REQ_XCOMP_PERM
_TILE_DATA = 18  # XFEATURE_XTILEDATA; Linux, Documentation/arch/x86/xstate.rst


@cache
def available() -> bool:
    """Whether this process may use AMX, and `llvmlite` is installed to write code for it."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return False
    if importlib.util.find_spec("llvmlite") is None:
        return False
    from llvmlite import binding  # not before it is wanted: 0.1 s

    found = {name for name, there in binding.get_host_cpu_features().items() if there}
    return found >= _FEATURES and _is_permitted()


def _is_permitted() -> bool:
    """Ask the kernel for the tiles' registers; it gives them to all threads of the process, or to none."""
    return ctypes.CDLL(None).syscall(_ARCH_PRCTL, _ASK_FOR_FEATURE, _TILE_DATA) == 0


def supports(graph: ConvGraph, dtype: torch.dtype) -> bool:
    """Whether `compile` takes a graph: bfloat16, and what `limits.fits` says of its convolutions."""
    return dtype == torch.bfloat16 and limits.fits(graph)


def is_measured_fastest(graph: ConvGraph, dtype: torch.dtype) -> bool:
    """Whether they were measured to be the fastest: wherever they are available (docs/benchmarks.md)."""
    return supports(graph, dtype) and available()


def compile(
    graph: ConvGraph, dtype: torch.dtype, device: torch.device, threads: int
) -> Callable[[Tensor], Tensor | None]:
    """Compile a graph that is supported; arguments as of `vsr.kernels.compile`.

    Features are bfloat16 and sums float32. The image goes in with 16 bits of mantissa, and what is added in
    the last step is float32.

    Returns:
        A function from `(N, C, H, W)` float32 on the host to `(N, 3, H * scale, W * scale)`, or to None for
        images that are narrower than 32 pixels; one call at a time computes.
    """
    from vsr.kernels.amx import convolution, lowering, program

    pool, alone = ThreadPoolExecutor(threads, "vsr-amx"), Lock()
    network = lowering.network(graph)

    @lru_cache(maxsize=_KEPT)
    def sized(height: int, width: int) -> program.Program:
        return program.Program(network, height, width, threads)

    @torch.inference_mode()
    def run(batch: Tensor) -> Tensor | None:
        height, width = batch.shape[-2:]
        if width < convolution.PIXELS:
            return None
        sr = batch.new_empty(len(batch), 3, height * network.scale, width * network.scale)
        with alone:  # the buffers of a size belong to one program
            for image, result in zip(batch.contiguous(), sr, strict=True):
                sized(height, width)(image, result, pool)
        return sr

    return run
