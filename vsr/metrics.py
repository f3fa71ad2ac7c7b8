"""Computes PSNR and SSIM as super-resolution papers do, and flicker.

Images are R'G'B' in [0, 1]. Nothing is rounded: for comparison with published figures, round both images to 8
bits first, like their image files. Each function returns a Python number, so it waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def luma_studio(rgb: Tensor) -> Tensor:
    """Return the luma of BT.601 in limited range: 16 + 65.481 R + 128.553 G + 24.966 B, unrounded.

    This is MATLAB's `rgb2ycbcr` (ITU-R BT.601-7, 8-bit levels), which papers use, whatever the matrix of the
    video.

    Args:
        rgb: `(..., 3, H, W)`, [0, 1], any float dtype and device.

    Returns:
        `(..., 1, H, W)`, float64, [16, 235].
    """
    # float64, because a float32 mean over megapixels changes PSNR above 60 dB.
    red, green, blue = rgb.to(torch.float64).split(1, dim=-3)
    return 16 + 65.481 * red + 128.553 * green + 24.966 * blue


def psnr(a: Tensor, b: Tensor, *, border: int) -> float:
    """Return the peak signal-to-noise ratio over all channels: -10 lg mean((a - b)^2).

    Args:
        a: `(..., C, H, W)`, [0, 1].
        b: Of the same shape and device.
        border: Pixels ignored at each side; papers ignore as many as the scale.

    Returns:
        In dB; infinite if the images are equal.

    Raises:
        ValueError: The shapes differ, or the border leaves nothing.
    """
    a, b = _inner(a, b, border)
    return _decibel(torch.mean((a - b) ** 2).item(), peak=1)


def psnr_y(a: Tensor, b: Tensor, *, border: int) -> float:
    """Return the PSNR of `luma_studio` with a peak of 255, which papers call Y-PSNR.

    Args:
        a: R'G'B', `(..., 3, H, W)`, [0, 1].
        b: Of the same shape and device.
        border: Pixels ignored at each side; papers ignore as many as the scale.

    Returns:
        In dB; infinite if the luma is equal.

    Raises:
        ValueError: The shapes differ, or the border leaves nothing.
    """
    a, b = _inner(a, b, border)
    return _decibel(torch.mean((luma_studio(a) - luma_studio(b)) ** 2).item(), peak=255)


def psnr_chroma(a: Tensor, b: Tensor, *, border: int) -> float:
    """Return the PSNR of Cb and Cr together with a peak of 255, by BT.601 in limited range like
    `luma_studio`.

    Args:
        a: R'G'B', `(..., 3, H, W)`, [0, 1].
        b: Of the same shape and device.
        border: Pixels ignored at each side.

    Returns:
        In dB; infinite if the chroma is equal.

    Raises:
        ValueError: The shapes differ, or the border leaves nothing.
    """
    a, b = _inner(a, b, border)
    return _decibel(torch.mean((_chroma_studio(a) - _chroma_studio(b)) ** 2).item(), peak=255)


def _chroma_studio(rgb: Tensor) -> Tensor:
    """Return Cb and Cr like `luma_studio`, without the offset of 128: `(..., 2, H, W)`."""
    red, green, blue = rgb.to(torch.float64).split(1, dim=-3)
    return torch.cat(
        [-37.797 * red - 74.203 * green + 112 * blue, 112 * red - 93.786 * green - 18.214 * blue], dim=-3
    )


def grid(sr: Sequence[Tensor], hr: Sequence[Tensor], *, scale: int) -> float | None:
    """Return how much stronger a pattern with a period of `scale` pixels is in images than in their
    originals.

    Rows and columns are transformed by a windowed Fourier transform of `GRID_LENGTH` pixels, or fewer in
    smaller images. The mean power at each multiple of 1 / scale is compared with the median of its
    neighbours', in dB, and the largest difference counts. The result is that of SR minus that of HR.

    Args:
        sr: R'G'B', each `(3, H, W)`, [0, 1], any float dtype.
        hr: Of the same number and shapes.
        scale: HR side over LR side, at least 2.

    Returns:
        In dB. From about 1 on a grid is visible in flat areas at doubled contrast, from 3 on without that.
        None if a side is below `GRID_LEAST` pixels.
    """
    least = min(side for image in sr for side in image.shape[-2:])
    if least < GRID_LEAST:
        return None
    length = min(GRID_LENGTH, 2 ** int(math.log2(least)))
    return _excess(sr, scale, length) - _excess(hr, scale, length)


GRID_LENGTH, GRID_LEAST = 256, 64
"""In pixels."""


def _excess(images: Sequence[Tensor], scale: int, length: int) -> float:
    power = torch.stack([_power(view, length) for x in images for view in (x, x.mT)]).mean(0)
    return max(_peak(power, round(length * k / scale)) for k in range(1, scale // 2 + 1))


def _power(image: Tensor, length: int) -> Tensor:
    """Return the mean power of the rows of `(3, H, W)` as `(length / 2 + 1,)`, from segments that overlap by
    half.
    """
    segments = image.to(torch.float64).unfold(-1, length, length // 2)
    segments = segments - segments.mean(-1, keepdim=True)
    window = torch.hann_window(length, periodic=False, dtype=torch.float64, device=image.device)
    return torch.fft.rfft(segments * window).abs().square().mean((0, 1, 2))


def _peak(power: Tensor, at: int) -> float:
    """Return by how many dB the power at a frequency exceeds that of its neighbours."""
    near = torch.cat([power[at - 12 : at - 4], power[at + 5 : at + 13]]).quantile(0.5)
    tiny = torch.finfo(power.dtype).tiny  # a flat image has no power
    peak = power[max(at - 1, 0) : at + 2].max()
    return 10 * math.log10((peak.item() + tiny) / (near.item() + tiny))


def ssim_y(a: Tensor, b: Tensor, *, border: int) -> float:
    """Return the structural similarity of `luma_studio`, as in the authors' `ssim_index.m`.

    Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment", IEEE TIP 13(4), 2004, equation 13: a Gaussian
    window of 11x11 with sigma 1.5, K1 = 0.01, K2 = 0.03, L = 255, averaged where the window fits completely.

    Args:
        a: R'G'B', `(..., 3, H, W)`, [0, 1]; at least 11 pixels in each direction inside the border.
        b: Of the same shape and device.
        border: Pixels ignored at each side.

    Returns:
        At most 1, which means equal luma.

    Raises:
        ValueError: The shapes differ, or fewer than 11 pixels are left.
    """
    a, b = _inner(a, b, border, least=_WINDOW)
    x, y = luma_studio(a), luma_studio(b)
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x = _blur(x * x) - mean_x**2
    variance_y = _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return (luminance * structure).mean().item()


def flicker(sr: Tensor, hr: Tensor, pan: tuple[int, int]) -> float:
    """Return how much more a panned image changes from frame to frame in SR than in HR, without the motion.

    With x_t moved onto x_(t+1) by the known pan, D(x) is the mean of |x_(t+1) - moved x_t| over the common
    area, all channels and all neighbours. The result is D(sr) - D(hr). For a pan by whole pixels over a still
    image D(hr) is 0, and every change comes from the network, or from the codec through it.

    Args:
        sr: R'G'B', `(T, 3, H, W)`, [0, 1], T at least 2.
        hr: Of the same shape and device.
        pan: HR pixels, down and right, by which the window moves in each frame; content moves the other way.

    Returns:
        In 8-bit levels; 0 is as steady as HR, less is smoother in time than HR.

    Raises:
        ValueError: The shapes differ, there is only one image, or the pan leaves nothing to compare.
    """
    _check_clips(sr, hr)
    content = (-pan[0], -pan[1])
    return _unrest(sr, content) - _unrest(hr, content)


def temporal_difference(sr: Tensor, hr: Tensor) -> float:
    """Return the error of the change between frames: mean |(sr_(t+1) - sr_t) - (hr_(t+1) - hr_t)|.

    A constant error does not count, so this is no measure of quality by itself. It needs no known motion,
    unlike `flicker`, so it works on any footage. Wrong motion counts, too.

    Args:
        sr: R'G'B', `(T, 3, H, W)`, [0, 1], T at least 2.
        hr: Of the same shape and device.

    Returns:
        In 8-bit levels; 0 if SR changes exactly like HR.

    Raises:
        ValueError: The shapes differ, or there is only one image.
    """
    _check_clips(sr, hr)
    error = sr.to(torch.float64) - hr.to(torch.float64)
    return 255 * error.diff(dim=0).abs().mean().item()


def overlap(a: Tensor, b: Tensor, shift: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Crop two images to the content that both show, aligned.

    Args:
        a: `(..., H, W)`.
        b: Of the same shape.
        shift: Pixels, down and right: what is at (y, x) in a is at (y, x) + shift in b.

    Returns:
        Views of a and b of the same shape.

    Raises:
        ValueError: The shift leaves nothing.
    """
    height, width = a.shape[-2:]
    if abs(shift[0]) >= height or abs(shift[1]) >= width:
        raise ValueError(f"{shift = } leaves nothing of {height}x{width} pixels; it must be smaller")
    in_a = (..., _kept(height, -shift[0]), _kept(width, -shift[1]))
    in_b = (..., _kept(height, shift[0]), _kept(width, shift[1]))
    return a[in_a], b[in_b]


