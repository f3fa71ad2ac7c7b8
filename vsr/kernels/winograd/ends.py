"""The output transform, and the epilogue of a layer: bias, PReLU, residuals, the image."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from llvmlite import ir

from vsr.kernels.llvm import F32, I64, number
from vsr.kernels.winograd import transform
from vsr.kernels.winograd.convolution import (
    ARGUMENTS,
    Chunk,
    Convolution,
    Features,
    Picture,
    Residual,
    address,
    field,
    multiplied,
    segments_room,
    transformed,
)
from vsr.kernels.winograd.emit import FLOAT, Code
from vsr.kernels.winograd.transform import IN, OUT

_CORNER = list(product(range(OUT), range(OUT)))
"""Rows and columns of a square."""


def emit(module: Any, name: str, shape: Convolution, lanes: int) -> None:
    """Append the function that computes a layer's stripes, of `convolution.ARGUMENTS`, to a module.

    Weights are those of `transform.weights`: for each `Convolution.vectors` of outputs 36 x channels x
    those.
    """
    code = Code(module, name, ARGUMENTS, lanes)
    room = code.room(segments_room(shape))
    _, begin, end, _ = code.arguments
    size = shape.chunk(lanes)
    chunks = code.ir.udiv(code.ir.add(field(code, "squares"), number(size - 1)), number(size))
    with code.repeat(begin, end) as y:
        with code.repeat(0, chunks) as each:
            chunk = _chunk(code, shape, y.index, code.ir.mul(each.index, number(size)))
            transformed(chunk)
            multiplied(chunk, room)
            if isinstance(shape.end, Picture):
                _to_picture(chunk, shape.end)
            else:
                to_features(chunk, shape.end)
        if not isinstance(shape.end, Picture):
            clear_outside(code, y.index, shape.end)
    code.ir.ret_void()


def _chunk(code: Code, shape: Convolution, y: Any, first: Any) -> Chunk:
    """From a stripe's square on, as many as are left of it but no more than a chunk has."""
    size = number(shape.chunk(code.lanes))
    left = code.ir.sub(field(code, "squares"), first)
    is_last = code.ir.icmp_signed("<=", left, size)
    following = (
        code.ir.add(y, code.ir.zext(is_last, I64)),
        code.ir.select(is_last, number(0), code.ir.add(first, size)),
    )
    return Chunk(code, shape, y, first, code.least(left, size), following)


def _results(chunk: Chunk, square: Any, k: Any) -> list[Any]:
    """Of a square, for a vector of outputs, in the order of `_CORNER`."""
    code = chunk.code
    size = chunk.shape.outputs * FLOAT
    begin = code.ahead(chunk.products, (chunk.place, size), (square, size), (k, FLOAT))
    columns = [
        transform.back(
            code, [code.read(code.at(begin, (r * IN + s) * chunk.product_bytes)) for r in range(IN)]
        )
        for s in range(IN)
    ]
    return [value for y in range(OUT) for value in transform.back(code, [column[y] for column in columns])]


def to_features(chunk: Chunk, end: Features | Residual) -> None:
    """Append step three for a layer whose results are features."""
    code = chunk.code
    factor = end.factor if isinstance(end, Features) else 1
    pixel = end.pixel * factor * FLOAT
    lines = {name: field(code, f"{name}_row") for name in ("dst", "base", "under")}
    with code.repeat(0, chunk.shape.outputs, by=code.lanes) as k:
        byte = code.ir.mul(k.index, number(FLOAT))

        def begin(name: str) -> Any:
            top = code.ahead(address(code, name), (code.ir.mul(chunk.y, number(OUT)), lines[name]))
            return code.at(code.ahead(top, (chunk.first, OUT * pixel)), byte)

        finish = _rest(chunk, end, byte)
        names = ["dst"] if isinstance(end, Features) else ["dst", "base", "under"][: 2 + end.twice]
        begins = {name: begin(name) for name in names}
        with code.repeat(0, chunk.count) as square:
            here = {name: code.ahead(at, (square.index, OUT * pixel)) for name, at in begins.items()}
            for (y, x), value in zip(_CORNER, _results(chunk, square.index, k.index), strict=True):
                places = {n: code.at(code.ahead(at, (lines[n], y)), x * pixel) for n, at in here.items()}
                code.write(finish(value, places), places["dst"])


