"""The target `winograd` of `vsr.kernels`: whether it is available, which graphs it supports, and `compile`.

The kernels need the package `llvmlite`, and a CPU with fused multiply-add. `llvmlite` is imported when a
graph is compiled, not before.
"""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from vsr.kernels.conv_graph import ConvGraph
from vsr.kernels.thread_pool import run_images
from vsr.kernels.winograd import limits

WINDOW = (4, 2, 4)
"""Output tiles of 4x4 pixels are computed at once. A pixel beside a tile depends on the tile's nearest row or
column, and a pixel inside it on all of it, if only by rounding: so influence spreads by four more pixels with
every second layer. At the right and at the bottom a window may end within a tile, up to three pixels after
its begin."""


def is_measured() -> bool:
    """Return whether the CPU is of a kind on which these kernels were measured to be faster than all others.

    On ARM they were tested in emulation only, which says nothing about speed.
    """
    return platform.machine() in ("x86_64", "AMD64") and available()


@cache
def available() -> bool:
    """Return whether `llvmlite` is installed, and the CPU has the instructions that the code uses."""
    if importlib.util.find_spec("llvmlite") is None:
        return False
    if platform.machine() in ("aarch64", "arm64"):
        return True
    from llvmlite import binding  # imported late: it takes 0.1 s

    return bool(binding.get_host_cpu_features().get("fma"))


def supports(graph: ConvGraph, dtype: torch.dtype) -> bool:
    """Return whether `compile` takes a graph: float32, and convolutions that `limits.fits` accepts."""
    return dtype == torch.float32 and limits.fits(graph)


def compile(
    graph: ConvGraph, dtype: torch.dtype, device: torch.device, threads: int
) -> Callable[[Tensor], Tensor]:
    """Compile a supported graph; the arguments are those of `vsr.kernels.compile`.

    Returns:
        A function from `(N, C, H, W)` float32 on the host to `(N, 3, H * scale, W * scale)`; calls from
        several threads wait for each other.
    """
    from vsr.kernels.winograd import lowering, program

    network = lowering.network(graph)
    return run_images(
        lambda height, width: program.Program(network, height, width, threads),
        scale=network.scale,
        threads=threads,
        name="vsr-winograd",
    )
