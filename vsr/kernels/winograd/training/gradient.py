"""The weight gradient of a Winograd convolution.

The input transform turns the source of a tile into 36 numbers a channel, as for the convolution itself. The
transposed output transform turns the gradients of the tile's 16 results into 36 numbers, too. Their products,
summed over all tiles, are the gradients of the 36 transformed weights. Each work item sums in its own memory.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from vsr.kernels.llvm import int64
from vsr.kernels.winograd import transform
from vsr.kernels.winograd.convolution import (
    POINTS,
    Convolution,
    TileBatch,
    address,
    field,
    transform_sources,
)
from vsr.kernels.winograd.emit import FLOAT, Code
from vsr.kernels.winograd.training.row_blocks import tile_batches
from vsr.kernels.winograd.transform import IN, OUT

_CHANNELS_AT_ONCE = 4
"""Channels whose sums are in registers at once, each with `Convolution.vectors` vectors of outputs."""


def sum_gradients(code: Code, shape: Convolution) -> None:
    """Append the code that adds the tiles of a row block to the sums.

    In its layer src0 is the row block, base holds the gradients of its results, and dst holds the sums,
    36 x channels x outputs.
    """
    with tile_batches(code, shape) as (batch, by_rows):
        by_rows(transform_sources)
        by_rows(_transform_gradients)
        _add(batch)


def _transform_gradients(batch: TileBatch) -> None:
    """Append the transform of the gradients of a row's results into the matrices of products."""
    code, size = batch.code, batch.shape.outputs * FLOAT
    line = field(code, "base_row")
    top = code.offset(address(code, "base"), (code.ir.mul(batch.y, int64(OUT)), line))
    top = code.offset(top, (batch.first, OUT * size))
    to = code.offset(batch.products, (batch.position, size))
    with code.repeat(0, batch.shape.outputs, by=code.lanes) as k, code.repeat(0, batch.count) as tile:
        begin = code.offset(top, (k.index, FLOAT), (tile.index, OUT * size))
        columns = [
            transform.outward(
                code, [code.read(code.offset(code.offset(begin, (line, y)), x * size)) for y in range(OUT)]
            )
            for x in range(OUT)
        ]
        here = code.offset(to, (k.index, FLOAT), (tile.index, size))
        for r in range(IN):
            row = transform.outward(code, [column[r] for column in columns])
            for s in range(IN):
                code.write(row[s], code.offset(here, (r * IN + s) * batch.product_bytes))


def _add(batch: TileBatch) -> None:
    """Append the products of transformed sources and gradients, which are added to the sums."""
    code, shape = batch.code, batch.shape
    wide = shape.vectors(code.lanes) * code.lanes
    size = shape.outputs * FLOAT
    with code.repeat(0, POINTS) as point:
        sources = code.offset(code.arguments[3], (point.index, batch.source_bytes))
        gradients = code.offset(batch.products, (point.index, batch.product_bytes))
        sums = code.offset(address(code, "dst"), (point.index, shape.channels * size))
        with (
            code.repeat(0, shape.outputs, by=wide) as k,
            code.repeat(0, shape.channels, by=_CHANNELS_AT_ONCE) as c,
        ):
            here = code.offset(sums, (c.index, size), (k.index, FLOAT))
            factors = code.offset(sources, (c.index, FLOAT)), code.offset(gradients, (k.index, FLOAT))
            _add_some(batch, factors, here)


def _add_some(batch: TileBatch, factors: tuple[Any, Any], sums: Any) -> None:
    """Append the sums of a few channels and a few vectors of outputs over all tiles of a batch."""
    code, shape = batch.code, batch.shape
    vectors, size, each = shape.vectors(code.lanes), shape.outputs * FLOAT, code.lanes * FLOAT
    places = [
        code.offset(sums, c * size + v * each) for c, v in product(range(_CHANNELS_AT_ONCE), range(vectors))
    ]
    sources, gradients = factors
    with code.repeat(0, batch.count, [code.read(place) for place in places]) as tile:
        values = code.offset(gradients, (tile.index, size))
        loaded = [code.read(code.offset(values, v * each)) for v in range(vectors)]
        numbers = code.offset(sources, (tile.index, shape.channels * FLOAT))
        for c in range(_CHANNELS_AT_ONCE):
            factor = code.broadcast(code.offset(numbers, c * FLOAT))
            for v in range(vectors):
                tile.following.append(code.fma(factor, loaded[v], tile.carried[c * vectors + v]))
    for place, total in zip(places, tile.carried, strict=True):
        code.write(total, place)
