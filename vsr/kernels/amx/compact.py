"""A Compact network in layers for the emitted code."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from vsr.kernels.amx import layers, program
from vsr.kernels.amx.convolution import Features, Picture
from vsr.kernels.amx.layers import Layer
from vsr.kernels.amx.program import ENTRY, PICTURE, Buffer, Group, Network, Work
from vsr.kernels.weights import parameters, slopes_of
from vsr.models.archs.compact import Compact

_KEPT = 3
"""Rows that a convolution reads."""
_ROWS_A_LAYER = 4
"""Of a part, for each layer that advances with others: what two parts compute twice is to stay little."""


def network(compact: Compact) -> Network:
    """All of it, the nearest neighbour beneath included."""
    *convs, last = [layer for layer in compact.body if isinstance(layer, nn.Conv2d)]
    channels = layers.wide(compact.config.nf)
    made = []
    for i, conv in enumerate(convs):
        weight, bias = parameters(conv)
        slopes = slopes_of(compact.body[2 * i + 1], len(bias))
        end = Features(2 * channels)
        made.append(layers.inner([weight], bias, end, slopes) if i else layers.entry(weight, bias, slopes))
    made.append(layers.last(*parameters(last), Picture(compact.scale, based=True)))
    return Network(3, compact.scale, made, lambda height, width: _groups(made, channels, height, width))


def _groups(made: Sequence[Layer], channels: int, height: int, width: int) -> list[Group]:
    count = len(made)
    number = -(-count // _depth(channels, height, width))
    edges = [count * i // number for i in range(number + 1)]
    return [Group(_works(made, channels, edges[i : i + 2], i), _KEPT) for i in range(number)]


def _depth(channels: int, height: int, width: int) -> int:
    """How many layers have room in a core's cache, with their rows and weights."""
    rows, weights = _KEPT * (width + 32) * 2 * channels, 9 * 2 * channels**2
    return max(1, min(program.CACHE // (rows + weights), height // _ROWS_A_LAYER))


def _works(made: Sequence[Layer], channels: int, edges: Sequence[int], group: int) -> list[Work]:
    """Of layers that advance together: from one frame through rings to the other."""
    begin, end = edges

    def behind(n: int) -> Buffer:
        """Layer n's result."""
        if n < 0:
            return Buffer(ENTRY, layers.entry_channels(3))
        if n == len(made) - 1:
            return Buffer(PICTURE, 3)
        if n in (begin - 1, end - 1):
            return Buffer(f"frame {(group + (n == end - 1)) % 2}", channels)
        return Buffer(f"ring {n}", channels, ring=True)

    return [Work(made[n], behind(n - 1), behind(n), halo=end - 1 - n) for n in range(begin, end)]