def _kept(side: int, start: int) -> slice:
    """Return the slice of a side from `start` on; for a negative `start`, up to that distance from the
    end.
    """
    return slice(max(0, start), side + min(0, start))


def _unrest(clip: Tensor, shift: tuple[int, int]) -> float:
    """Return the mean change between neighbours whose content moves by `shift`, in 8-bit levels."""
    before, after = overlap(clip[:-1].to(torch.float64), clip[1:].to(torch.float64), shift)
    return 255 * (after - before).abs().mean().item()


def _check_clips(sr: Tensor, hr: Tensor) -> None:
    if sr.shape != hr.shape or len(sr) < 2:
        raise ValueError(
            f"clips of {tuple(sr.shape)} and {tuple(hr.shape)} cannot be compared; the same shape and two"
            " images or more are needed"
        )


_WINDOW, _SIGMA = 11, 1.5


def _blur(x: Tensor) -> Tensor:
    """Return the Gaussian mean of `(..., H, W)` where the window fits completely."""
    at = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    weights = torch.exp(-(at**2) / (2 * _SIGMA**2))
    # Sums of shifted images take a sixth of the time of a convolution with one channel.
    for axis in (-2, -1):
        length = x.shape[axis] - _WINDOW + 1
        total = torch.zeros_like(x.narrow(axis, 0, length))
        for shift, weight in enumerate((weights / weights.sum()).tolist()):
            total.add_(x.narrow(axis, shift, length), alpha=weight)
        x = total
    return x


def _inner(a: Tensor, b: Tensor, border: int, *, least: int = 1) -> tuple[Tensor, Tensor]:
    """Return both images in float64 without their borders."""
    if a.shape != b.shape:
        raise ValueError(
            f"images of {tuple(a.shape)} and {tuple(b.shape)} cannot be compared; the same shape is needed"
        )
    height, width = a.shape[-2] - 2 * border, a.shape[-1] - 2 * border
    if border < 0 or min(height, width) < least:
        raise ValueError(
            f"{border = } leaves {width}x{height} of {tuple(a.shape)}; {least} pixels are needed"
        )
    rows, columns = slice(border, border + height), slice(border, border + width)
    return a[..., rows, columns].to(torch.float64), b[..., rows, columns].to(torch.float64)


def _decibel(mean_square: float, *, peak: float) -> float:
    return 10 * math.log10(peak**2 / mean_square) if mean_square else math.inf
