"""Y'CbCr codes to R'G'B', one row of chroma and its rows of luma at a time."""

from __future__ import annotations

from typing import Any

from vsr.kernels.color.rows import Form, Rows, at_row, shuffled
from vsr.kernels.llvm import I64, LANES, POINTER, number

NAME = "rgb"
ARGUMENTS = (POINTER, I64, POINTER, I64, POINTER, I64, I64, I64, POINTER, POINTER, I64)
"""Luma, Cb and Cr, each with the bytes from row to row; width, height; image, whose rows and channels lie
close; scratch memory, samples from one of its rows to the next."""
_KEPT = 3
"""Rows of chroma of full width: the one at hand, and its neighbours."""
SCRATCH_ROWS = 2 * _KEPT + 1
_NARROW = 2 * _KEPT


def emit(module: Any, form: Form) -> None:
    """Append `rgb(...)` to a module; see `ARGUMENTS`."""
    code = Rows(module, NAME, ARGUMENTS)
    luma, luma_line, cb, cb_line, cr, cr_line, width, height, image, scratch, pitch = code.arguments
    down = form.shift[1]
    count = code.half(height, up=True, shift=down)

    def wide(y: Any, part: int) -> Any:
        """Row of the scratch memory with chroma's row `y`: of R - Y, or B - Y."""
        kept = code.ir.add(code.ir.urem(y, number(_KEPT)), number(part * _KEPT))
        return code.scratch_row(scratch, pitch, kept)

    def widen(y: Any) -> None:
        narrow = code.scratch_row(scratch, pitch, _NARROW)
        sources = zip((cr, cb), (cr_line, cb_line), form.weights, strict=True)
        for part, (plane, line, weight) in enumerate(sources):
            row = wide(y, part)
            codes = at_row(code, plane, y, line)
            _difference(code, form, codes, narrow if form.shift[0] else row, width, weight)
            if form.shift[0]:
                _widen(code, form, narrow, row, width)

    widen(I64(0))
    with code.repeat(0, count) as each:
        y = each.index
        following = code.ir.add(y, number(1))
        inside = code.ir.icmp_signed("<", following, count)
        with code.ir.if_then(inside):
            widen(following)
        above = code.ir.select(code.ir.icmp_signed(">", y, number(0)), code.ir.sub(y, number(1)), y)
        below = code.ir.select(inside, following, y)
        chroma = [[wide(row, part) for row in (above, y, below)] for part in range(2)]
        first = code.ir.shl(y, number(down))
        second = code.ir.add(first, number(1))
        paired = code.ir.icmp_signed("<", second, height)
        sides = [(first, -1), (second, 1)] if down else [(first, 0)]
        for row, side in sides:
            with code.ir.if_then(code.ir.icmp_signed("<", row, height)):
                source = at_row(code, luma, row, luma_line)
                target = at_row(code, image, row, code.ir.mul(width, number(4)))
                _combine(code, form, source, chroma, (side, paired), target, width, height)
    code.ir.ret_void()


def _difference(code: Rows, form: Form, plane: Any, row: Any, width: Any, weight: float) -> None:
    """A row of codes to R - Y or B - Y, as `convert._difference`."""
    codes = form.codes
    gain = 2 * (1 - weight) / codes.chroma_step
    offset = gain * codes.chroma_offset + codes.luma_offset / codes.luma_step
    with code.over_row(code.half(width, up=True, shift=form.shift[0])) as x:
        value = code.ir.fmul(code.load_codes(plane, x, codes), code.every(gain))
        code.store(code.ir.fsub(value, code.every(offset)), row, x)


def _widen(code: Rows, form: Form, narrow: Any, row: Any, width: Any) -> None:
    """Chroma at every luma sample of its row, as `chroma.upsample`."""
    small = code.half(width, up=True, shift=1)
    code.mirror_end(narrow, small)
    with code.over_scratch(small) as x:
        here = code.load(narrow, x)
        if form.site == "first":
            pair = here, code.predicted(narrow, x)
        else:
            slope = code.ir.fsub(code.load(narrow, x, 1), code.load(narrow, x, -1))
            pair = code.fma(slope, -0.125, here), code.fma(slope, 0.125, here)
        double = code.ir.shl(x, number(1))
        for first in (0, LANES):
            order = [i // 2 + LANES * (i % 2) for i in range(first, first + LANES)]
            code.store(shuffled(code, *pair, order), row, code.ir.add(double, number(first)))
    _widen_ends(code, form, narrow, row, width)


def _widen_ends(code: Rows, form: Form, narrow: Any, row: Any, width: Any) -> None:
    pairs = code.half(width, up=False, shift=1)
    if form.site == "first":
        for end in (I64(0), code.ir.sub(pairs, number(1))):
            code.put(code.predicted_end(narrow, end), row, code.ir.shl(end, number(1)), 1)
    else:  # behind an even width this is room
        code.put(code.one(narrow, pairs), row, code.ir.shl(pairs, number(1)))


def _combine(
    code: Rows,
    form: Form,
    source: Any,
    chroma: list[list[Any]],
    place: tuple[int, Any],
    target: Any,
    width: Any,
    height: Any,
) -> None:
    """A row of R, G and B, as `convert._combine`.

    Args:
        chroma: Of R - Y and of B - Y, the rows above, here and below.
        place: Above chroma's row (-1), on it (0) or below it (1), and whether there are rows on both sides.
    """
    kr, kb = form.weights
    kg, step = 1 - kr - kb, 1 / form.codes.luma_step
    plane = code.ir.mul(code.ir.mul(width, height), number(4))
    with code.over_row(width) as x:
        luma = code.load_codes(source, x, form.codes)
        red, blue = (code.fma(luma, step, _chroma(code, rows, place, x)) for rows in chroma)
        green = code.fma(luma, step / kg, code.every(-form.codes.luma_offset * step / kg))
        green = code.fma(blue, -kb / kg, code.fma(red, -kr / kg, green))
        for n, value in enumerate((red, green, blue)):
            code.store(value, code.at(target, code.ir.mul(plane, number(n))), x)


def _chroma(code: Rows, rows: list[Any], place: tuple[int, Any], x: Any) -> Any:
    """Chroma at a row of luma, an eighth of the slope away from its own row (`chroma._up_middle`)."""
    side, paired = place
    above, here, below = rows
    value = code.load(here, x)
    if not side:
        return value
    slope = code.ir.fsub(code.load(below, x), code.load(above, x))
    moved = code.fma(slope, 0.125 * side, value)
    return code.ir.select(paired, moved, value)
