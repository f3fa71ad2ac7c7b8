"""Rotation, mirroring and stretching of frames for display."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

Matrix = tuple[int, ...]
"""Nine numbers as FFmpeg stores them: a b u c d v x y w; all but u, v and w are 16.16 fixed point. A pixel at
(p, q) is shown at (a*p + c*q + x, b*p + d*q + y)."""
_ONE = 1 << 16
_UPRIGHT = (_ONE, 0, 0, _ONE)
_SHEARED = 0.01
"""Cosine of the angle between a pixel's sides above which the matrix does more than rotate and stretch."""


def rotation_of(matrix: Matrix) -> tuple[Matrix | None, Fraction]:
    """Split a matrix into its rotation, None if there is none, and the factor by which it widens a stored
    pixel.

    Matroska's projection has no stretching, and most players ignore it in other containers, so it belongs in
    the pixel aspect ratio. A matrix that does more than rotate, mirror and stretch is returned unchanged.
    """
    a, b, u, c, d, v, x, y, w = matrix
    across, down = math.hypot(a, b), math.hypot(c, d)
    if not across or not down or abs(a * c + b * d) > _SHEARED * across * down:
        return matrix, Fraction(1)
    if across == down == _ONE:
        return matrix, Fraction(1)
    row = [round(n * _ONE / across) for n in (a, b)], [round(n * _ONE / down) for n in (c, d)]
    stretch = Fraction(across / down).limit_denominator(1000)
    pure = (*row[0], u, *row[1], v, x, y, w)
    return None if (*row[0], *row[1]) == _UPRIGHT else pure, stretch


def moved_with(matrix: Matrix, x_scale: Fraction, y_scale: Fraction) -> Matrix:
    """Return the matrix for a scaled frame: its translation is scaled, too."""
    a, b, u, c, d, v, x, y, w = matrix
    across = (x_scale, y_scale) if abs(a) >= abs(c) else (y_scale, x_scale)
    return a, b, u, c, d, v, round(x * across[0]), round(y * across[1]), w


def ratio_of_ffmpeg(matrix: Matrix) -> Fraction | None:
    """Return the pixel aspect ratio that FFmpeg derives from the matrix of a file without one; None if it
    derives none.
    """
    a, b, _, c, d, _, *_ = matrix
    across, down = math.hypot(a, c), math.hypot(b, d)
    if min(across, down) <= 1 or abs(across / down - 1) <= 0.01:
        return None
    return Fraction(across / down).limit_denominator(1000)


class Turn(NamedTuple):
    """How a stored frame becomes the shown one: both sides are exchanged first, then it is mirrored."""

    transposed: bool
    mirrored: bool
    """Left and right are exchanged."""
    flipped: bool
    """Top and bottom are exchanged."""


def turn_of(matrix: Matrix | None) -> Turn:
    """Return the turn of a matrix, to the nearest quarter: x' = a x + c y, y' = b x + d y
    (libavutil/display.h).
    """
    if matrix is None:
        return Turn(transposed=False, mirrored=False, flipped=False)
    a, b, _, c, d, *_ = matrix
    transposed = abs(a) < abs(b)
    across, down = (c, b) if transposed else (a, d)
    return Turn(transposed=transposed, mirrored=across < 0, flipped=down < 0)
