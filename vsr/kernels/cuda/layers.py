"""Weights of convolutions in the order that `halo.cu` reads."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor

from vsr.kernels.conv_graph import IMAGE, Conv, ConvGraph
from vsr.kernels.cuda import halo
from vsr.kernels.cuda.halo import Packed
from vsr.kernels.cuda.program import duplicated
from vsr.kernels.weights import after_doubling


def packed(graph: ConvGraph, n: int, *, dtype: torch.dtype, device: torch.device) -> list[Packed]:
    """Pack the weights of convolution n of a graph that `limits.fits` accepts, and move them to a device.

    Returns:
        One layer; where the convolution enlarges, one for each phase of the pixels that it makes.
    """
    conv, is_last = graph.convs[n - 1], n == len(graph.convs)
    made = []
    for weight, bias, slopes, phase in _phases(conv, is_last):
        rows, columns = taps(conv, phase)
        layer = halo.pack(
            weight[:, :, slice(*rows), slice(*columns)],
            bias,
            slopes,
            dtype=dtype,
            device=device,
            top=rows[0] - 1,
            left=columns[0] - 1,
            planes=is_last,
            shuffle=conv.shuffle if is_last else 1,
        )
        assert layer is not None
        made.append(layer)
    return made


def taps(conv: Conv, phase: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the ranges `(begin, end)` of the rows and of the columns of the weights that are not all
    zero."""
    if conv.upsample == 1:
        return (0, 3), (0, 3)
    return (phase[0], phase[0] + 2), (phase[1], phase[1] + 2)


def _phases(conv: Conv, is_last: bool) -> Iterator[tuple[Tensor, Tensor, Tensor, tuple[int, int]]]:
    """Yield weight, bias and slopes of each layer, and the phase (row, column) of the pixels that it
    makes."""
    slopes = conv.slopes_or_ones
    by = conv.upsample * (1 if is_last else conv.shuffle)
    for row, column in product(range(by), range(by)):
        if conv.upsample > 1:
            yield after_doubling(conv.weight, row, column), conv.bias, slopes, (row, column)
        else:  # the output channels that a pixel shuffle turns into pixels of this phase
            each = slice(row * by + column, None, by**2)
            weight = duplicated(conv.weight) if conv.inputs == (IMAGE,) else conv.weight
            yield weight[each], conv.bias[each], slopes[each], (row, column)
