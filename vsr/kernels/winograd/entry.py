"""The input layer: a direct convolution of the image's planes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

from vsr.kernels.llvm import number
from vsr.kernels.winograd.convolution import ARGUMENTS, Features, address, field
from vsr.kernels.winograd.emit import FLOAT, Code
from vsr.kernels.winograd.ends import activated, clear_outside
from vsr.kernels.winograd.transform import OUT


@dataclass(frozen=True)
class Entry:
    """What the layer's code depends on."""

    channels: int
    outputs: int


def emit(module: Any, name: str, shape: Entry, lanes: int) -> None:
    """Append the function that computes stripes, of `convolution.ARGUMENTS`, to a module.

    The source is the picture's planes with pixels of zeros around them; four pixels are computed at a time.
    Weights are channels x rows x columns x outputs.
    """
    code = Code(module, name, ARGUMENTS, lanes)
    _, begin, end, _ = code.arguments
    pixel, line = shape.outputs * FLOAT, field(code, "src0_row")
    with code.repeat(begin, end) as stripe:
        top = code.ir.mul(stripe.index, number(OUT))
        with code.repeat(0, shape.outputs, by=lanes) as k, code.repeat(0, OUT) as y:
            byte = code.ir.mul(k.index, number(FLOAT))
            bias, slopes, weights = (code.at(address(code, n), byte) for n in ("bias", "slopes", "weights"))
            bias, slopes = code.read(bias), code.read(slopes)
            row = code.ir.add(top, y.index)
            source = code.ahead(address(code, "src0"), (row, line))
            target = code.at(code.ahead(address(code, "dst"), (field(code, "dst_row"), row)), byte)
            with code.repeat(0, field(code, "squares")) as square:
                x = code.ir.mul(square.index, number(OUT))
                sums = _four(code, shape, code.ahead(source, (x, FLOAT)), weights, bias)
                for i, value in enumerate(sums):
                    code.write(activated(code, value, slopes), code.ahead(target, (x, pixel), (i, pixel)))
        clear_outside(code, stripe.index, Features(shape.outputs))
    code.ir.ret_void()


def _four(code: Code, shape: Entry, source: Any, weights: Any, bias: Any) -> list[Any]:
    """A vector of outputs for four pixels."""
    pixel = shape.outputs * FLOAT
    with code.repeat(0, shape.channels, [bias] * OUT) as channel:
        plane = code.ahead(source, (channel.index, field(code, "plane")))
        taps = code.ahead(weights, (channel.index, 9 * pixel))
        sums = channel.carried
        for r, s in product(range(3), range(3)):
            factor = code.read(code.at(taps, (3 * r + s) * pixel))
            begin = code.ahead(plane, (field(code, "src0_row"), r))
            numbers = [code.everywhere(code.at(begin, (s + i) * FLOAT)) for i in range(OUT)]
            sums = [code.fused(value, factor, total) for value, total in zip(numbers, sums, strict=True)]
        channel.following = sums
    return channel.carried
