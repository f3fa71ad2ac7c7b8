"""Whether LR shows what HR shows: each picture is compared with its own and with its neighbours, reduced.

A pair that does not fit teaches a network to blur or to shift, and no number of a run tells it. What a
degradation does (blur, noise, compression, another brightness) hardly changes a picture that is reduced.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 64
"""Pixels of a reduced picture, whatever its proportions."""
_LUMA = (0.299, 0.587, 0.114)
_FLAT = 2.0
"""Standard deviation in codes below which a picture shows nothing that could be compared."""
_UNLIKE = 0.5
"""Share of a picture's variance from which on it is another picture: noise of 40 codes leaves 0.05."""
_CLEARLY = 4.0
"""How much nearer a neighbour has to be; of what stands still all are equally near."""
_NOTICED = 0.003
"""Difference below which nobody is asked whether a neighbour is nearer: rounding and compression."""


def reduced(image: Tensor) -> Tensor:
    """The luma of a picture, `(SIDE, SIDE)` float32 codes, of `(3, H, W)` uint8."""
    luma = (image.float() * torch.tensor(_LUMA)[:, None, None]).sum(0)
    return F.interpolate(luma[None, None], size=(SIDE, SIDE), mode="area")[0, 0]


def difference(a: Tensor, b: Tensor) -> float | None:
    """Share of variance by which two reduced pictures differ, whatever their brightness and contrast.

    Returns:
        0 for the same, 1 for pictures that have nothing in common; None where one of them is flat.
    """
    a, b = a.flatten() - a.mean(), b.flatten() - b.mean()
    if min(float(a.std()), float(b.std())) < _FLAT:
        return None
    r = float((a @ b) / (a.norm() * b.norm()))
    return 1 - max(0.0, r) ** 2


@dataclass(frozen=True, slots=True)
class Misfit:
    """An LR picture that does not show its HR picture."""

    position: int
    of: int | None
    """Position of the HR picture near it that it does show; None where there is none."""
    turned: bool = False
    """Whether it shows its own, but turned or mirrored."""


def misfits(pairs: Iterable[tuple[Tensor, Tensor]], *, reach: int = 1) -> Iterator[Misfit]:
    """Find pictures that do not fit.

    Args:
        pairs: Reduced HR and LR pictures, in order.
        reach: How many neighbours on each side are asked.
    """
    held: list[tuple[Tensor, Tensor]] = []
    first = position = 0  # of what is held, and of the picture that is looked at next
    for pair in pairs:
        held.append(pair)
        if first + len(held) > position + reach:
            yield from _misfit(held, position - first, position, reach)
            position += 1
        if position - first > reach:
            held.pop(0)
            first += 1
    while position < first + len(held):
        yield from _misfit(held, position - first, position, reach)
        position += 1


def _misfit(held: Sequence[tuple[Tensor, Tensor]], at: int, position: int, reach: int) -> Iterator[Misfit]:
    hr, lr = held[at]
    own = difference(lr, hr)
    if own is None or own < _NOTICED:
        return
    around = [i for i in range(max(0, at - reach), min(len(held), at + reach + 1)) if i != at]
    near = {i: found for i in around if (found := difference(lr, held[i][0])) is not None}
    nearest = min(near, key=near.__getitem__, default=None)
    if nearest is not None and _CLEARLY * near[nearest] < own:
        yield Misfit(position, position + nearest - at)
    elif own > _UNLIKE:
        yield Misfit(position, None, turned=_is_turned(lr, hr, own))


def _is_turned(lr: Tensor, hr: Tensor, own: float) -> bool:
    ways = [way.flip(axes) for way in (hr, hr.T) for axes in ([], [0], [1], [0, 1])]
    return min(difference(lr, way) or 0.0 for way in ways) * _CLEARLY < own
