"""Single degradations of batches: blur, resize, noise, JPEG.

Random numbers come from a `torch.Generator` on the pictures' device, so that the same seed gives the same
result. The results of noise, sharpening and JPEG are clipped to [0, 1]; blurring and resizing may overshoot.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from kornia import enhance
from kornia.filters import filter2d
from torch import Tensor

from vsr.color.convert import to_planes, to_rgb
from vsr.color.spec import ChromaLocation, ColorSpec, Matrix, Primaries, Range, Transfer
from vsr.frame import Stamp, YuvFrame
from vsr.media.pixels.planes import to_av_frame
from vsr.media.pixels.planes import to_planes as planes_of
from vsr.training.degrade.codec import LAYOUT, open_codec
from vsr.training.degrade.degradation import JpegMode, Mode, Sharpen

GREY = (0.299, 0.587, 0.114)
"""Luma of BT.601, by which noise and saturation tell grey."""
LOBES = 3
"""Of the Lanczos filter, as PIL has it."""
_JFIF = ColorSpec(
    matrix=Matrix.SMPTE170M,
    transfer=Transfer.SMPTE170M,
    primaries=Primaries.SMPTE170M,
    range=Range.FULL,
    chroma_location=ChromaLocation.CENTER,
)
_STAMP = Stamp(index=0, pts=0, duration=1, time_base=Fraction(1))


def blur(images: Tensor, kernels: Tensor) -> Tensor:
    """Filter each picture with its kernel `(N, k, k)`; the border is mirrored, or repeated in tiny
    pictures."""
    tiny = min(images.shape[-2:]) <= kernels.shape[-1] // 2
    return filter2d(images, kernels.to(images), border_type="replicate" if tiny else "reflect")


def resize(images: Tensor, size: tuple[int, int], mode: Mode, *, antialias: bool) -> Tensor:
    """Change the size to (H, W).

    Args:
        images: As everywhere here.
        size: New height and width in pixels.
        mode: `area` averages, `lanczos` has three lobes and always filters before it reduces.
        antialias: Whether `bilinear` and `bicubic` filter before they reduce; bicubic then has a = -0.5, else
            -0.75.
    """
    if mode == "lanczos":
        rows, columns = (lanczos(old, new) for old, new in zip(images.shape[-2:], size, strict=True))
        return rows.to(images) @ images @ columns.to(images).mT
    if mode == "area":
        return F.interpolate(images, size=size, mode="area")
    return F.interpolate(images, size=size, mode=mode, antialias=antialias)


def lanczos(old: int, new: int) -> Tensor:
    """Weights `(new, old)` of Lanczos-3 interpolation, widened for reduction and cut off at the border."""
    step = old / new
    width = max(step, 1.0)
    centres = (torch.arange(new, dtype=torch.float64) + 0.5) * step - 0.5
    x = (torch.arange(old, dtype=torch.float64) - centres[:, None]) / width
    weights = torch.where(x.abs() < LOBES, torch.sinc(x) * torch.sinc(x / LOBES), 0.0)
    return (weights / weights.sum(1, keepdim=True)).float()


def gaussian_noise(
    images: Tensor, sigma: Sequence[float], grey: Sequence[bool], generator: torch.Generator
) -> Tensor:
    """Add white noise of standard deviation `sigma`, in codes of 8 bits; `grey` noise is alike in R, G and
    B."""
    noise = torch.randn(images.shape, generator=generator, device=images.device, dtype=images.dtype)
    noise = torch.where(_each(grey, images), noise[:, :1], noise)
    return torch.addcmul(images, noise, _each(sigma, images), value=1 / 255).clamp_(0, 1)


def poisson_noise(
    images: Tensor, scale: Sequence[float], grey: Sequence[bool], generator: torch.Generator
) -> Tensor:
    """Add the noise of photon counting, multiplied with `scale`.

    The count at white is the number of different codes in the picture, rounded up to a power of two, as
    Real-ESRGAN's code has it; so the noise has variance `scale^2 value / count`.
    """
    codes = images.mul(255).round().clamp_(0, 255)
    noise = _photons(codes, generator)
    if any(grey):
        luma = torch.tensor(GREY, dtype=images.dtype, device=images.device)[:, None, None]
        alike = _photons((codes * luma).sum(1, keepdim=True).round_(), generator)
        noise = torch.where(_each(grey, images), alike, noise)
    return torch.addcmul(images, noise, _each(scale, images)).clamp_(0, 1)


def _photons(codes: Tensor, generator: torch.Generator) -> Tensor:
    """Noise in [0, 1] units of pictures in codes of 8 bits `(N, C, H, W)`."""
    seen = torch.zeros(len(codes), 256, device=codes.device)
    seen.scatter_(1, codes.flatten(1).long(), 1.0)
    count = torch.exp2(seen.sum(1).log2().ceil())[:, None, None, None]
    expected = codes / 255 * count
    return (torch.poisson(expected, generator=generator) - expected) / count


def _each(values: Sequence[float] | Sequence[bool], images: Tensor) -> Tensor:
    """One value a picture, `(N, 1, 1, 1)`, on the pictures' device."""
    dtype = torch.bool if isinstance(values[0], bool) else images.dtype
    return torch.tensor(values, dtype=dtype).to(images.device)[:, None, None, None]


