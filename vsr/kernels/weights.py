"""Weights of convolutions rearranged for kernels, as float32 tensors on the host."""

from __future__ import annotations

import torch
from torch import Tensor

_FOLDED = torch.tensor([[[1.0, 0, 0], [0, 1, 1], [0, 0, 0]], [[0, 0, 0], [1, 1, 0], [0, 0, 1]]])
"""For the first and the second of two pixels that the nearest neighbour makes of one: which taps of a
convolution read the source pixel before, at and after that one. `(2, 3 source pixels, 3 taps)`."""


def after_doubling(weight: Tensor, row: int, column: int) -> Tensor:
    """Return the 3x3 convolution of the small image that equals one after nearest-neighbour enlargement by 2.

    It holds for one pixel of each 2x2 in the enlarged image.

    Args:
        weight: `(outputs, channels, 3, 3)` of the convolution after the enlargement.
        row: 0 or 1, row of the pixel in the 2x2.
        column: 0 or 1, column of the pixel in the 2x2.

    Returns:
        `(outputs, channels, 3, 3)`, zero except in rows `row` and `row + 1`, and in columns `column` and
        `column + 1`: four taps instead of nine.
    """
    return torch.einsum("yr, xc, oirc -> oiyx", _FOLDED[row], _FOLDED[column], weight)
