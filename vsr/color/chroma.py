"""Chroma down- and upsampling by siting, as a lossless pair: `downsample(upsample(c)) == c`.

Both directions are one lifting step of a wavelet (Sweldens 1996), applied per axis and per factor of 2.
Upsampling is the synthesis with zero details. Downsampling is the analysis of the same wavelet, so it returns
exactly the samples that upsampling started from, up to the borders, and for all other input it is a low-pass
filter. An ordinary antialiasing filter with an ordinary interpolation lacks this property: each round trip
blurs the chroma a little.

A chroma sample has one of three positions relative to its pair of luma samples:

```
first   on x[2k]           up: Deslauriers-Dubuc's cubic interpolation (1989); down: a quarter of the details
middle  x[2k] to x[2k+1]   up: an eighth of the slope to both sides; down: mean of the pair (biorthogonal 1.3)
last    on x[2k+1]         `first`, mirrored
```

Where the length is odd, the last luma sample has a chroma sample of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from vsr.color.spec import ChromaLocation

Site = Literal["first", "middle", "last"]

SITES: dict[ChromaLocation, tuple[Site, Site]] = {
    ChromaLocation.LEFT: ("first", "middle"),
    ChromaLocation.CENTER: ("middle", "middle"),
    ChromaLocation.TOPLEFT: ("first", "first"),
    ChromaLocation.TOP: ("middle", "first"),
    ChromaLocation.BOTTOMLEFT: ("first", "last"),
    ChromaLocation.BOTTOM: ("middle", "last"),
}
"""Horizontal and vertical position of chroma (H.273, figure 1); ignored along axes without subsampling."""


def chroma_size(height: int, width: int, shift: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width of the chroma planes of an image; odd sizes are rounded up.

    Args:
        height: Height of the luma plane.
        width: Width of the luma plane.
        shift: log2 of the subsampling, (horizontal, vertical), as in `PixelLayout.chroma_shift`.
    """
    return -(-height >> shift[1]), -(-width >> shift[0])


def rows_reached(shift: tuple[int, int]) -> int:
    """Return the most rows of chroma above and below that either direction reads; 0 without subsampling."""
    return 2 * shift[1]


def downsample(full: Tensor, shift: tuple[int, int], location: ChromaLocation) -> Tensor:
    """Downsample chroma to the positions of the samples of a subsampled image.

    Args:
        full: `(..., H, W)`, float, any range, any device; not changed.
        shift: log2 of the subsampling, (horizontal, vertical).
        location: Siting; must be specified.

    Returns:
        `(..., h, w)`; see `chroma_size`. Constants stay constant, nothing is clipped.
    """
    horizontal, vertical = SITES[location]
    # Vertically first: the horizontal step, whose samples are strided in memory, then has half the work.
    for _ in range(shift[1]):
        full = _DOWN[vertical](full)
    columns = full.mT
    for _ in range(shift[0]):
        columns = _DOWN[horizontal](columns)
    return columns.mT


def upsample(
    chroma: Tensor, *, height: int, width: int, shift: tuple[int, int], location: ChromaLocation
) -> Tensor:
    """Interpolate chroma at every luma sample; `downsample` is the inverse.

    Args:
        chroma: `(..., h, w)`, see `chroma_size`; float, any range, any device; not changed.
        height: Height of the luma plane.
        width: Width of the luma plane.
        shift: log2 of the subsampling, (horizontal, vertical).
        location: Siting; must be specified.

    Returns:
        `(..., H, W)`; overshoots at edges are kept, not clipped.
    """
    horizontal, vertical = SITES[location]
    columns = chroma.mT
    for level in reversed(range(shift[0])):
        columns = _UP[horizontal](columns, -(-width >> level))
    rows = columns.mT
    for level in reversed(range(shift[1])):
        rows = _UP[vertical](rows, -(-height >> level))
    return rows


# The functions below work along dimension -2. Columns are passed as transposed views, whose strides torch
# keeps.


