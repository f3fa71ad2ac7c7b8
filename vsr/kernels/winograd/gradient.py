"""The weight gradient of a Winograd convolution.

What a square reads is transformed into 36 numbers a channel, as for the convolution itself; so are the
gradients of its 16 results, a way back. Their products, summed over all squares, are the gradients of the 36
transformed weights. The sums of a part lie in memory of its own.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from vsr.kernels.llvm import number
from vsr.kernels.winograd import transform
from vsr.kernels.winograd.convolution import POINTS, Chunk, Convolution, address, field, transformed
from vsr.kernels.winograd.emit import FLOAT, Code
from vsr.kernels.winograd.strips import chunks
from vsr.kernels.winograd.transform import IN, OUT

_TOGETHER = 4
"""Channels whose sums are in registers at once, each with as many vectors of outputs as a product has."""


def summed(code: Code, shape: Convolution) -> None:
    """Append what adds a strip's squares to the sums.

    Of the layer, src0 are the strip's pixels, base are the gradients of its results and dst are the sums,
    36 x channels x outputs.
    """
    with chunks(code, shape) as (chunk, by_rows):
        by_rows(transformed)
        by_rows(_outward)
        _add(chunk)


def _outward(chunk: Chunk) -> None:
    """The gradients of a row's results, transformed into the matrices of products."""
    code, size = chunk.code, chunk.shape.outputs * FLOAT
    line = field(code, "base_row")
    top = code.ahead(address(code, "base"), (code.ir.mul(chunk.y, number(OUT)), line))
    top = code.ahead(top, (chunk.first, OUT * size))
    to = code.ahead(chunk.products, (chunk.place, size))
    with code.repeat(0, chunk.shape.outputs, by=code.lanes) as k, code.repeat(0, chunk.count) as square:
        begin = code.ahead(top, (k.index, FLOAT), (square.index, OUT * size))
        columns = [
            transform.outward(
                code, [code.read(code.at(code.ahead(begin, (line, y)), x * size)) for y in range(OUT)]
            )
            for x in range(OUT)
        ]
        here = code.ahead(to, (k.index, FLOAT), (square.index, size))
        for r in range(IN):
            row = transform.outward(code, [column[r] for column in columns])
            for s in range(IN):
                code.write(row[s], code.at(here, (r * IN + s) * chunk.product_bytes))


def _add(chunk: Chunk) -> None:
    """Products of the channels' numbers and the gradients, added to the sums."""
    code, shape = chunk.code, chunk.shape
    wide = shape.vectors(code.lanes) * code.lanes
    size = shape.outputs * FLOAT
    with code.repeat(0, POINTS) as point:
        sources = code.ahead(code.arguments[3], (point.index, chunk.source_bytes))
        gradients = code.ahead(chunk.products, (point.index, chunk.product_bytes))
        sums = code.ahead(address(code, "dst"), (point.index, shape.channels * size))
        with (
            code.repeat(0, shape.outputs, by=wide) as k,
            code.repeat(0, shape.channels, by=_TOGETHER) as c,
        ):
            here = code.ahead(sums, (c.index, size), (k.index, FLOAT))
            of = code.ahead(sources, (c.index, FLOAT)), code.ahead(gradients, (k.index, FLOAT))
            _add_some(chunk, of, here)


def _add_some(chunk: Chunk, of: tuple[Any, Any], sums: Any) -> None:
    code, shape = chunk.code, chunk.shape
    vectors, size, each = shape.vectors(code.lanes), shape.outputs * FLOAT, code.lanes * FLOAT
    places = [code.at(sums, c * size + v * each) for c, v in product(range(_TOGETHER), range(vectors))]
    sources, gradients = of
    with code.repeat(0, chunk.count, [code.read(place) for place in places]) as square:
        values = code.ahead(gradients, (square.index, size))
        loaded = [code.read(code.at(values, v * each)) for v in range(vectors)]
        numbers = code.ahead(sources, (square.index, shape.channels * FLOAT))
        for c in range(_TOGETHER):
            factor = code.everywhere(code.at(numbers, c * FLOAT))
            for v in range(vectors):
                square.following.append(code.fused(factor, loaded[v], square.carried[c * vectors + v]))
    for place, total in zip(places, square.carried, strict=True):
        code.write(total, place)
