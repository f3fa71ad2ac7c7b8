"""The protocol of super-resolution papers: test images, LR made like MATLAB's `imresize`, PSNR and SSIM of
Y."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.color.spec import Matrix
from vsr.errors import InputError
from vsr.media.files.opening import shown
from vsr.media.pictures.kinds import is_picture
from vsr.media.pictures.reading import read_picture, shown_image
from vsr.metrics import psnr_y, ssim_y
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
_LEAST_CODED = 64  # pixels: x265 and SVT-AV1 code no smaller side


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test image."""

    name: str
    lr: Tensor
    """`(3, H, W)` float32 R'G'B', [0, 1]."""
    hr: Tensor
    """`(3, H * scale, W * scale)`, as above."""


def cases_of(folder: Path, scale: int, coding: str) -> list[Case]:
    """Read a folder of test images: `xN/HR` and `xN/LR`, `HR` and `LR`, or images from which LR is made.

    Raises:
        InputError: it has no images, or HR and LR do not fit.
    """
    base = folder / f"x{scale}" if (folder / f"x{scale}").is_dir() else folder
    high, low = (base / "HR", base / "LR") if (base / "HR").is_dir() else (base, None)
    paths = sorted(path for path in high.iterdir() if is_picture(path)) if high.is_dir() else []
    if not paths:
        raise InputError(f"{shown(high)}: has no images; name a folder with PNG or other images")
    return [_case(path, low, scale, CODINGS[coding]) for path in paths]


def _case(path: Path, low: Path | None, scale: int, coding: Coding | None) -> Case:
    hr = _read(path)
    height, width = (side // scale * scale for side in hr.shape[-2:])
    hr = hr[:, :height, :width]
    size = (height // scale, width // scale)
    given = None if low is None else low / path.name
    lr = _read(given) if given is not None and given.is_file() else reduced(hr, scale)
    if tuple(lr.shape[-2:]) != size or min(size) < 1:
        raise InputError(f"{shown(path)}: HR of {width}x{height} pixels and LR do not fit at scale {scale}")
    return Case(name=path.name, lr=lr if coding is None else coded(lr, coding), hr=hr)


def coded(lr: Tensor, coding: Coding) -> Tensor:
    """Return an image `(3, H, W)` coded as a video of one frame; borders are repeated where sides are odd or
    too small for an encoder, and cut off again.
    """
    height, width = lr.shape[-2:]
    down, right = (max(_LEAST_CODED, side + side % 2) - side for side in (height, width))
    padded = F.pad(lr[None], (0, right, 0, down), mode="replicate")
    found = transcode((padded * 255).round().to(torch.uint8), coding)[0]
    return found[:, :height, :width].clamp(0, 1).contiguous()


def _read(path: Path) -> Tensor:
    """Return an image rounded to 8 bits, as papers read it."""
    return (shown_image(read_picture(path)).clamp(0, 1) * 255).round() / 255


def measured(image: Tensor, hr: Tensor, *, border: int) -> tuple[float, float]:
    """Return Y-PSNR and SSIM of a result, rounded to 8 bits first."""
    image = (image.to(torch.float32).clamp(0, 1) * 255).round() / 255
    return psnr_y(image, hr, border=border), ssim_y(image, hr, border=border)


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
