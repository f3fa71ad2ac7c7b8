"""Degradation operations on batches: blur, resize, noise, JPEG, sharpening and colour.

Random numbers come from a `torch.Generator` on the images' device, so that the same seed gives the same
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
from vsr.training.degrade.photons import photon_noise

GREY = (0.299, 0.587, 0.114)
"""Luma weights of BT.601, which define grey for noise and saturation."""
LOBES = 3
"""Lobes of the Lanczos filter, as in PIL."""
_JFIF = ColorSpec(
    matrix=Matrix.SMPTE170M,
    transfer=Transfer.SMPTE170M,
    primaries=Primaries.SMPTE170M,
    range=Range.FULL,
    chroma_location=ChromaLocation.CENTER,
)
_STAMP = Stamp(index=0, pts=0, duration=1, time_base=Fraction(1))


def blur(images: Tensor, kernels: Tensor) -> Tensor:
    """Filter each image with its kernel `(N, k, k)`. The border is
    mirrored, or replicated if an image is tiny."""
    tiny = min(images.shape[-2:]) <= kernels.shape[-1] // 2
    return filter2d(images, kernels.to(images), border_type="replicate" if tiny else "reflect")


def resize(images: Tensor, size: tuple[int, int], mode: Mode, *, antialias: bool) -> Tensor:
    """Resize images to (H, W).

    Args:
        images: `(N, C, H, W)` float.
        size: New height and width in pixels.
        mode: `area` averages; `lanczos` has three lobes and is always antialiased.
        antialias: Whether `bilinear` and `bicubic` are antialiased;
            bicubic then has a = -0.5, otherwise -0.75.
    """
    if mode == "lanczos":
        rows, columns = (lanczos(old, new) for old, new in zip(images.shape[-2:], size, strict=True))
        return rows.to(images) @ images @ columns.to(images).mT
    if mode == "area":
        return F.interpolate(images, size=size, mode="area")
    return F.interpolate(images, size=size, mode=mode, antialias=antialias)


def lanczos(old: int, new: int) -> Tensor:
    """Return the weights `(new, old)` of Lanczos-3 interpolation, widened for
    downscaling and truncated at the border."""
    step = old / new
    width = max(step, 1.0)
    centres = (torch.arange(new, dtype=torch.float64) + 0.5) * step - 0.5
    x = (torch.arange(old, dtype=torch.float64) - centres[:, None]) / width
    weights = torch.where(x.abs() < LOBES, torch.sinc(x) * torch.sinc(x / LOBES), 0.0)
    return (weights / weights.sum(1, keepdim=True)).float()


def gaussian_noise(
    images: Tensor, sigma: Sequence[float], grey: Sequence[bool], generator: torch.Generator
) -> Tensor:
    """Add white noise with standard deviation `sigma`, in 8-bit code
    values; `grey` noise is equal in R, G and B."""
    noise = torch.randn(images.shape, generator=generator, device=images.device, dtype=images.dtype)
    noise = torch.where(_each(grey, images), noise[:, :1], noise)
    return torch.addcmul(images, noise, _each(sigma, images), value=1 / 255).clamp_(0, 1)


def poisson_noise(
    images: Tensor, scale: Sequence[float], grey: Sequence[bool], generator: torch.Generator
) -> Tensor:
    """Add shot noise, multiplied by `scale`.

    The photon count at white is the number of different code values in the image, rounded up to a power of
    two, as in Real-ESRGAN's code. The noise therefore has the variance `scale^2 value / count`.
    """
    codes = images.mul(255).round().clamp_(0, 255)
    noise = _photons(codes, generator)
    if any(grey):
        luma = torch.tensor(GREY, dtype=images.dtype, device=images.device)[:, None, None]
        alike = _photons((codes * luma).sum(1, keepdim=True).round_(), generator)
        noise = torch.where(_each(grey, images), alike, noise)
    return torch.addcmul(images, noise, _each(scale, images)).clamp_(0, 1)


def _photons(codes: Tensor, generator: torch.Generator) -> Tensor:
    """Return noise in units of [0, 1] for images in 8-bit code values `(N, C, H, W)`."""
    seen = torch.zeros(len(codes), 256, device=codes.device)
    seen.scatter_(1, codes.flatten(1).long(), 1.0)
    return photon_noise(codes, torch.exp2(seen.sum(1).log2().ceil()), generator)


def _each(values: Sequence[float] | Sequence[bool], images: Tensor) -> Tensor:
    """Return one value an image, `(N, 1, 1, 1)`, on the images' device."""
    dtype = torch.bool if isinstance(values[0], bool) else images.dtype
    return torch.tensor(values, dtype=dtype).to(images.device)[:, None, None, None]