def sharpen(images: Tensor, usm: Sharpen) -> Tensor:
    """Unsharp masking under a soft mask, as Real-ESRGAN prepares its targets: flat places stay as they
    are."""
    rows, columns = (smoothing(side, usm.size).to(images) for side in images.shape[-2:])
    detail = images - rows @ images @ columns.mT
    mask = (detail.abs() * 255 > usm.threshold).to(images.dtype)
    sharp = torch.add(images, detail, alpha=usm.weight).clamp_(0, 1)
    return images.lerp(sharp, rows @ mask @ columns.mT)


def smoothing(side: int, size: int) -> Tensor:
    """A Gaussian of `size` taps and OpenCV's sigma for it as a matrix `(side, side)`, mirrored at the border.

    As a product of matrices it is five times as fast as a convolution with 51 taps.
    """
    reach = min(size // 2, side - 1)  # what can be mirrored
    x = torch.arange(-reach, reach + 1, dtype=torch.float32)
    line = torch.exp(-0.5 * (x / (0.3 * (size / 2 - 1.5) + 0.8)).square())
    padded = F.pad(torch.eye(side)[None], (reach, reach), mode="reflect")[0]
    return padded.unfold(1, len(line), 1).matmul(line / line.sum()).T.contiguous()


def recolour(
    images: Tensor, *, brightness: float, contrast: float, saturation: float, hue: float, gamma: float
) -> Tensor:
    """Change the colours of all pictures alike; see `Augment` for the meaning of each."""
    images = enhance.adjust_brightness_accumulative(images, brightness)
    images = enhance.adjust_contrast_with_mean_subtraction(images, contrast)
    images = enhance.adjust_saturation_with_gray_subtraction(images, saturation)
    images = enhance.adjust_hue(images, hue)
    return enhance.adjust_gamma(images, gamma).clamp_(0, 1)


def jpeg(images: Tensor, quality: Sequence[float], mode: JpegMode) -> Tensor:
    """Code each picture as JPEG of libjpeg's `quality`, with 4:2:0 chroma, and decode it.

    `real` takes FFmpeg's MJPEG coder on the CPU, at the quantiser that comes nearest; `kornia` stays on the
    device.
    """
    images = images.clamp(0, 1)
    if mode == "kornia":
        return enhance.jpeg_codec_differentiable(images, torch.tensor(quality).to(images)).clamp_(0, 1)
    host = images.cpu()
    coded = [_mjpeg(image, quantiser_of(q)) for image, q in zip(host, quality, strict=True)]
    return torch.stack(coded).clamp_(0, 1).to(images.device)


def quantiser_of(quality: float) -> int:
    """FFmpeg's MJPEG quantiser whose loss is nearest to that of libjpeg's quality."""
    table = np.array(QUANTISERS)
    return round(float(np.interp(quality, table[:, 0], table[:, 1])))


QUANTISERS = (
    (12, 31.0),
    (15, 26.5),
    (20, 20.9),
    (30, 15.5),
    (40, 12.7),
    (50, 10.8),
    (60, 9.2),
    (70, 7.4),
    (80, 5.4),
    (90, 3.0),
    (95, 1.75),
    (98, 1.0),
)
"""(quality of libjpeg, quantiser of FFmpeg) of equal PSNR, since their matrices and rounding differ: mean of
six Kodak pictures at half size, 4:2:0, libjpeg-turbo by Pillow 13.0, FFmpeg 8.1. Pictures differ by 10 %."""


def _mjpeg(image: Tensor, quantiser: int) -> Tensor:
    planes = to_planes(image, _JFIF, LAYOUT)
    picture = YuvFrame(planes=planes, layout=LAYOUT, color=_JFIF, stamp=_STAMP)
    encoder = open_codec("mjpeg", "w")
    encoder.height, encoder.width = image.shape[-2:]
    encoder.pix_fmt, encoder.color_range = "yuv420p", int(Range.FULL)
    encoder.time_base = Fraction(1)
    encoder.options = {"qmin": str(quantiser), "qmax": str(quantiser)}
    packets = encoder.encode(to_av_frame(picture, "yuv420p")) + encoder.encode(None)
    decoder = open_codec("mjpeg", "r")
    frames = [frame for packet in packets for frame in decoder.decode(packet)] + decoder.decode(None)
    assert len(frames) == 1
    return to_rgb(planes_of(frames[0])[0], _JFIF, LAYOUT)
