"""The interface of a backend: what it supports, whether it is available, and how it compiles a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from vsr.settings.schema import Backend

Run = Callable[[Tensor], Tensor]
"""Maps `(N, 3, H, W)` float32 on the device to `(N, 3, H * scale, W * scale)` float32, under
inference_mode."""


@dataclass(frozen=True, slots=True)
class Window:
    """The windows of an image whose results, away from their inner edges, are bit-identical to the same
    pixels of the whole image's result.

    If a kernel computes several pixels together, the rounding of each depends on the inputs of all of them.
    """

    grid: int = 1
    """A window must begin at a multiple of this number of LR pixels."""
    reach: int = 1
    """LR pixels by which each convolution extends the influence of an edge."""
    more: int = 0
    """LR pixels to add to the `reach` of all convolutions together."""


def _never(network: nn.Module, dtype: torch.dtype) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSpec:
    """The facts of a backend. The functions take a network in eval mode, float32, on the host."""

    name: Backend
    device: Literal["cpu", "cuda", "any"]
    supports: Callable[[nn.Module, torch.dtype], bool]
    """Whether it supports a network in a number format, on any machine."""
    available: Callable[[], bool]
    """Whether this machine has the hardware and the packages that it needs."""
    compiled: Callable[[nn.Module, torch.dtype, torch.device], Run]
    """Compiles a network. The backend must be available and support the network."""
    takes: str
    """The networks that it supports, as text."""
    needs: str
    """The hardware and packages that it needs, as text."""
    extra: str = ""
    """The extra of this package that installs what it needs; empty if there is none."""
    best_dtypes: tuple[torch.dtype, ...] = ()
    """The number formats that `--precision auto` takes, the best first; if empty, those of the device."""
    is_measured_fastest: Callable[[nn.Module, torch.dtype], bool] = _never
    """Whether it is available and was measured to be the fastest on such hardware; `auto` then needs no
    trial."""
    in_trial: bool = False
    """Whether `auto` includes it in a trial if no backend was measured to be the fastest."""
    supports_int8: Callable[[nn.Module, torch.dtype], bool] = _never
    compiled_int8: Callable[[nn.Module, torch.dtype], Run] | None = None
    """Compiles a network whose convolutions use 8-bit integers; the dtype is that of the other layers."""
    window: Callable[[], Window] = Window