def sharpen(images: Tensor, usm: Sharpen) -> Tensor:
    """Apply unsharp masking with a soft mask, as Real-ESRGAN does to its
    targets; smooth regions do not change."""
    rows, columns = (smoothing(side, usm.size).to(images) for side in images.shape[-2:])
    detail = images - rows @ images @ columns.mT
    mask = (detail.abs() * 255 > usm.threshold).to(images.dtype)
    sharp = torch.add(images, detail, alpha=usm.weight).clamp_(0, 1)
    return images.lerp(sharp, rows @ mask @ columns.mT)


def smoothing(side: int, size: int) -> Tensor:
    """Return a Gaussian filter with `size` taps as a matrix `(side, side)`, mirrored at the border.

    The sigma follows OpenCV's formula. A matrix product is five times as fast as a convolution with 51 taps.
    """
    reach = min(size // 2, side - 1)  # as far as reflection is possible
    x = torch.arange(-reach, reach + 1, dtype=torch.float32)
    line = torch.exp(-0.5 * (x / (0.3 * (size / 2 - 1.5) + 0.8)).square())
    padded = F.pad(torch.eye(side)[None], (reach, reach), mode="reflect")[0]
    return padded.unfold(1, len(line), 1).matmul(line / line.sum()).T.contiguous()


def recolour(
    images: Tensor, *, brightness: float, contrast: float, saturation: float, hue: float, gamma: float
) -> Tensor:
    """Change the colours of all images equally; see `Augment` for the parameters."""
    images = enhance.adjust_brightness_accumulative(images, brightness)
    images = enhance.adjust_contrast_with_mean_subtraction(images, contrast)
    images = enhance.adjust_saturation_with_gray_subtraction(images, saturation)
    images = enhance.adjust_hue(images, hue)
    return enhance.adjust_gamma(images, gamma).clamp_(0, 1)


def jpeg(images: Tensor, quality: Sequence[float], mode: JpegMode) -> Tensor:
    """Compress each image as JPEG with libjpeg's `quality` and 4:2:0 chroma, and decompress it.

    `real` uses FFmpeg's MJPEG encoder on the CPU with the nearest quantiser; `kornia` stays on the device.
    """
    images = images.clamp(0, 1)
    if mode == "kornia":
        return enhance.jpeg_codec_differentiable(images, torch.tensor(quality).to(images)).clamp_(0, 1)
    host = images.cpu()
    coded = [_mjpeg(image, quantiser_of(q)) for image, q in zip(host, quality, strict=True)]
    return torch.stack(coded).clamp_(0, 1).to(images.device)


def quantiser_of(quality: float) -> int:
    """Return FFmpeg's MJPEG quantiser whose loss is closest to that of a libjpeg quality."""
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
"""Pairs (quality of libjpeg, quantiser of FFmpeg) with equal PSNR; their matrices and rounding differ. The
values are means over six Kodak images at half size, 4:2:0, with libjpeg-turbo in Pillow 13.0 and FFmpeg 8.1.
Single images deviate by 10 %."""


def _mjpeg(image: Tensor, quantiser: int) -> Tensor:
    planes = to_planes(image, _JFIF, LAYOUT)
    frame = YuvFrame(planes=planes, layout=LAYOUT, color=_JFIF, stamp=_STAMP)
    encoder = open_codec("mjpeg", "w")
    encoder.height, encoder.width = image.shape[-2:]
    encoder.pix_fmt, encoder.color_range = "yuv420p", int(Range.FULL)
    encoder.time_base = Fraction(1)
    encoder.options = {"qmin": str(quantiser), "qmax": str(quantiser)}
    packets = encoder.encode(to_av_frame(frame, "yuv420p")) + encoder.encode(None)
    decoder = open_codec("mjpeg", "r")
    frames = [frame for packet in packets for frame in decoder.decode(packet)] + decoder.decode(None)
    assert len(frames) == 1
    return to_rgb(planes_of(frames[0])[0], _JFIF, LAYOUT)
