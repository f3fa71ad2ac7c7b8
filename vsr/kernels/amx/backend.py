"""The target `amx` of `vsr.kernels`: whether it is available, which graphs it supports, and `compile`.

The kernels need a CPU with AMX for bfloat16 (Intel's Xeon since 2023), Linux, and the package `llvmlite`,
which is imported when a graph is compiled, not before.
"""

from __future__ import annotations

import ctypes
import importlib.util
import platform
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from vsr.kernels.amx import limits
from vsr.kernels.conv_graph import ConvGraph
from vsr.kernels.thread_pool import run_images

_FEATURES = {"amx-tile", "amx-bf16", "avx512bf16", "avx512f"}
_ARCH_PRCTL = 158  # number of the system call on x86-64
_ASK_FOR_FEATURE = 0x1023  # ARCH_REQ_XCOMP_PERM
_TILE_DATA = 18  # XFEATURE_XTILEDATA; Linux, Documentation/arch/x86/xstate.rst


@cache
def available() -> bool:
    """Return whether this process may use AMX, and `llvmlite` is installed."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return False
    if importlib.util.find_spec("llvmlite") is None:
        return False
    from llvmlite import binding  # imported late: it takes 0.1 s

    found = {name for name, present in binding.get_host_cpu_features().items() if present}
    return found >= _FEATURES and _is_permitted()


def _is_permitted() -> bool:
    """Ask the kernel for permission to use tile registers, which holds for all threads of the process."""
    return ctypes.CDLL(None).syscall(_ARCH_PRCTL, _ASK_FOR_FEATURE, _TILE_DATA) == 0


def supports(graph: ConvGraph, dtype: torch.dtype) -> bool:
    """Return whether `compile` takes a graph: bfloat16, and convolutions that `limits.fits` accepts."""
    return dtype == torch.bfloat16 and limits.fits(graph)


def compile(
    graph: ConvGraph, dtype: torch.dtype, device: torch.device, threads: int
) -> Callable[[Tensor], Tensor | None]:
    """Compile a supported graph; the arguments are those of `vsr.kernels.compile`.

    Features are bfloat16 and sums are float32. A sample of the image enters as two bfloat16 numbers, which
    keep 16 bits of mantissa, and the addition of the image in the last layer is float32.

    Returns:
        A function from `(N, C, H, W)` float32 on the host to `(N, 3, H * scale, W * scale)`, or to None for
        images that are narrower than 32 pixels; calls from several threads wait for each other.
    """
    from vsr.kernels.amx import convolution, lowering, program

    network = lowering.network(graph)
    run = run_images(
        lambda height, width: program.Program(network, height, width, threads),
        scale=network.scale,
        threads=threads,
        name="vsr-amx",
    )
    return lambda batch: None if batch.shape[-1] < convolution.PIXELS else run(batch)
