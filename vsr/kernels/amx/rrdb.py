"""An RRDB network in layers for the emitted code.

The five convolutions of a dense block advance together: what the first four make is kept for a few rows only.
A block's input lies whole, for the block after it and the skip around three of them want it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor, nn

from vsr.kernels.amx import layers
from vsr.kernels.amx.convolution import Features, Picture, Residual
from vsr.kernels.amx.layers import Layer
from vsr.kernels.amx.program import ENTRY, PICTURE, Buffer, Group, Network, Work
from vsr.kernels.weights import behind_doubling, parameters
from vsr.models.archs.rrdb import RESIDUAL, RRDB, SLOPE

_KEPT = 6
"""Rows of what is made inside a dense block: the last of its five convolutions is four rows behind the first,
and reads the row before that."""


def network(rrdb: RRDB) -> Network:
    """All of it behind the squares that become channels."""
    groups = list(_groups(rrdb))
    made = [work.layer for group in groups for work in group.works]
    scale = rrdb.scale * rrdb.multiple
    return Network(3 * rrdb.multiple**2, scale, made, lambda height, width: groups)


def _groups(rrdb: RRDB) -> Iterator[Group]:
    nf = rrdb.config.nf
    first, taken, other, spare = (Buffer(name, nf) for name in ("first", "one", "two", "three"))
    entry = Buffer(ENTRY, layers.entry_channels(3 * rrdb.multiple**2))
    yield Group([Work(layers.entry(*parameters(rrdb.conv_first), torch.ones(nf)), entry, first)])
    here = first
    for block in rrdb.body:
        dense = list(block.children())
        yield _dense(dense[0], here, taken)
        yield _dense(dense[1], taken, other)
        yield _dense(dense[2], other, taken, skip=here)
        here, taken = taken, spare if here is first else here  # the first is wanted at the end again
    weight, bias = parameters(rrdb.conv_body)
    body = layers.inner([weight], bias, Residual(other.pixel, 1.0), torch.zeros(nf))
    yield Group([Work(body, here, other, base=first)])
    yield from _enlarged(rrdb, other)


def _dense(dense: nn.Module, src: Buffer, dst: Buffer, skip: Buffer | None = None) -> Group:
    """A dense block, and with `skip` the end of the block of three around it, which began there."""
    *convs, last = map(parameters, dense.children())
    grown = len(convs[0][1])
    inside = Buffer("inside", len(convs) * grown, ring=True)
    sizes = (src.pixel, inside.pixel)
    works = []
    for n, (weight, bias) in enumerate(convs):
        slopes, end = torch.full((grown,), SLOPE), Features(inside.pixel)
        layer = layers.inner(_split(weight, src), bias, end, slopes, pixels=sizes)
        works.append(Work(layer, src, replace(inside, byte=2 * n * grown), more=inside, halo=len(convs) - n))
    weight, bias = last
    residual = Residual(dst.pixel, RESIDUAL, twice=skip is not None)
    layer = layers.inner(_split(weight, src), bias, residual, torch.zeros(len(bias)), pixels=sizes)
    return Group([*works, Work(layer, src, dst, more=inside, base=src, under=skip)], _KEPT)


def _split(weight: Tensor, src: Buffer) -> list[Tensor]:
    """Of the block's input, and of what was made of it, if it sees any."""
    parts = [weight[:, : src.channels], weight[:, src.channels :]]
    return parts if parts[1].shape[1] else parts[:1]


def _enlarged(rrdb: RRDB, src: Buffer) -> Iterator[Group]:
    factor, nf = 1, rrdb.config.nf
    for n, (conv, by) in enumerate(rrdb.enlargements()):
        kind = _shuffled if rrdb.config.upsampler == "pixelshuffle" else _nearest
        places = [
            Buffer(f"enlarged {n}", nf, phase=(row, column), factor=by)
            for row, column in product(range(by), range(by))
        ]
        works = [Work(kind(conv, dst), src, dst) for dst in places]
        yield Group(works, factor=factor)
        factor, src = factor * by, Buffer(f"enlarged {n}", nf)
    weight, bias = parameters(rrdb.conv_hr)
    hr = layers.inner([weight], bias, Features(2 * nf), torch.full((nf,), SLOPE))
    last = layers.last(*parameters(rrdb.conv_last), Picture(1, based=False))
    ring = Buffer("last", nf, ring=True)
    yield Group([Work(hr, src, ring, halo=1), Work(last, ring, Buffer(PICTURE, 3))], factor=factor)


def _shuffled(conv: nn.Module, dst: Buffer) -> Layer:
    """Of a convolution before a pixel shuffle, the channels that become one pixel of each square."""
    begin = dst.phase[0] * dst.factor + dst.phase[1]
    weight, bias = (values[begin :: dst.factor**2] for values in parameters(conv))
    return layers.inner([weight], bias, Features(dst.pixel * dst.factor), torch.full((len(bias),), SLOPE))


def _nearest(conv: nn.Module, dst: Buffer) -> Layer:
    """Of a convolution after the nearest neighbour doubled the picture: four taps where it would be nine."""
    (row, column), (weight, bias) = dst.phase, parameters(conv)
    folded = behind_doubling(weight, row, column)
    end, slopes = Features(dst.pixel * dst.factor), torch.full((len(bias),), SLOPE)
    return layers.inner([folded], bias, end, slopes, rows=(row, row + 1), columns=(column, column + 1))
