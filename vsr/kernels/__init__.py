"""Kernels that this package writes itself: for CPUs through LLVM, and for CUDA devices in CUDA C++.

The rest of the package needs a few functions, which take a `ConvGraph` and one of `TARGETS`. Behind them a
newcomer need not look: `conv_graph` describes networks, `llvm`, `openmp` and `nvrtc` compile and call code,
`winograd`, `amx` and `cuda` compute networks, `prelu_gradient` serves training. Nothing here imports the rest
of the package but its disk cache, and everything else works, more slowly, where this folder is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vsr.kernels.conv_graph import ConvGraph

Target = Literal["winograd", "amx", "cuda"]
"""`winograd` computes 3x3 convolutions on CPUs in float32 with a quarter of the multiplications, `amx` those
of CPUs with matrix units in bfloat16, `cuda` those of CUDA devices in 16 bits."""

TARGETS: tuple[Target, ...] = ("winograd", "amx", "cuda")


def available(target: Target) -> bool:
    """Whether the hardware and the packages that a target needs are here."""
    return bool(_backend(target).available())


def supports(graph: ConvGraph, target: Target, dtype: torch.dtype) -> bool:
    """Whether a target computes a graph with features of a dtype; says nothing about the hardware."""
    return bool(_backend(target).supports(graph, dtype))


def is_measured_fastest(graph: ConvGraph, target: Target, dtype: torch.dtype) -> bool:
    """Whether the target is available here and was measured to be the fastest for such graphs on such
    hardware."""
    return bool(_backend(target).is_measured_fastest(graph, dtype))


def window(target: Target) -> tuple[int, int, int]:
    """Return how windows must lie in an image so that their results, off the inner edges, are the whole's to
    the bit.

    Returns:
        The grid in pixels on which a window begins; by how many pixels each convolution carries the influence
        of an edge further; and how many pixels come on top of that.
    """
    return getattr(_backend(target), "WINDOW", (1, 1, 0))


def compile(
    graph: ConvGraph, target: Target, dtype: torch.dtype, device: torch.device, threads: int
) -> Callable[[Tensor], Tensor | None]:
    """Compile a graph for a target that is available and supports it.

    Args:
        dtype: Of the features.
        device: Where the batches are that the result is called with.
        threads: How many CPU threads compute at once.

    Returns:
        A function from `(N, C, H, W)` float32 on the device to `(N, 3, H * scale, W * scale)` float32, which
        a later call may overwrite; or to None for a batch whose shape the target does not take.
    """
    return _backend(target).compile(graph, dtype, device, threads)


def _backend(target: Target) -> Any:
    from importlib import import_module

    return import_module(f"vsr.kernels.{target}.backend")
