"""Y'CbCr, R'G'B' and grey planes of integer codes to float R'G'B' and back, on the planes' device.

Formulas and constants are those of ITU-T H.273 (07/2021), section 8.3. The transfer curve stays as it is.
R'G'B' is not clipped, and codes are clipped only to the range of their bits, so headroom and footroom are
preserved. All arithmetic is in float32, so a round trip returns the same codes, at 16 bits, too. Nothing
waits for the device. `fast_cpu` converts most images on the host in one pass, to the same bits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vsr.color import fast_cpu
from vsr.color.bands import band_rows, bands_of
from vsr.color.chroma import SITES, chroma_size, downsample, rows_reached, upsample
from vsr.color.codes import LUMA_WEIGHTS, ROUND, Codes, codes_of
from vsr.color.spec import ColorSpec, Matrix, PixelLayout, Range
from vsr.errors import InputError


def check_convertible(color: ColorSpec, layout: PixelLayout) -> None:
    """Check that images of a colour and layout can be converted, before any work.

    Raises:
        InputError: The matrix is not a weighted sum of R'G'B' (constant luminance, ICtCp, YCgCo ...).
        ValueError: A required tag is unspecified.
    """
    _require_specified(color, layout)
    if layout.family == "yuv" and color.matrix not in LUMA_WEIGHTS:
        known = ", ".join(matrix.name for matrix in LUMA_WEIGHTS)
        raise InputError(
            f"Y'CbCr with matrix {color.matrix.name} cannot be converted; supported are {known}; "
            "convert the source to one of these first, for example with FFmpeg's filter zscale=matrix=709"
        )


def _require_specified(color: ColorSpec, layout: PixelLayout) -> None:
    needed = ["range"]
    if layout.family == "yuv":
        needed.append("matrix")
    if layout.chroma_shift != (0, 0):
        needed.append("chroma_location")
    for name in needed:
        if getattr(color, name).name == "UNSPECIFIED":
            raise ValueError(f"{name} is unspecified, {layout} cannot be converted; see ColorSpec.guess_for")


@torch.no_grad()
def to_rgb(
    planes: tuple[Tensor, ...],
    color: ColorSpec,
    layout: PixelLayout,
    *,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Convert planes of codes to R'G'B', keeping the transfer curve.

    Args:
        planes: As in `YuvFrame.planes`: Y, U, V, or R, G, B, or one grey; uint8 or uint16; any device.
        color: A spec without unspecified tags; see `ColorSpec.guess_for`.
        layout: Storage format of the planes.
        dtype: Of the result; the computation is always in float32.

    Returns:
        `(3, H, W)`, contiguous, on the planes' device. Nominally [0, 1]; super-whites and colours outside the
        gamut are kept, not clipped.

    Raises:
        InputError: The matrix cannot be converted.
        ValueError: `color` is incomplete, or `planes` do not fit `layout`.
    """
    check_convertible(color, layout)
    _check_planes(planes, layout)
    codes = codes_of(color.range, layout.bit_depth)
    image = torch.empty((3, *planes[0].shape), dtype=dtype, device=planes[0].device)
    if dtype == torch.float32 and fast_cpu.can_convert(planes[0], color, layout):
        fast_cpu.to_rgb(planes, image, color, layout)
        return image
    if layout.family == "yuv":
        _fill_from_yuv(image, planes, color, layout, codes)
        return image
    for channel, plane in zip(image, planes * (3 // len(planes)), strict=True):
        channel.copy_(plane.to(torch.float32).sub_(codes.luma_offset).mul_(1 / codes.luma_step))
    return image


@torch.no_grad()
def to_planes(image: Tensor, color: ColorSpec, layout: PixelLayout) -> tuple[Tensor, ...]:
    """Convert R'G'B' to planes of codes; the inverse of `to_rgb`.

    Args:
        image: `(3, H, W)`, nominally [0, 1], finite; any float dtype, memory format and device; not changed.
        color: A spec without unspecified tags; see `ColorSpec.guess_for`.
        layout: Storage format of the planes.

    Returns:
        Planes as in `YuvFrame.planes`, contiguous, uint8 for 8 bits, else uint16; rounded, and clipped to
        [0, 2^n - 1] only. A grey plane is luma, with the weights of BT.709 if the matrix has none.

    Raises:
        InputError: The matrix cannot be converted.
        ValueError: `color` is incomplete, or `image` is not `(3, H, W)`.
    """
    check_convertible(color, layout)
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"{tuple(image.shape) = } must be (3, H, W)")
    codes = codes_of(color.range, layout.bit_depth)
    height, width = image.shape[1:]
    small = chroma_size(height, width, layout.chroma_shift)
    sizes = [(height, width)] if layout.family == "gray" else [(height, width), small, small]
    planes = tuple(torch.empty(size, dtype=codes.dtype, device=image.device) for size in sizes)
    if image.dtype == torch.float32 and fast_cpu.can_convert(image[0], color, layout):
        fast_cpu.to_planes(image, planes, color, layout)
        return planes
    if layout.family == "rgb":
        for plane, channel in zip(planes, image, strict=True):
            _quantise(
                _affine(channel.to(torch.float32), codes.luma_step, codes.luma_offset + ROUND), codes, plane
            )
    else:
        _fill_planes(planes, image, color, layout, codes)
    return planes


@torch.no_grad()
def alpha_to_float(plane: Tensor, layout: PixelLayout, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Convert full-range alpha codes `(H, W)` to `(1, H, W)` in [0, 1] on the same device."""
    peak = codes_of(Range.FULL, layout.bit_depth).peak
    return plane[None].to(torch.float32).mul_(1 / peak).to(dtype)


@torch.no_grad()
def alpha_to_plane(alpha: Tensor, layout: PixelLayout) -> Tensor:
    """Convert float alpha `(1, H, W)` to full-range codes `(H, W)`, clipped; uint8 for 8 bits, else
    uint16."""
    codes = codes_of(Range.FULL, layout.bit_depth)
    plane = torch.empty(alpha.shape[1:], dtype=codes.dtype, device=alpha.device)
    _quantise(_affine(alpha[0].to(torch.float32), codes.luma_step, codes.luma_offset + ROUND), codes, plane)
    return plane


def _check_planes(planes: tuple[Tensor, ...], layout: PixelLayout) -> None:
    height, width = planes[0].shape
    small = chroma_size(height, width, layout.chroma_shift)
    expected = [(height, width)] if layout.family == "gray" else [(height, width), small, small]
    shapes = [tuple(plane.shape) for plane in planes]
    if shapes != expected:
        raise ValueError(f"planes of {shapes} do not fit {layout}; {expected} do")


def _fill_from_yuv(
    image: Tensor, planes: tuple[Tensor, ...], color: ColorSpec, layout: PixelLayout, codes: Codes
) -> None:
    shift, (height, width) = layout.chroma_shift, planes[0].shape
    weights = LUMA_WEIGHTS[color.matrix]
    for band in bands_of(height, band_rows(planes[0]), shift=shift[1], halo=rows_reached(shift)):
        small = _difference(planes[1][band.chroma_read], planes[2][band.chroma_read], weights, codes)
        rows = band.luma_read.stop - band.luma_read.start
        chroma = upsample(small, height=rows, width=width, shift=shift, location=color.chroma_location)
        luma = planes[0][band.luma].to(torch.float32)
        _combine(image[:, band.luma], luma, chroma[:, band.luma_kept], weights, codes)


def _difference(cb: Tensor, cr: Tensor, weights: tuple[float, float], codes: Codes) -> Tensor:
    """Chroma codes to R - Y and B - Y, `(2, h, w)`, black taken away from both.

    R - Y = 2 (1 - Kr) Cr, B - Y = 2 (1 - Kb) Cb. Luma's offset is taken away here since chroma is smaller.
    """
    out = cb.new_empty((2, *cb.shape), dtype=torch.float32)
    for part, plane, weight in zip(out, (cr, cb), weights, strict=True):
        gain = 2 * (1 - weight) / codes.chroma_step
        part.copy_(plane).mul_(gain).sub_(gain * codes.chroma_offset + codes.luma_offset / codes.luma_step)
    return out


def _combine(image: Tensor, luma: Tensor, chroma: Tensor, weights: tuple[float, float], codes: Codes) -> None:
    """R and B from their differences to luma; G = (Y - Kr R - Kb B) / Kg."""
    kr, kb = weights
    kg = 1 - kr - kb
    step = 1 / codes.luma_step
    rgb = image if image.dtype == torch.float32 else torch.empty_like(image, dtype=torch.float32)
    torch.add(chroma, luma, alpha=step, out=rgb[::2])
    _affine(luma, step / kg, -codes.luma_offset * step / kg, out=rgb[1])
    rgb[1].sub_(rgb[0], alpha=kr / kg).sub_(rgb[2], alpha=kb / kg)
    if rgb is not image:
        image.copy_(rgb)


def _fill_planes(
    planes: tuple[Tensor, ...], image: Tensor, color: ColorSpec, layout: PixelLayout, codes: Codes
) -> None:
    shift, height = layout.chroma_shift, planes[0].shape[0]
    weights = LUMA_WEIGHTS.get(color.matrix, LUMA_WEIGHTS[Matrix.BT709])
    halo = rows_reached(shift) if shift[1] and SITES[color.chroma_location][1] != "middle" else 0
    rows = band_rows(planes[0])
    scratch = _scratch(image, min(height, rows + (2 * halo << shift[1])))
    for band in bands_of(height, rows, shift=shift[1], halo=halo):
        rgb, luma, difference = _split(scratch, image[:, band.luma_read])
        _luma(rgb, weights, codes, out=luma)
        if layout.family == "yuv":
            # Luma is in codes and includes its offset; `_quantise_chroma` corrects that in chroma's offset.
            torch.sub(rgb[::2], luma, alpha=1 / codes.luma_step, out=difference)
            small = downsample(difference, shift, color.chroma_location)[:, band.chroma_kept]
            _quantise_chroma(small, weights, codes, planes[1][band.chroma], planes[2][band.chroma])
        _quantise(luma[band.luma_kept], codes, planes[0][band.luma])


def _scratch(image: Tensor, rows: int) -> Tensor:
    """Allocate memory for a band: luma, two differences, and R, G, B unless `image` can be read directly."""
    ready = image.dtype == torch.float32 and image.stride(2) == 1
    return image.new_empty((3 if ready else 6, rows, image.shape[2]), dtype=torch.float32)


def _split(scratch: Tensor, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return R'G'B' of a band as float32 planes, and memory for its luma and for its R - Y and B - Y."""
    rows = image.shape[1]
    rgb = image if scratch.shape[0] == 3 else scratch[3:, :rows].copy_(image)
    return rgb, scratch[0, :rows], scratch[1:3, :rows]


def _luma(rgb: Tensor, weights: tuple[float, float], codes: Codes, *, out: Tensor) -> None:
    """Compute luma codes plus `ROUND`, `(H, W)`, not yet truncated."""
    kr, kb = weights
    _affine(rgb[0], kr * codes.luma_step, codes.luma_offset + ROUND, out=out)
    out.add_(rgb[1], alpha=(1 - kr - kb) * codes.luma_step)
    out.add_(rgb[2], alpha=kb * codes.luma_step)


def _quantise_chroma(
    difference: Tensor, weights: tuple[float, float], codes: Codes, cb: Tensor, cr: Tensor
) -> None:
    """Convert R - Y and B - Y, where Y includes what `_luma` adds, to codes of Cr and Cb."""
    added = (codes.luma_offset + ROUND) / codes.luma_step
    for values, plane, weight in zip(difference, (cr, cb), weights, strict=True):
        gain = codes.chroma_step / (2 * (1 - weight))
        _quantise(_affine(values, gain, codes.chroma_offset + gain * added + ROUND), codes, plane)


def _affine(x: Tensor, step: float, offset: float, *, out: Tensor | None = None) -> Tensor:
    """Compute `offset + step * x` in one pass; torch treats the 0-dimensional `offset` on the host as a
    number."""
    return torch.add(torch.tensor(offset, dtype=torch.float32), x, alpha=step, out=out)


def _quantise(code: Tensor, codes: Codes, plane: Tensor) -> None:
    """Clip `code`, which includes `ROUND` and is changed, and store it in `plane`."""
    plane.copy_(code.clamp_(0, codes.peak + ROUND))
