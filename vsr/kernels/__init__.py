"""Kernels of this package: for CPUs through LLVM, and for CUDA devices in CUDA C++.

The rest of the package uses the functions in this file, which take a `ConvGraph` and one of `TARGETS`. The
other files are their implementation: `conv_graph` describes networks; `llvm`, `openmp`, `thread_pool` and
`nvrtc` compile and call code; `winograd`, `amx` and `cuda` compute networks; `color` converts colours;
`prelu_gradient` serves training. Nothing here imports the rest of the package except its disk cache.
Everything else works, more slowly, where this folder is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vsr.kernels.conv_graph import ConvGraph

Target = Literal["winograd", "amx", "cuda"]
"""`winograd` computes on CPUs in float32 with a quarter of the multiplications, `amx` on CPUs with matrix
units in bfloat16, `cuda` on CUDA devices in 16 bits."""

TARGETS: tuple[Target, ...] = ("winograd", "amx", "cuda")


def available(target: Target) -> bool:
    """Return whether this machine has the hardware and the packages that a target needs."""
    return bool(_backend(target).available())


def supports(graph: ConvGraph, target: Target, dtype: torch.dtype) -> bool:
    """Return whether a target can compute a graph with features of a dtype, whatever the hardware."""
    return bool(_backend(target).supports(graph, dtype))


def is_measured_fastest(graph: ConvGraph, target: Target, dtype: torch.dtype) -> bool:
    """Return whether a target is available here and was measured to be the fastest for such graphs on such
    hardware (docs/benchmarks.md): for `amx` and `cuda` wherever they are available.
    """
    backend = _backend(target)
    return supports(graph, target, dtype) and bool(getattr(backend, "is_measured", backend.available)())


def window(target: Target) -> tuple[int, int, int]:
    """Return which windows of an image have results, away from their inner edges, with the same bits as those
    of the whole image.

    Returns:
        The grid in pixels on which a window must begin; by how many pixels each convolution extends the
        influence of an edge; and a number of pixels to add to that.
    """
    return getattr(_backend(target), "WINDOW", (1, 1, 0))


def compile(
    graph: ConvGraph, target: Target, dtype: torch.dtype, device: torch.device, threads: int
) -> Callable[[Tensor], Tensor | None]:
    """Compile a graph for a target that is available and supports it.

    Args:
        dtype: Of the features.
        device: Of the batches that the result is called with.
        threads: CPU threads that compute at once.

    Returns:
        A function from `(N, C, H, W)` float32 on the device to `(N, 3, H * scale, W * scale)` float32. A
        later call may overwrite the result. It is None for a batch whose shape the target does not support.
    """
    return _backend(target).compile(graph, dtype, device, threads)


def _backend(target: Target) -> Any:
    from importlib import import_module

    return import_module(f"vsr.kernels.{target}.backend")