def _down_first(x: Tensor) -> Tensor:
    even, odd = x[..., 0::2, :].clone(), x[..., 1::2, :]  # contiguous, because even rows are read five times
    if odd.shape[-2] == 0:
        return even
    detail = odd - _predict(even, odd.shape[-2])
    right = even.shape[-2] - 1
    chroma = torch.add(even, _first_rows(detail, even.shape[-2]), alpha=0.25)
    chroma[..., 1:, :].add_(detail[..., :right, :], alpha=0.25)
    chroma[..., :1, :].add_(detail[..., :1, :], alpha=0.25)  # the detail before the border, mirrored
    return chroma


def _first_rows(detail: Tensor, count: int) -> Tensor:
    """Return the first `count` rows; if one is missing, the last row is repeated."""
    return detail if detail.shape[-2] == count else torch.cat((detail, detail[..., -1:, :]), -2)


def _up_first(chroma: Tensor, size: int) -> Tensor:
    x = _empty_rows(chroma, size)
    x[..., 0::2, :] = chroma
    x[..., 1::2, :] = _predict(chroma, size // 2)
    return x


def _predict(even: Tensor, count: int) -> Tensor:
    """Predict the rows half-way after each of the first `count` rows: weights (-1, 9, 9, -1) / 16, and (1, 1)
    / 2 at the borders."""
    total = _empty_rows(even, count)
    inner = even.shape[-2] - 1
    torch.add(even[..., :inner, :], even[..., 1:, :], out=total[..., :inner, :])
    if count > inner:
        torch.mul(even[..., inner:, :], 2, out=total[..., inner:, :])
    outer = total[..., :-2, :] + total[..., 2:, :]
    total[..., 1:-1, :].mul_(10 / 16).sub_(outer, alpha=1 / 16)
    total[..., :: max(1, count - 1), :].mul_(0.5)
    return total


def _down_middle(x: Tensor) -> Tensor:
    pairs = x.shape[-2] // 2
    chroma = _empty_rows(x, x.shape[-2] - pairs)
    torch.lerp(x[..., 0 : 2 * pairs : 2, :], x[..., 1::2, :], 0.5, out=chroma[..., :pairs, :])
    chroma[..., pairs:, :] = x[..., 2 * pairs :, :]
    return chroma


def _up_middle(chroma: Tensor, size: int) -> Tensor:
    pairs = size // 2
    x = _empty_rows(chroma, size)
    mean, slope = chroma[..., :pairs, :], _slope(chroma)[..., :pairs, :]
    torch.sub(mean, slope, alpha=0.125, out=x[..., 0 : 2 * pairs : 2, :])
    torch.add(mean, slope, alpha=0.125, out=x[..., 1::2, :])
    x[..., 2 * pairs :, :] = chroma[..., pairs:, :]
    return x


def _slope(chroma: Tensor) -> Tensor:
    """Return the next row minus the previous one; the rows at the borders are repeated."""
    slope = _empty_rows(chroma, chroma.shape[-2])
    torch.sub(chroma[..., 2:, :], chroma[..., :-2, :], out=slope[..., 1:-1, :])
    for here, after, before in ((0, 1, 0), (-1, -1, -2)):
        slope[..., here, :] = 0
        if chroma.shape[-2] > 1:
            torch.sub(chroma[..., after, :], chroma[..., before, :], out=slope[..., here, :])
    return slope


def _down_last(x: Tensor) -> Tensor:
    pairs = x.shape[-2] // 2
    chroma = _down_first(x[..., : 2 * pairs, :].flip(-2)).flip(-2)
    return torch.cat((chroma, x[..., 2 * pairs :, :]), -2)


def _up_last(chroma: Tensor, size: int) -> Tensor:
    pairs = size // 2
    x = _up_first(chroma[..., :pairs, :].flip(-2), 2 * pairs).flip(-2)
    return torch.cat((x, chroma[..., pairs:, :]), -2)


def _empty_rows(like: Tensor, count: int) -> Tensor:
    """Allocate `(..., count, width)` with the memory order of `like`, along rows or along columns."""
    *lead, _, width = like.shape
    if like.stride(-2) < like.stride(-1):
        return like.new_empty((*lead, width, count)).mT
    return like.new_empty((*lead, count, width))


_DOWN: dict[Site, Callable[[Tensor], Tensor]] = {
    "first": _down_first,
    "middle": _down_middle,
    "last": _down_last,
}
_UP: dict[Site, Callable[[Tensor, int], Tensor]] = {
    "first": _up_first,
    "middle": _up_middle,
    "last": _up_last,
}
