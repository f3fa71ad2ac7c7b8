"""Line-buffered layer fusion: the layers of a group advance together, each one row after the layer before.

Only a few rows of a layer's result are kept, in a ring buffer: the next layer reads three of them and no
layer needs more. They stay in the core's L2 cache, while a whole result would go to memory and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vsr.kernels.amx.emit import Code
from vsr.kernels.llvm import I64, POINTER, int64

_FIELDS = (
    "kernel",  # number of the function that computes a row
    "first",  # first row of the image that is computed
    "end",  # row after the last one
    "src",  # address of row 0 of the first source, from the pixel left of the first one
    "src_row",  # bytes of a row
    "src_rows",  # rows of the buffer
    "second",  # the same of the second source
    "second_row",
    "second_rows",
    "dst",  # address of row 0, from the first pixel; so are all addresses that follow
    "dst_row",
    "dst_rows",
    "weights",
    "bias",
    "slopes",
    "width",
    "line",  # as the arguments of these names in `convolution`
    "plane",
    "base",
    "base_row",
    "base_plane",
    "outer",
    "outer_row",
    "zeros",  # address of a row of zeros, which is read above and below the image
)
LAYER = np.dtype([(name, np.int64) for name in _FIELDS])
"""A record with the addresses and sizes of a layer, which the emitted function reads."""


NAME = "advance_layers"
"""Name of the emitted function."""


def emit(module: Any, kernels: Sequence[str]) -> None:
    """Append `advance_layers(layers, count, first step, end of steps, height)` to a module.

    In step s layer l computes row s - l, if that is one of its rows.

    Args:
        kernels: Names of the functions that compute a row, in the order of their numbers in `LAYER`.
    """
    code = Code(module, NAME, (POINTER, I64, I64, I64, I64))
    layers, count, begin, end, height = code.arguments
    code.tiles_begin()
    with code.repeat(begin, end) as step, code.repeat(0, count) as each:
        layer = code.offset(layers, code.ir.mul(each.index, int64(LAYER.itemsize)))
        y = code.ir.sub(step.index, each.index)
        started = code.ir.icmp_signed(">=", y, code.field(layer, LAYER, "first"))
        unfinished = code.ir.icmp_signed("<", y, code.field(layer, LAYER, "end"))
        with code.ir.if_then(code.ir.and_(started, unfinished)):
            _call(code, code.field(layer, LAYER, "kernel"), kernels, _arguments(code, layer, y, height))
    code.tiles_end()
    code.ir.ret_void()


def _call(code: Code, which: Any, kernels: Sequence[str], arguments: Sequence[Any]) -> None:
    """Append a switch that calls the function with number `which`."""
    after = code.function.append_basic_block()
    choice = code.ir.switch(which, after)
    for n, name in enumerate(kernels):
        case = code.function.append_basic_block()
        choice.add_case(int64(n), case)
        code.ir.position_at_end(case)
        code.ir.call(code.module.globals[name], arguments)
        code.ir.branch(after)
    code.ir.position_at_end(after)


def _arguments(code: Code, layer: Any, y: Any, height: Any) -> list[Any]:
    """Return the arguments of `convolution.ARGUMENTS` for row y of a layer."""
    around = [code.ir.add(y, int64(distance)) for distance in (-1, 0, 1)]
    return [
        _row(code, layer, "dst", y),
        *(_source_row(code, layer, "src", at, height) for at in around),
        *(_source_row(code, layer, "second", at, height) for at in around),
        *(_pointer(code, code.field(layer, LAYER, name)) for name in ("weights", "bias", "slopes")),
        *(code.field(layer, LAYER, name) for name in ("width", "line", "plane")),
        _whole_row(code, layer, "base", y),
        code.field(layer, LAYER, "base_plane"),
        _whole_row(code, layer, "outer", y),
    ]


def _pointer(code: Code, address: Any) -> Any:
    return code.ir.inttoptr(address, POINTER)


def _row(code: Code, layer: Any, which: str, y: Any) -> Any:
    """Return the address of row y in a ring buffer, or in a whole buffer, which has rows enough."""
    kept = code.ir.urem(y, code.field(layer, LAYER, f"{which}_rows"))
    distance = code.ir.mul(kept, code.field(layer, LAYER, f"{which}_row"))
    return _pointer(code, code.ir.add(code.field(layer, LAYER, which), distance))


def _whole_row(code: Code, layer: Any, which: str, y: Any) -> Any:
    """Return the address of row y in a whole buffer."""
    distance = code.ir.mul(y, code.field(layer, LAYER, f"{which}_row"))
    return _pointer(code, code.ir.add(code.field(layer, LAYER, which), distance))


def _source_row(code: Code, layer: Any, which: str, y: Any, height: Any) -> Any:
    """Return the address of row y of a source, or of zeros outside the image."""
    # Unsigned, so that negative rows compare as large.
    inside = code.ir.icmp_unsigned("<", y, height)
    row = _row(code, layer, which, code.ir.select(inside, y, int64(0)))
    return code.ir.select(inside, row, _pointer(code, code.field(layer, LAYER, "zeros")))
