"""Weights of convolutions, rearranged for kernels: float32 tensors on the host."""

from __future__ import annotations

import torch
from torch import Tensor

_FALLEN = torch.tensor([[[1.0, 0, 0], [0, 1, 1], [0, 0, 0]], [[0, 0, 0], [1, 1, 0], [0, 0, 1]]])
"""For the first and the second pixel of two: which taps of a convolution fall on the source pixel before, at
and behind the one that both are copies of."""


def behind_doubling(weight: Tensor, row: int, column: int) -> Tensor:
    """A 3x3 convolution behind the nearest neighbour, for one pixel of each 2x2, on the picture before it.

    Args:
        weight: `(outputs, channels, 3, 3)`.
        row: 0 or 1, of the pixel in its square.
        column: Likewise.

    Returns:
        `(outputs, channels, 3, 3)`, zero but for rows `row` and `row + 1`, and columns likewise: four taps
        where there were nine.
    """
    return torch.einsum("yr, xc, oirc -> oiyx", _FALLEN[row], _FALLEN[column], weight)
