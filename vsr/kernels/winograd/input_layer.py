"""The input layer: a direct convolution of the image's planes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

from vsr.kernels.llvm import int64
from vsr.kernels.winograd.convolution import ARGUMENTS, Features, address, field
from vsr.kernels.winograd.emit import FLOAT, Code
from vsr.kernels.winograd.epilogue import prelu, zero_outside
from vsr.kernels.winograd.transform import OUT


@dataclass(frozen=True)
class InputLayer:
    """The properties of the layer that its code depends on."""

    channels: int
    outputs: int


def emit(module: Any, name: str, shape: InputLayer, lanes: int) -> None:
    """Append the function that computes tile rows to a module; see `convolution.ARGUMENTS`.

    The source is the image's planes with a border of zeros. Four adjacent pixels are computed at a time. The
    weights are channels x rows x columns x outputs.
    """
    code = Code(module, name, ARGUMENTS, lanes)
    _, begin, end, _ = code.arguments
    pixel, line = shape.outputs * FLOAT, field(code, "src0_row")
    with code.repeat(begin, end) as tile_row:
        top = code.ir.mul(tile_row.index, int64(OUT))
        with code.repeat(0, shape.outputs, by=lanes) as k, code.repeat(0, OUT) as y:
            byte = code.ir.mul(k.index, int64(FLOAT))
            bias, slopes, weights = (
                code.offset(address(code, n), byte) for n in ("bias", "slopes", "weights")
            )
            bias, slopes = code.read(bias), code.read(slopes)
            row = code.ir.add(top, y.index)
            source = code.offset(address(code, "src0"), (row, line))
            target = code.offset(code.offset(address(code, "dst"), (field(code, "dst_row"), row)), byte)
            with code.repeat(0, field(code, "tiles")) as tile:
                x = code.ir.mul(tile.index, int64(OUT))
                sums = _four_pixels(code, shape, code.offset(source, (x, FLOAT)), weights, bias)
                for i, value in enumerate(sums):
                    code.write(prelu(code, value, slopes), code.offset(target, (x, pixel), (i, pixel)))
        zero_outside(code, tile_row.index, Features(shape.outputs))
    code.ir.ret_void()


def _four_pixels(code: Code, shape: InputLayer, source: Any, weights: Any, bias: Any) -> list[Any]:
    """Append the sums of four pixels and return them, each a vector of outputs."""
    pixel = shape.outputs * FLOAT
    with code.repeat(0, shape.channels, [bias] * OUT) as channel:
        plane = code.offset(source, (channel.index, field(code, "plane")))
        taps = code.offset(weights, (channel.index, 9 * pixel))
        sums = channel.carried
        for r, s in product(range(3), range(3)):
            factor = code.read(code.offset(taps, (3 * r + s) * pixel))
            begin = code.offset(plane, (field(code, "src0_row"), r))
            numbers = [code.broadcast(code.offset(begin, (s + i) * FLOAT)) for i in range(OUT)]
            sums = [code.fma(value, factor, total) for value, total in zip(numbers, sums, strict=True)]
        channel.following = sums
    return channel.carried