def _rest(chunk: Chunk, end: Features | Residual, byte: Any) -> Callable[[Any, dict[str, Any]], Any]:
    """What is done to a result: bias, and an activation or what it is added to."""
    code = chunk.code
    bias = code.read(code.at(address(code, "bias"), byte))
    if isinstance(end, Features):
        slopes = code.read(code.at(address(code, "slopes"), byte))
        return lambda value, places: activated(code, code.add(value, bias), slopes)

    def residual(value: Any, places: dict[str, Any]) -> Any:
        value = code.plus_scaled(code.read(places["base"]), end.factor, code.add(value, bias))
        return code.plus_scaled(code.read(places["under"]), end.factor, value) if end.twice else value

    return residual


def activated(code: Code, value: Any, slopes: Any) -> Any:
    """A PReLU."""
    negative = code.ir.fcmp_ordered("<", value, code.constant(0.0))
    return code.ir.select(negative, code.ir.fmul(value, slopes), value)


def clear_outside(code: Code, y: Any, end: Features | Residual) -> None:
    """Zeros where a stripe's squares reach beyond the picture: the next layer takes them for its border."""
    pixel = end.pixel * (end.factor if isinstance(end, Features) else 1) * FLOAT
    width, line = field(code, "width"), field(code, "dst_row")
    whole, top = code.ir.mul(field(code, "squares"), number(OUT)), code.ir.mul(y, number(OUT))
    begin = code.ahead(address(code, "dst"), (top, line))
    for n in range(OUT):
        inside = code.ir.icmp_signed("<", code.ir.add(top, number(n)), field(code, "height"))
        x = code.ir.select(inside, width, number(0))
        code.clear(
            code.ahead(begin, (line, n), (x, pixel)), code.ir.mul(code.ir.sub(whole, x), number(pixel))
        )


def _to_picture(chunk: Chunk, end: Picture) -> None:
    """Square by square through `Chunk.pixels`, from which those are taken that are in the picture."""
    code, pixel, pixels = chunk.code, chunk.shape.outputs * FLOAT, chunk.pixels
    top = code.ir.mul(chunk.y, number(OUT))
    with code.repeat(0, chunk.count) as square:
        with code.repeat(0, chunk.shape.outputs, by=code.lanes) as k:
            byte = code.ir.mul(k.index, number(FLOAT))
            bias = code.read(code.at(address(code, "bias"), byte))
            for n, value in enumerate(_results(chunk, square.index, k.index)):
                code.write(code.add(value, bias), code.at(code.at(pixels, n * pixel), byte))
        left = code.ir.mul(code.ir.add(chunk.first, square.index), number(OUT))
        rows = code.least(code.ir.sub(field(code, "height"), top), number(OUT))
        columns = code.least(code.ir.sub(field(code, "width"), left), number(OUT))
        with code.repeat(0, rows) as y, code.repeat(0, columns) as x:
            at = code.ahead(pixels, (y.index, OUT * pixel), (x.index, pixel))
            _put(code, end, at, code.ir.add(top, y.index), code.ir.add(left, x.index))


def _put(code: Code, end: Picture, pixel: Any, y: Any, x: Any) -> None:
    """The results of an LR pixel, which are in the order of a pixel shuffle."""
    scale, piece = end.scale, ir.VectorType(F32, end.scale)
    base = code.ahead(address(code, "base"), (y, field(code, "base_row")), (x, FLOAT)) if end.based else None
    to = code.ahead(address(code, "dst"), (y, field(code, "dst_row")), (x, scale * FLOAT))
    line = code.ir.mul(field(code, "width"), number(scale * FLOAT))
    for plane, n in product(range(3), range(scale)):
        part = code.ir.load(code.at(pixel, (plane * scale + n) * scale * FLOAT), typ=piece, align=FLOAT)
        if base is not None:
            at = code.ahead(base, (field(code, "base_plane"), plane))
            under = code.ir.load(at, typ=F32, align=FLOAT)
            part = code.ir.fadd(part, code.spread(under, scale))
        code.ir.store(part, code.ahead(to, (field(code, "plane"), plane), (line, n)), align=FLOAT)
