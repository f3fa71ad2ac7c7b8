"""Code that converts Y'CbCr codes to R'G'B', one row of chroma with its rows of luma at a time."""

from __future__ import annotations

from typing import Any

from vsr.kernels.color.rows import Rows, YuvFormat, at_row, shuffled
from vsr.kernels.llvm import I64, LANES, POINTER, int64

NAME = "rgb"
ARGUMENTS = (POINTER, I64, POINTER, I64, POINTER, I64, I64, I64, POINTER, POINTER, I64)
"""Luma, Cb and Cr planes, each with the bytes of a row; width, height; image, contiguous; scratch memory,
samples of a row in it."""
_KEPT = 3
"""Upsampled rows of chroma that are kept: the current one and its neighbours."""
SCRATCH_ROWS = 2 * _KEPT + 1
"""Rows of scratch memory: upsampled R - Y, upsampled B - Y, and one row before upsampling."""
_NARROW = 2 * _KEPT


def emit(module: Any, fmt: YuvFormat) -> None:
    """Append the function `rgb` with `ARGUMENTS` to a module."""
    code = Rows(module, NAME, ARGUMENTS)
    luma, luma_line, cb, cb_line, cr, cr_line, width, height, image, scratch, pitch = code.arguments
    down = fmt.shift[1]
    count = code.shifted(height, up=True, shift=down)

    def wide(y: Any, part: int) -> Any:
        """Return the row of scratch memory for row `y` of chroma: part 0 is R - Y, part 1 is B - Y."""
        kept = code.ir.add(code.ir.urem(y, int64(_KEPT)), int64(part * _KEPT))
        return code.scratch_row(scratch, pitch, kept)

    def widen(y: Any) -> None:
        """Append the horizontal upsampling of row `y` of chroma."""
        narrow = code.scratch_row(scratch, pitch, _NARROW)
        sources = zip((cr, cb), (cr_line, cb_line), fmt.weights, strict=True)
        for part, (plane, line, weight) in enumerate(sources):
            row = wide(y, part)
            codes = at_row(code, plane, y, line)
            _difference(code, fmt, codes, narrow if fmt.shift[0] else row, width, weight)
            if fmt.shift[0]:
                _widen(code, fmt, narrow, row, width)

    widen(I64(0))
    with code.repeat(0, count) as each:
        y = each.index
        following = code.ir.add(y, int64(1))
        inside = code.ir.icmp_signed("<", following, count)
        with code.ir.if_then(inside):
            widen(following)
        above = code.ir.select(code.ir.icmp_signed(">", y, int64(0)), code.ir.sub(y, int64(1)), y)
        below = code.ir.select(inside, following, y)
        chroma = [[wide(row, part) for row in (above, y, below)] for part in range(2)]
        first = code.ir.shl(y, int64(down))
        second = code.ir.add(first, int64(1))
        paired = code.ir.icmp_signed("<", second, height)
        sides = [(first, -1), (second, 1)] if down else [(first, 0)]
        for row, side in sides:
            with code.ir.if_then(code.ir.icmp_signed("<", row, height)):
                source = at_row(code, luma, row, luma_line)
                target = at_row(code, image, row, code.ir.mul(width, int64(4)))
                _combine(code, fmt, source, chroma, (side, paired), target, width, height)
    code.ir.ret_void()


def _difference(code: Rows, fmt: YuvFormat, plane: Any, row: Any, width: Any, weight: float) -> None:
    """Append the conversion of a row of chroma codes to R - Y or B - Y, as in `convert._difference`."""
    codes = fmt.codes
    gain = 2 * (1 - weight) / codes.chroma_step
    offset = gain * codes.chroma_offset + codes.luma_offset / codes.luma_step
    with code.over_row(code.shifted(width, up=True, shift=fmt.shift[0])) as x:
        value = code.ir.fmul(code.load_codes(plane, x, codes), code.splat(gain))
        code.store(code.ir.fsub(value, code.splat(offset)), row, x)


def _widen(code: Rows, fmt: YuvFormat, narrow: Any, row: Any, width: Any) -> None:
    """Append the interpolation of chroma at every luma sample of a row, as in `chroma.upsample`."""
    small = code.shifted(width, up=True, shift=1)
    code.mirror_end(narrow, small)
    with code.over_scratch(small) as x:
        here = code.load(narrow, x)
        if fmt.siting == "first":
            pair = here, code.predicted(narrow, x)
        else:
            slope = code.ir.fsub(code.load(narrow, x, 1), code.load(narrow, x, -1))
            pair = code.fma(slope, -0.125, here), code.fma(slope, 0.125, here)
        double = code.ir.shl(x, int64(1))
        for first in (0, LANES):
            order = [i // 2 + LANES * (i % 2) for i in range(first, first + LANES)]
            code.store(shuffled(code, *pair, order), row, code.ir.add(double, int64(first)))
    _widen_ends(code, fmt, narrow, row, width)


def _widen_ends(code: Rows, fmt: YuvFormat, narrow: Any, row: Any, width: Any) -> None:
    """Append the samples at the ends of a row, where the interpolation differs."""
    pairs = code.shifted(width, up=False, shift=1)
    if fmt.siting == "first":
        for end in (I64(0), code.ir.sub(pairs, int64(1))):
            code.put(code.predicted_end(narrow, end), row, code.ir.shl(end, int64(1)), 1)
    else:  # with an even width this writes into the padding of the row
        code.put(code.one(narrow, pairs), row, code.ir.shl(pairs, int64(1)))


def _combine(
    code: Rows,
    fmt: YuvFormat,
    source: Any,
    chroma: list[list[Any]],
    place: tuple[int, Any],
    target: Any,
    width: Any,
    height: Any,
) -> None:
    """Append the conversion of a row to R, G and B, as in `convert._combine`.

    Args:
        chroma: For R - Y and for B - Y, the rows above, here and below.
        place: Whether the row of luma is above the row of chroma (-1), on it (0) or below it (1); and whether
            the row of chroma has luma on both sides.
    """
    kr, kb = fmt.weights
    kg, step = 1 - kr - kb, 1 / fmt.codes.luma_step
    plane = code.ir.mul(code.ir.mul(width, height), int64(4))
    with code.over_row(width) as x:
        luma = code.load_codes(source, x, fmt.codes)
        red, blue = (code.fma(luma, step, _chroma(code, rows, place, x)) for rows in chroma)
        green = code.fma(luma, step / kg, code.splat(-fmt.codes.luma_offset * step / kg))
        green = code.fma(blue, -kb / kg, code.fma(red, -kr / kg, green))
        for n, value in enumerate((red, green, blue)):
            code.store(value, code.offset(target, code.ir.mul(plane, int64(n))), x)


def _chroma(code: Rows, rows: list[Any], place: tuple[int, Any], x: Any) -> Any:
    """Return chroma at a row of luma: it adds or subtracts an eighth of the slope (`chroma._up_middle`)."""
    side, paired = place
    above, here, below = rows
    value = code.load(here, x)
    if not side:
        return value
    slope = code.ir.fsub(code.load(below, x), code.load(above, x))
    moved = code.fma(slope, 0.125 * side, value)
    return code.ir.select(paired, moved, value)
