"""The output transform, and the epilogue of a layer: bias, PReLU, residuals, the image."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from llvmlite import ir

from vsr.kernels.epilogues import Image, Residual
from vsr.kernels.llvm import F32, I64, int64
from vsr.kernels.winograd import transform
from vsr.kernels.winograd.convolution import (
    ARGUMENTS,
    Convolution,
    Features,
    TileBatch,
    address,
    field,
    multiply,
    segments_bytes,
    transform_sources,
)
from vsr.kernels.winograd.emit import FLOAT, Code
from vsr.kernels.winograd.transform import IN, OUT

_TILE_PIXELS = list(product(range(OUT), range(OUT)))
"""Rows and columns of the pixels of an output tile."""


def emit(module: Any, name: str, shape: Convolution, lanes: int) -> None:
    """Append the function that computes tile rows of a layer to a module; see `convolution.ARGUMENTS`.

    It reads weights from `transform.weights` in groups of `Convolution.vectors` vectors of outputs: for each
    group 36 x channels x the outputs of the group.
    """
    code = Code(module, name, ARGUMENTS, lanes)
    workspace = code.workspace(segments_bytes(shape))
    _, begin, end, _ = code.arguments
    size = shape.batch_tiles(lanes)
    batches = code.ir.udiv(code.ir.add(field(code, "tiles"), int64(size - 1)), int64(size))
    with code.repeat(begin, end) as y:
        with code.repeat(0, batches) as each:
            batch = _tile_batch(code, shape, y.index, code.ir.mul(each.index, int64(size)))
            transform_sources(batch)
            multiply(batch, workspace)
            if isinstance(shape.epilogue, Image):
                _to_image(batch, shape.epilogue)
            else:
                to_features(batch, shape.epilogue)
        if not isinstance(shape.epilogue, Image):
            zero_outside(code, y.index, shape.epilogue)
    code.ir.ret_void()


def _tile_batch(code: Code, shape: Convolution, y: Any, first: Any) -> TileBatch:
    """Return the batch that begins with tile `first` of tile row y; the last one of a row may be smaller."""
    size = int64(shape.batch_tiles(code.lanes))
    left = code.ir.sub(field(code, "tiles"), first)
    is_last = code.ir.icmp_signed("<=", left, size)
    following = (
        code.ir.add(y, code.ir.zext(is_last, I64)),
        code.ir.select(is_last, int64(0), code.ir.add(first, size)),
    )
    return TileBatch(code, shape, y, first, code.minimum(left, size), following)


def _results(batch: TileBatch, tile: Any, k: Any) -> list[Any]:
    """Transform the products of a tile back for the outputs from k on.

    Returns:
        A vector of outputs for each of `_TILE_PIXELS`.
    """
    code = batch.code
    size = batch.shape.outputs * FLOAT
    begin = code.offset(batch.products, (batch.position, size), (tile, size), (k, FLOAT))
    columns = [
        transform.back(
            code, [code.read(code.offset(begin, (r * IN + s) * batch.product_bytes)) for r in range(IN)]
        )
        for s in range(IN)
    ]
    return [value for y in range(OUT) for value in transform.back(code, [column[y] for column in columns])]


def to_features(batch: TileBatch, epilogue: Features | Residual) -> None:
    """Append the output transform and the epilogue of a layer whose results are features."""
    code = batch.code
    factor = epilogue.factor if isinstance(epilogue, Features) else 1
    pixel = epilogue.pixel * factor * FLOAT
    lines = {name: field(code, f"{name}_row") for name in ("dst", "base", "outer")}
    with code.repeat(0, batch.shape.outputs, by=code.lanes) as k:
        byte = code.ir.mul(k.index, int64(FLOAT))

        def begin(name: str) -> Any:
            top = code.offset(address(code, name), (code.ir.mul(batch.y, int64(OUT)), lines[name]))
            return code.offset(code.offset(top, (batch.first, OUT * pixel)), byte)

        finish = _feature_epilogue(batch, epilogue, byte)
        names = ["dst"] if isinstance(epilogue, Features) else ["dst", "base", "outer"][: 2 + epilogue.twice]
        begins = {name: begin(name) for name in names}
        with code.repeat(0, batch.count) as tile:
            here = {name: code.offset(at, (tile.index, OUT * pixel)) for name, at in begins.items()}
            for (y, x), value in zip(_TILE_PIXELS, _results(batch, tile.index, k.index), strict=True):
                places = {n: code.offset(code.offset(at, (lines[n], y)), x * pixel) for n, at in here.items()}
                code.write(finish(value, places), places["dst"])


def _feature_epilogue(
    batch: TileBatch, epilogue: Features | Residual, byte: Any
) -> Callable[[Any, dict[str, Any]], Any]:
    """Return a function that appends the epilogue to a result, with the addresses of dst, base and outer."""
    code = batch.code
    bias = code.read(code.offset(address(code, "bias"), byte))
    if isinstance(epilogue, Features):
        slopes = code.read(code.offset(address(code, "slopes"), byte))
        return lambda value, places: prelu(code, code.add(value, bias), slopes)

    def residual(value: Any, places: dict[str, Any]) -> Any:
        value = code.plus_scaled(code.read(places["base"]), epilogue.factor, code.add(value, bias))
        return (
            code.plus_scaled(code.read(places["outer"]), epilogue.factor, value) if epilogue.twice else value
        )

    return residual


def prelu(code: Code, value: Any, slopes: Any) -> Any:
    """Apply a PReLU to a vector."""
    negative = code.ir.fcmp_ordered("<", value, code.splat(0.0))
    return code.ir.select(negative, code.ir.fmul(value, slopes), value)


def zero_outside(code: Code, y: Any, epilogue: Features | Residual) -> None:
    """Write zeros where a row of tiles reaches beyond the image: the next layer reads them as its padding."""
    pixel = epilogue.pixel * (epilogue.factor if isinstance(epilogue, Features) else 1) * FLOAT
    width, line = field(code, "width"), field(code, "dst_row")
    whole, top = code.ir.mul(field(code, "tiles"), int64(OUT)), code.ir.mul(y, int64(OUT))
    begin = code.offset(address(code, "dst"), (top, line))
    for n in range(OUT):
        inside = code.ir.icmp_signed("<", code.ir.add(top, int64(n)), field(code, "height"))
        x = code.ir.select(inside, width, int64(0))
        code.zero(code.offset(begin, (line, n), (x, pixel)), code.ir.mul(code.ir.sub(whole, x), int64(pixel)))


def _to_image(batch: TileBatch, epilogue: Image) -> None:
    """Append the output transform and the epilogue of the layer that makes the image.

    The results of a tile go to `TileBatch.pixels`, from which the pixels inside the image are copied.
    """
    code, pixel, pixels = batch.code, batch.shape.outputs * FLOAT, batch.pixels
    top = code.ir.mul(batch.y, int64(OUT))
    with code.repeat(0, batch.count) as tile:
        with code.repeat(0, batch.shape.outputs, by=code.lanes) as k:
            byte = code.ir.mul(k.index, int64(FLOAT))
            bias = code.read(code.offset(address(code, "bias"), byte))
            for n, value in enumerate(_results(batch, tile.index, k.index)):
                code.write(code.add(value, bias), code.offset(code.offset(pixels, n * pixel), byte))
        left = code.ir.mul(code.ir.add(batch.first, tile.index), int64(OUT))
        rows = code.minimum(code.ir.sub(field(code, "height"), top), int64(OUT))
        columns = code.minimum(code.ir.sub(field(code, "width"), left), int64(OUT))
        with code.repeat(0, rows) as y, code.repeat(0, columns) as x:
            at = code.offset(pixels, (y.index, OUT * pixel), (x.index, pixel))
            _write_sr_pixels(code, epilogue, at, code.ir.add(top, y.index), code.ir.add(left, x.index))


def _write_sr_pixels(code: Code, epilogue: Image, pixel: Any, y: Any, x: Any) -> None:
    """Append the copy of an LR pixel's results, in the order of a pixel shuffle, to its SR pixels."""
    scale, run = epilogue.scale, ir.VectorType(F32, epilogue.scale)
    base = None
    if epilogue.adds_image:
        base = code.offset(address(code, "base"), (y, field(code, "base_row")), (x, FLOAT))
    to = code.offset(address(code, "dst"), (y, field(code, "dst_row")), (x, scale * FLOAT))
    line = code.ir.mul(field(code, "width"), int64(scale * FLOAT))
    for plane, n in product(range(3), range(scale)):
        values = code.ir.load(code.offset(pixel, (plane * scale + n) * scale * FLOAT), typ=run, align=FLOAT)
        if base is not None:
            at = code.offset(base, (field(code, "base_plane"), plane))
            nearest = code.ir.load(at, typ=F32, align=FLOAT)
            values = code.ir.fadd(values, code.splat_value(nearest, scale))
        code.ir.store(values, code.offset(to, (field(code, "plane"), plane), (line, n)), align=FLOAT)
