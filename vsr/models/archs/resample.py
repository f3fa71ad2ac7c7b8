"""Bicubic and Lanczos filters with the interface of generators, and the resize of a generator's result.

Both are Pillow's filters: pixel centres are at half-integers, the kernel is widened for reduction, and its
weights are normalised at the borders.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Kind = Literal["bicubic", "lanczos"]

RADIUS = {"bicubic": 2, "lanczos": 3}
"""LR pixels that a kernel reaches to each side of its centre when enlarging."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResampleConfig:
    """A filter and its scale."""

    kind: Kind
    scale: Fraction
    """Output side over input side, any positive ratio; 1 is the identity."""


class Resample(nn.Module):
    """A filter with the interface of a generator; it has no weights."""

    scale: Fraction
    """Output side over input side; an output side is rounded down, as in FFmpeg."""
    receptive_radius: int
    """LR pixels on each side that an output pixel depends on."""
    multiple: int
    """LR pixels; tiles must start at multiples of it, where an output pixel begins as well."""

    def __init__(self, config: ResampleConfig) -> None:
        super().__init__()
        self.config = config
        self.scale = config.scale
        self.multiple = config.scale.denominator
        stretch = max(Fraction(1), 1 / config.scale)
        self.receptive_radius = math.ceil(RADIUS[config.kind] * stretch + Fraction(1, 2) * (stretch > 1))

    def forward(self, x: Tensor) -> Tensor:
        """Resize a batch `(N, 3, H, W)` of any float dtype; the result is not clipped; scale 1 returns x."""
        height, width = (math.floor(side * self.scale) for side in x.shape[-2:])
        return resize(x, height=max(height, 1), width=max(width, 1), kind=self.config.kind)


def resize(image: Tensor, *, height: int, width: int, kind: Kind = "bicubic") -> Tensor:
    """Resize to any size, with antialiasing for reduction; an axis whose size stays is not changed in any
    bit.

    `bicubic` is Keys' kernel with a = -0.5 (IEEE ASSP 29, 1981), as in MATLAB and Pillow; `lanczos` is
    sinc(x) sinc(x / 3), a = 3.

    Args:
        image: `(N, C, H, W)`, any float dtype and device.
        height: Of the result in pixels, at least 1.
        width: Of the result in pixels, at least 1.
        kind: The filter.

    Returns:
        `(N, C, height, width)` in image's dtype, computed in fp32, not clipped: kernels overshoot at edges.
    """
    if (height, width) == tuple(image.shape[-2:]):
        return image
    if kind == "bicubic":
        # torch's antialiased bicubic filter is Pillow's with a = -0.5; without antialias it has a = -0.75.
        size = (height, width)
        return F.interpolate(image.float(), size=size, mode="bicubic", antialias=True).to(image.dtype)
    return _lanczos(image.float(), height, width).to(image.dtype)


def _lanczos(image: Tensor, height: int, width: int) -> Tensor:
    """Resize in two passes that gather whole rows, which are memory copies; columns take five times as
    long."""
    channels_last = image.is_contiguous(memory_format=torch.channels_last) and not image.is_contiguous()
    result = _gather_rows(image.contiguous(), height)
    result = _gather_rows(result.mT.contiguous(), width).mT
    return result.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def _gather_rows(image: Tensor, rows: int) -> Tensor:
    if image.shape[-2] == rows:
        return image
    index, weight = (taps.to(image.device) for taps in _taps(image.shape[-2], rows))
    result = image.index_select(-2, index[0]).mul_(weight[0, :, None])
    for at, gain in zip(index[1:], weight[1:], strict=True):
        result.addcmul_(image.index_select(-2, at), gain[:, None])
    return result


def _taps(before: int, after: int) -> tuple[Tensor, Tensor]:
    """Return the taps of each output sample along an axis.

    Returns:
        Indices (int64) and weights (fp32) of input samples, both `(taps, after)`; the weights of a column add
        up to 1.
    """
    ratio = before / after
    stretch = max(1.0, ratio)
    reach = RADIUS["lanczos"] * stretch
    centre = (torch.arange(after, dtype=torch.float64) + 0.5) * ratio
    first = (centre - reach + 0.5).floor()
    index = first + torch.arange(math.ceil(2 * reach) + 1, dtype=torch.float64)[:, None]
    distance = (index + 0.5 - centre) / stretch
    weight = torch.sinc(distance) * torch.sinc(distance / RADIUS["lanczos"])
    inside = (distance.abs() < RADIUS["lanczos"]) & (index >= 0) & (index < before)
    weight = torch.where(inside, weight, 0.0)
    return index.clamp(0, before - 1).long(), (weight / weight.sum(0)).float()
