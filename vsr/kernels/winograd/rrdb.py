"""An RRDB network in layers for the emitted code."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor, nn

from vsr.kernels.weights import parameters
from vsr.kernels.winograd import layers
from vsr.kernels.winograd.convolution import Features, Picture, Residual
from vsr.kernels.winograd.program import Buffer, Network, Work
from vsr.models.archs.rrdb import RESIDUAL, RRDB, SLOPE


def network(rrdb: RRDB) -> Network:
    """All of it behind the squares that become channels."""
    return Network(3 * rrdb.multiple**2, rrdb.scale * rrdb.multiple, list(_works(rrdb)))


def _works(rrdb: RRDB) -> Iterator[Work]:
    nf = rrdb.config.nf
    first, taken, other, spare = (Buffer(name, nf) for name in ("first", "one", "two", "three"))
    yield Work(layers.first(*parameters(rrdb.conv_first), torch.ones(nf)), dst=first)
    here = first
    for block in rrdb.body:
        dense = list(block.children())
        yield from _dense(dense[0], here, taken)
        yield from _dense(dense[1], taken, other)
        yield from _dense(dense[2], other, taken, skip=here)
        here, taken = taken, spare if here is first else here  # the first is wanted at the end again
    weight, bias = parameters(rrdb.conv_body)
    body = layers.inner([weight], bias, bias, Residual(nf, 1.0))
    yield Work(body, (here,), other, base=first)
    yield from _enlarged(rrdb, other)


def _dense(dense: nn.Module, src: Buffer, dst: Buffer, skip: Buffer | None = None) -> Iterator[Work]:
    """A dense block, and with `skip` the end of the block of three around it, which began there."""
    *convs, last = map(parameters, dense.children())
    grown = len(convs[0][1])
    sources = [src]
    for n, (weight, bias) in enumerate(convs):
        slopes = torch.full((grown,), SLOPE)
        layer = layers.inner(_split(weight, sources), bias, slopes, Features(grown))
        grow = Buffer(f"grown {n}", grown)
        yield Work(layer, tuple(sources), grow)
        sources.append(grow)
    weight, bias = last
    end = Residual(dst.channels, RESIDUAL, twice=skip is not None)
    layer = layers.inner(_split(weight, sources), bias, bias, end)
    yield Work(layer, tuple(sources), dst, base=src, under=skip)


def _split(weight: Tensor, sources: list[Buffer]) -> list[Tensor]:
    """By the source that is read."""
    return list(weight.split([source.channels for source in sources], 1))


def _enlarged(rrdb: RRDB, src: Buffer) -> Iterator[Work]:
    nf = rrdb.config.nf
    kind = _shuffled if rrdb.config.upsampler == "pixelshuffle" else _nearest
    for n, (conv, by) in enumerate(rrdb.enlargements()):
        dst = Buffer(f"enlarged {n}", nf, src.factor * by)
        yield from kind(conv, src, dst, by)
        src = dst
    weight, bias = parameters(rrdb.conv_hr)
    hr = Buffer("last", nf, src.factor)
    yield Work(layers.inner([weight], bias, torch.full((nf,), SLOPE), Features(nf)), (src,), hr)
    weight, bias = parameters(rrdb.conv_last)
    yield Work(layers.inner([weight], bias, bias, Picture(1, based=False)), (hr,))


def _shuffled(conv: nn.Module, src: Buffer, dst: Buffer, by: int) -> Iterator[Work]:
    """A convolution before a pixel shuffle: of its channels, those that become one pixel of each square."""
    weight, bias = parameters(conv)
    for row, column in product(range(by), range(by)):
        each = slice(row * by + column, None, by**2)
        slopes = torch.full((dst.channels,), SLOPE)
        layer = layers.inner([weight[each]], bias[each], slopes, Features(dst.channels, by))
        yield Work(layer, (src,), dst, phase=(row, column))


def _nearest(conv: nn.Module, src: Buffer, dst: Buffer, by: int) -> Iterator[Work]:
    """A convolution behind the nearest neighbour, which always doubles."""
    assert by == 2
    weight, bias = parameters(conv)
    slopes = torch.full((dst.channels,), SLOPE)
    yield Work(layers.inner([weight], bias, slopes, Features(dst.channels), doubled=True), (src,), dst)
