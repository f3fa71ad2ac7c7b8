"""Line-buffered layer fusion: layers of a group advance together, one row apart.

Of a layer's result only a few rows are kept, in a ring, for the next layers need no more: three of what the
next one reads. They stay in the core's own cache, where a whole result would go to memory and come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vsr.kernels.amx.emit import Code
from vsr.kernels.llvm import I64, POINTER, number

_FIELDS = (
    "kernel",  # number of the function that computes a row
    "first",  # rows of the picture that are computed, and the one behind the last
    "end",
    "src",  # address of row 0 from the pixel left of the first, bytes from row to row, rows that are kept
    "src_row",
    "src_rows",
    "more",  # the second source likewise
    "more_row",
    "more_rows",
    "dst",  # from the first pixel; so are all that follow
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
    "under",
    "under_row",
    "zeros",  # a row of nothing: above the picture and below it
)
LAYER = np.dtype([(name, np.int64) for name in _FIELDS])
"""What the emitted function is told of a layer."""


def emit(module: Any, kernels: Sequence[str]) -> None:
    """Append `roll(layers, count, first step, step behind the last, height)` to a module.

    In step s layer l computes row s - l, if that is one of its rows.

    Args:
        kernels: Functions of the module that compute a row, in the order of their numbers in `LAYER`.
    """
    code = Code(module, "roll", (POINTER, I64, I64, I64, I64))
    layers, count, begin, end, height = code.arguments
    code.tiles_begin()
    with code.repeat(begin, end) as step, code.repeat(0, count) as each:
        layer = code.at(layers, code.ir.mul(each.index, number(LAYER.itemsize)))
        y = code.ir.sub(step.index, each.index)
        begun = code.ir.icmp_signed(">=", y, _field(code, layer, "first"))
        unended = code.ir.icmp_signed("<", y, _field(code, layer, "end"))
        with code.ir.if_then(code.ir.and_(begun, unended)):
            _call(code, _field(code, layer, "kernel"), kernels, _arguments(code, layer, y, height))
    code.tiles_end()
    code.ir.ret_void()


def _call(code: Code, which: Any, kernels: Sequence[str], arguments: Sequence[Any]) -> None:
    after = code.function.append_basic_block()
    choice = code.ir.switch(which, after)
    for n, name in enumerate(kernels):
        case = code.function.append_basic_block()
        choice.add_case(number(n), case)
        code.ir.position_at_end(case)
        code.ir.call(code.module.globals[name], arguments)
        code.ir.branch(after)
    code.ir.position_at_end(after)


def _arguments(code: Code, layer: Any, y: Any, height: Any) -> list[Any]:
    around = [code.ir.add(y, number(distance)) for distance in (-1, 0, 1)]
    return [
        _row(code, layer, "dst", y),
        *(_source_row(code, layer, "src", at, height) for at in around),
        *(_source_row(code, layer, "more", at, height) for at in around),
        *(_pointer(code, _field(code, layer, name)) for name in ("weights", "bias", "slopes")),
        *(_field(code, layer, name) for name in ("width", "line", "plane")),
        _whole_row(code, layer, "base", y),
        _field(code, layer, "base_plane"),
        _whole_row(code, layer, "under", y),
    ]


def _field(code: Code, layer: Any, name: str) -> Any:
    offset = int(LAYER.fields[name][1])  # type: ignore[index]
    return code.ir.load(code.at(layer, offset), typ=I64, align=8)


def _pointer(code: Code, address: Any) -> Any:
    return code.ir.inttoptr(address, POINTER)


def _row(code: Code, layer: Any, which: str, y: Any) -> Any:
    """Row `y` of a ring, or of a whole picture."""
    kept = code.ir.urem(y, _field(code, layer, f"{which}_rows"))
    distance = code.ir.mul(kept, _field(code, layer, f"{which}_row"))
    return _pointer(code, code.ir.add(_field(code, layer, which), distance))


def _whole_row(code: Code, layer: Any, which: str, y: Any) -> Any:
    distance = code.ir.mul(y, _field(code, layer, f"{which}_row"))
    return _pointer(code, code.ir.add(_field(code, layer, which), distance))


def _source_row(code: Code, layer: Any, which: str, y: Any, height: Any) -> Any:
    # Unsigned: a row above the picture is a very large number.
    inside = code.ir.icmp_unsigned("<", y, height)
    row = _row(code, layer, which, code.ir.select(inside, y, number(0)))
    return code.ir.select(inside, row, _pointer(code, _field(code, layer, "zeros")))
