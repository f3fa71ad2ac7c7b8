"""Chroma down- and upsampling by siting, as a pair that loses nothing: `downsample(upsample(c)) == c`.

Both directions are one step of a wavelet by lifting (Sweldens 1996), done per axis and per halving.
Upsampling is the synthesis with no detail; downsampling is the analysis of the same wavelet, so it returns
exactly the samples that upsampling started from, whatever they are and up to the borders, and yet it is a
low-pass for everything else. A plain antialiasing filter and a plain interpolation do not have this property:
they blur the chroma a little in each round trip.

A sample sits on its pair of luma samples in one of three ways:

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
"""Where chroma sits horizontally and vertically (H.273, figure 1); of no meaning where not subsampled."""


def chroma_size(height: int, width: int, shift: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the chroma planes of a picture; odd sizes are rounded up.

    Args:
        height: Of the luma plane.
        width: Of the luma plane.
        shift: log2 of the subsampling, (horizontal, vertical), as in `PixelLayout.chroma_shift`.
    """
    return -(-height >> shift[1]), -(-width >> shift[0])


def rows_reached(shift: tuple[int, int]) -> int:
    """Chroma rows above and below that either direction looks at, at most; 0 if rows are not subsampled."""
    return 2 * shift[1]


def downsample(full: Tensor, shift: tuple[int, int], location: ChromaLocation) -> Tensor:
    """Reduce chroma of full size to where the samples of a subsampled picture sit.

    Args:
        full: `(..., H, W)`, float, any range, any device; not changed.
        shift: log2 of the subsampling, (horizontal, vertical).
        location: Siting; must be specified.

    Returns:
        `(..., h, w)` as `chroma_size` says. Constants are kept, nothing is clipped.
    """
    horizontal, vertical = SITES[location]
    # Rows first: what is left to do along the rows, where samples lie apart in memory, is then half as much.
    for _ in range(shift[1]):
        full = _DOWN[vertical](full)
    columns = full.mT
    for _ in range(shift[0]):
        columns = _DOWN[horizontal](columns)
    return columns.mT


def upsample(
    chroma: Tensor, *, height: int, width: int, shift: tuple[int, int], location: ChromaLocation
) -> Tensor:
    """Interpolate chroma at every luma sample; `downsample` undoes it.

    Args:
        chroma: `(..., h, w)` as `chroma_size` says, float, any range, any device; not changed.
        height: Of the luma plane.
        width: Of the luma plane.
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


# What follows works on rows, dimension -2; columns come as transposed views, whose strides torch keeps.


def _down_first(x: Tensor) -> Tensor:
    even, odd = x[..., 0::2, :].clone(), x[..., 1::2, :]  # even rows are read five times, so together
    if odd.shape[-2] == 0:
        return even
    detail = odd - _predict(even, odd.shape[-2])
    right = even.shape[-2] - 1
    chroma = torch.add(even, _first_rows(detail, even.shape[-2]), alpha=0.25)
    chroma[..., 1:, :].add_(detail[..., :right, :], alpha=0.25)
    chroma[..., :1, :].add_(detail[..., :1, :], alpha=0.25)  # the detail left of the border, mirrored
    return chroma


def _first_rows(detail: Tensor, count: int) -> Tensor:
    """The first `count` rows; where one is missing the last is mirrored."""
    return detail if detail.shape[-2] == count else torch.cat((detail, detail[..., -1:, :]), -2)


def _up_first(chroma: Tensor, size: int) -> Tensor:
    x = _empty_rows(chroma, size)
    x[..., 0::2, :] = chroma
    x[..., 1::2, :] = _predict(chroma, size // 2)
    return x


def _predict(even: Tensor, count: int) -> Tensor:
    """Rows half-way after each of the first `count` rows: weights (-1, 9, 9, -1) / 16, two at the borders."""
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
    """Next row minus the one before; the borders are repeated."""
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
    """New `(..., count, width)` whose memory runs along rows or columns as that of `like` does."""
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
