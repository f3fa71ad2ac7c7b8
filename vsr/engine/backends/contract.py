"""What `select` asks of a backend: what it runs, whether it is available, how it compiles a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from vsr.settings.schema import Backend

Run = Callable[[Tensor], Tensor]
"""`(N, 3, H, W)` float32 on the device to `(N, 3, H * scale, W * scale)` float32, under inference_mode."""


@dataclass(frozen=True, slots=True)
class Window:
    """Which windows of an image have results, away from their inner edges, with the same bits as those of the
    whole image.

    If a kernel computes several pixels together, the rounding of each depends on the sources of all of them.
    """

    grid: int = 1
    """LR pixels; a window must begin at multiples of it."""
    reach: int = 1
    """LR pixels by which each convolution extends the influence of an edge."""
    more: int = 0
    """LR pixels to add to that."""


def _never(network: nn.Module, dtype: torch.dtype) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSpec:
    """The facts of a backend. The functions take a network in eval mode, float32, on the host."""

    name: Backend
    device: Literal["cpu", "cuda", "any"]
    supports: Callable[[nn.Module, torch.dtype], bool]
    """Whether it computes such a network in a number format; says nothing about the machine."""
    available: Callable[[], bool]
    """Whether this machine has the hardware and the packages that it needs."""
    compiled: Callable[[nn.Module, torch.dtype, torch.device], Run]
    """Only for a network that it supports, where it is available."""
    takes: str
    """The networks that it supports, in words."""
    needs: str
    """The hardware and packages, in words."""
    extra: str = ""
    """The extra of the package that installs what it needs; empty where there is none."""
    best_dtypes: tuple[torch.dtype, ...] = ()
    """The formats that `--precision auto` takes for it, the best first; empty: those of the device."""
    is_measured_fastest: Callable[[nn.Module, torch.dtype], bool] = _never
    """Whether it is available and was measured to be the fastest here; `auto` takes it without a trial."""
    in_trial: bool = False
    """Whether `auto` tries it where nothing was measured to be the fastest."""
    supports_int8: Callable[[nn.Module, torch.dtype], bool] = _never
    compiled_int8: Callable[[nn.Module, torch.dtype], Run] | None = None
    """Convolutions with 8-bit integers; the format is that of the layers that stay as they are."""
    window: Callable[[], Window] = Window
