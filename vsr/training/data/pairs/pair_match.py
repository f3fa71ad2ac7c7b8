"""Checks that LR shows the content of HR: compares each reduced frame
with its own partner and with neighbours.

A pair that does not match teaches a network to blur or to shift, and no metric of a run reveals it.
Degradations (blur, noise, compression, another brightness) hardly change an image at this reduced size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 64
"""Width and height of a reduced image in pixels, for any aspect ratio."""
_LUMA = (0.299, 0.587, 0.114)
_FLAT = 2.0
"""Standard deviation in code values below which an image has no content to compare."""
_UNLIKE = 0.5
"""Fraction of variance that is not shared, above which two images have different
content; noise of 40 code values leaves 0.05."""
_CLEARLY = 4.0
"""How many times more similar a neighbour must be to count as the match;
all frames of a static scene are equal."""
_OPPOSITE = -0.5
"""Correlation of red minus blue below which these are swapped: -1 for equal images, and no degradation makes
it negative."""
_NOTICED = 0.003
"""Difference up to which a pair matches without a look at neighbours;
rounding and compression cause this much."""


def reduced(image: Tensor) -> Tensor:
    """Return the luma of an image `(3, H, W)` uint8, reduced to `(SIDE, SIDE)` float32 in code values."""
    luma = (image.float() * torch.tensor(_LUMA)[:, None, None]).sum(0)
    return F.interpolate(luma[None, None], size=(SIDE, SIDE), mode="area")[0, 0]


def are_swapped(hr: Tensor, lr: Tensor) -> bool:
    """Return whether red and blue of one image `(3, H, W)` uint8 are those of the other in reverse order, as
    programs write them that take OpenCV's BGR for RGB. Luma alone hardly shows it.
    """
    a, b = (_red_above_blue(image) for image in (hr, lr))
    if min(float(a.std()), float(b.std())) < _FLAT:
        return False
    return float((a @ b) / (a.norm() * b.norm())) < _OPPOSITE


def _red_above_blue(image: Tensor) -> Tensor:
    """Return red minus blue, reduced to `(SIDE * SIDE,)` float32 in code values, around its mean."""
    both = F.interpolate(image[None, [0, 2]].float(), size=(SIDE, SIDE), mode="area")[0]
    more = (both[0] - both[1]).flatten()
    return more - more.mean()


def difference(a: Tensor, b: Tensor) -> float | None:
    """Return the fraction of variance that two reduced images do not share, for any brightness and contrast.

    Returns:
        0 for equal images, 1 for images with nothing in common, None if one of them has no content.
    """
    a, b = a.flatten() - a.mean(), b.flatten() - b.mean()
    if min(float(a.std()), float(b.std())) < _FLAT:
        return None
    r = float((a @ b) / (a.norm() * b.norm()))
    return 1 - max(0.0, r) ** 2


@dataclass(frozen=True, slots=True)
class Mismatch:
    """An LR frame that does not show the content of its HR frame."""

    position: int
    of: int | None
    """Position of the neighbouring HR frame that matches; None if there is none."""
    turned: bool = False
    """Whether the LR frame is a rotated or mirrored version of its HR frame."""


def find_mismatches(pairs: Iterable[tuple[Tensor, Tensor]], *, reach: int = 1) -> Iterator[Mismatch]:
    """Find frames that do not match.

    Args:
        pairs: Reduced HR and LR frames, in order.
        reach: Number of neighbours on each side to compare with.
    """
    held: list[tuple[Tensor, Tensor]] = []
    first = position = 0  # positions of the first frame in `held`, and of the next frame to compare
    for pair in pairs:
        held.append(pair)
        if first + len(held) > position + reach:
            yield from _find_mismatch(held, position - first, position, reach)
            position += 1
        if position - first > reach:
            held.pop(0)
            first += 1
    while position < first + len(held):
        yield from _find_mismatch(held, position - first, position, reach)
        position += 1


def _find_mismatch(
    held: Sequence[tuple[Tensor, Tensor]], at: int, position: int, reach: int
) -> Iterator[Mismatch]:
    hr, lr = held[at]
    own = difference(lr, hr)
    if own is None or own < _NOTICED:
        return
    around = [i for i in range(max(0, at - reach), min(len(held), at + reach + 1)) if i != at]
    near = {i: found for i in around if (found := difference(lr, held[i][0])) is not None}
    nearest = min(near, key=near.__getitem__, default=None)
    if nearest is not None and _CLEARLY * near[nearest] < own:
        yield Mismatch(position, position + nearest - at)
    elif own > _UNLIKE:
        yield Mismatch(position, None, turned=_is_turned(lr, hr, own))


def _is_turned(lr: Tensor, hr: Tensor, own: float) -> bool:
    ways = [way.flip(axes) for way in (hr, hr.T) for axes in ([], [0], [1], [0, 1])]
    return min(difference(lr, way) or 0.0 for way in ways) * _CLEARLY < own
