"""The protocol of super-resolution papers: LR made like MATLAB's `imresize`, and coded by real encoders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.color.spec import Matrix
from vsr.report.evaluate.sets import clips_of
from vsr.training.degrade.codec import Coding, transcode

CODINGS: dict[str, Coding | None] = {
    "clean": None,
    **{
        f"x264-{crf}": Coding(encoder="libx264", quality=crf, preset="medium", matrix=Matrix.SMPTE170M)
        for crf in (18, 23, 28, 33)
    },
    "hevc-28": Coding(encoder="libx265", quality=28, preset="medium", matrix=Matrix.SMPTE170M),
    "mpeg2-4": Coding(encoder="mpeg2video", quality=4, preset="", matrix=Matrix.SMPTE170M),
    "av1-35": Coding(encoder="libsvtav1", quality=35, preset="8", matrix=Matrix.SMPTE170M),
}
"""How LR is coded: the encoder with its CRF, or the quantiser scale of MPEG-2; None is not at all."""
FRAMES = 16
"""Frames of a clip that are measured, unless another number is given."""
_LEAST_CODED = 64  # pixels: x265 and SVT-AV1 code no smaller side


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One still image or clip, as a model gets it."""

    name: str
    lr: Tensor
    """`(T, 3, H, W)` float32 R'G'B', [0, 1]."""
    hr: Tensor
    """`(T, 3, H * scale, W * scale)` uint8."""
    frame_rate: Fraction | None
    """Frames a second; None for a still image."""


def cases_of(folder: Path, scale: int, coding: str, *, frames: int = FRAMES) -> Iterator[Case]:
    """Read the images and clips of a test set, and make LR from those that have none; see `sets.clips_of`.

    Raises:
        InputError: there are none, one cannot be read, or HR and LR do not fit.
    """
    how = CODINGS[coding]
    for clip in clips_of(folder, scale, frames=frames):
        lr = torch.stack([reduced(hr, scale) for hr in clip.hr / 255]) if clip.lr is None else clip.lr / 255
        lr = lr if how is None else coded(lr, how)
        yield Case(name=clip.name, lr=lr, hr=clip.hr, frame_rate=clip.frame_rate)


def coded(lr: Tensor, coding: Coding) -> Tensor:
    """Return frames `(T, 3, H, W)` coded as a video; borders are repeated where sides are odd or too small
    for an encoder, and cut off again.
    """
    height, width = lr.shape[-2:]
    down, right = (max(_LEAST_CODED, side + side % 2) - side for side in (height, width))
    padded = F.pad(lr, (0, right, 0, down), mode="replicate")
    found = transcode((padded * 255).round().to(torch.uint8), coding)
    return found[..., :height, :width].clamp(0, 1).contiguous()


def reduced(hr: Tensor, scale: int) -> Tensor:
    """Downscale like MATLAB's `imresize(hr, 1 / scale)`: antialiased bicubic (a = -0.5), mirrored borders.

    Args:
        hr: `(3, H, W)`, [0, 1], sides that are multiples of `scale`.
        scale: HR side over LR side.

    Returns:
        `(3, H / scale, W / scale)` float32, rounded to 8 bits.
    """
    rows, columns = (_weights(side, scale) for side in hr.shape[-2:])
    return ((rows @ hr.to(torch.float64) @ columns.T).clamp(0, 1) * 255).round().to(torch.float32) / 255


def _weights(side: int, scale: int) -> Tensor:
    """Return the matrix `(side / scale, side)` that downscales one axis."""
    centers = (torch.arange(side // scale, dtype=torch.float64) + 0.5) * scale - 0.5
    taps = torch.arange(-2 * scale - 1, 2 * scale + 2)
    at = centers.floor().long()[:, None] + taps
    weights = _cubic((at - centers[:, None]) / scale)
    weights = weights / weights.sum(1, keepdim=True)
    mirrored = at.remainder(2 * side)
    mirrored = torch.minimum(mirrored, 2 * side - 1 - mirrored)
    return torch.zeros(side // scale, side, dtype=torch.float64).scatter_add_(1, mirrored, weights)


def _cubic(x: Tensor) -> Tensor:
    """Return Keys' cubic kernel with a = -0.5."""
    x = x.abs()
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0.0))
