"""A Compact network in layers for the emitted code."""

from __future__ import annotations

from torch import nn

from vsr.kernels.weights import parameters, slopes_of
from vsr.kernels.winograd import layers
from vsr.kernels.winograd.convolution import Features, Picture
from vsr.kernels.winograd.program import Buffer, Network, Work
from vsr.models.archs.compact import Compact


def network(compact: Compact) -> Network:
    """All of it, the nearest neighbour beneath included."""
    first, *inner, last = [layer for layer in compact.body if isinstance(layer, nn.Conv2d)]
    channels = layers.wide(compact.config.nf)
    frames = [Buffer(name, channels) for name in ("one", "two")]
    weight, bias = parameters(first)
    works = [Work(layers.first(weight, bias, slopes_of(compact.body[1], len(bias))), dst=frames[0])]
    for i, conv in enumerate(inner, 1):
        weight, bias = parameters(conv)
        slopes = slopes_of(compact.body[2 * i + 1], len(bias))
        layer = layers.inner([weight], bias, slopes, Features(channels))
        works.append(Work(layer, (frames[1 - i % 2],), frames[i % 2]))
    weight, bias = parameters(last)
    layer = layers.inner([weight], bias, bias, Picture(compact.scale, based=True))
    works.append(Work(layer, (frames[len(inner) % 2],)))
    return Network(3, compact.scale, works)
