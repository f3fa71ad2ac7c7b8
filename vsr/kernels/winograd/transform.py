"""The matrices of the Winograd F(4x4, 3x3) convolution: 36 products instead of 144 for 16 results.

A 6x6 tile of the source and the 3x3 weights are transformed along both axes, multiplied element by element
and summed over the channels. The sums are transformed back to a 4x4 output tile: Lavin and Gray, "Fast
Algorithms for Convolutional Neural Networks", 2015. The transforms interpolate polynomials at five points and
infinity. The points are 0, +-sqrt(1/2) and +-sqrt(2) here: their powers are similar in size, so float32 keeps
about one bit more than with the integers of that paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

OUT = 4
"""Side of an output tile."""
IN = 6
"""Side of the source tile that an output tile depends on."""
_NEAR, _FAR = 0.5**0.5, 2.0**0.5
"""Interpolation points, besides their negatives, 0 and infinity."""


class Arithmetic(Protocol):
    """Operations of the transforms: on values of emitted code, or on tensors."""

    def add(self, one: Any, other: Any) -> Any:
        """`one + other`."""

    def sub(self, one: Any, other: Any) -> Any:
        """`one - other`."""

    def scaled(self, one: Any, factor: float) -> Any:
        """`one * factor`."""

    def plus_scaled(self, one: Any, factor: float, other: Any) -> Any:
        """`one + factor * other`, rounded once."""


def forward(on: Arithmetic, d: Sequence[Any]) -> list[Any]:
    """Transform six numbers of the source along an axis: the product with B of the paper.

    Note [Points]: let p and q be the squares of the points; their product is 1. The two outer results are
    `d0 - (p + q) d2 + d4` and the same of d1, d3, d5. The result for a point x is
    `(d4 - r d2) + x (d3 - r d1)`, where r is the square of the other point.
    """
    near, far = _NEAR**2, _FAR**2
    results = [on.plus_scaled(on.add(d[0], d[4]), -(near + far), d[2])]
    for point, other in ((_NEAR, far), (_FAR, near)):
        even = on.plus_scaled(d[4], -other, d[2])
        odd = on.plus_scaled(d[3], -other, d[1])
        results += [on.plus_scaled(even, point, odd), on.plus_scaled(even, -point, odd)]
    return [*results, on.plus_scaled(on.add(d[1], d[5]), -(near + far), d[3])]


def back(on: Arithmetic, m: Sequence[Any]) -> list[Any]:
    """Transform six products along an axis to four results: sums with the powers 0 to 3 of the points."""
    near, far = on.add(m[1], m[2]), on.add(m[3], m[4])
    near_odd, far_odd = on.sub(m[1], m[2]), on.sub(m[3], m[4])
    return [
        on.add(on.add(m[0], near), far),
        on.plus_scaled(on.scaled(near_odd, _NEAR), _FAR, far_odd),
        on.plus_scaled(on.scaled(near, _NEAR**2), _FAR**2, far),
        on.plus_scaled(on.plus_scaled(m[5], _NEAR**3, near_odd), _FAR**3, far_odd),
    ]


def outward(on: Arithmetic, y: Sequence[Any]) -> list[Any]:
    """Transform four gradients of results along an axis to six gradients of products: `back` transposed."""
    results = [y[0]]
    for point in (_NEAR, _FAR):
        even = on.plus_scaled(y[0], point**2, y[2])
        odd = on.plus_scaled(y[1], point**2, y[3])
        results += [on.plus_scaled(even, point, odd), on.plus_scaled(even, -point, odd)]
    return [*results, y[3]]


def matrix() -> Tensor:
    """Return `(6, 3)` float64, which transforms three weights along an axis: G of the paper."""
    near, far = _NEAR**2, _FAR**2
    rows = [(1.0, 0.0, 0.0)]
    for point, square, other in ((_NEAR, near, far), (_FAR, far, near)):
        share = 1 / (2 * square * (square - other))
        rows += [(share, sign * point * share, square * share) for sign in (1, -1)]
    return torch.tensor([*rows, (0.0, 0.0, 1.0)], dtype=torch.float64)


def weights(kernel: Tensor) -> Tensor:
    """Transform weights.

    Args:
        kernel: `(outputs, channels, 3, 3)`.

    Returns:
        `(36, channels, outputs)`, float32, computed in float64; rows of the 6x6 tile one after the other.
    """
    both = torch.einsum("ra, oiab, sb -> rsio", matrix(), kernel.double(), matrix())
    return both.flatten(0, 1).float().contiguous()
