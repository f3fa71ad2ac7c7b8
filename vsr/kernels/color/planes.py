"""R'G'B' to Y'CbCr codes, one row of chroma and its rows of luma at a time."""

from __future__ import annotations

from typing import Any

from vsr.kernels.color.rows import Form, Rows, at_row, code_bytes, shuffled
from vsr.kernels.llvm import I64, LANES, POINTER, number

NAME = "planes"
ARGUMENTS = (POINTER, I64, I64, I64, I64, POINTER, POINTER, POINTER, POINTER, I64)
"""Image, bytes from channel to channel and from row to row, width, height; luma, Cb and Cr, with close
rows; scratch memory, samples from one of its rows to the next."""
SCRATCH_ROWS = 5
_DIFFERENCES, _EVEN, _ODD, _DETAIL = (0, 1), 2, 3, 4


def emit(module: Any, form: Form) -> None:
    """Append `planes(...)` to a module; see `ARGUMENTS`."""
    code = Rows(module, NAME, ARGUMENTS)
    image, channel, line, width, height, luma, cb, cr, scratch, pitch = code.arguments
    across, down = form.shift
    size = code_bytes(form.codes)
    rows = [code.scratch_row(scratch, pitch, n) for n in range(SCRATCH_ROWS)]
    small = code.half(width, up=True, shift=across)
    with code.repeat(0, code.half(height, up=True, shift=down)) as each:
        first = code.ir.shl(each.index, number(down))
        reached = [first]
        if down:
            second = code.ir.add(first, number(1))
            reached.append(code.ir.select(code.ir.icmp_signed("<", second, height), second, first))
        sources = [at_row(code, image, y, line) for y in reached]
        targets = [at_row(code, luma, y, code.ir.mul(width, number(size))) for y in reached]
        _luma(code, form, sources, channel, targets, rows, width)
        for source, plane, weight in zip(_DIFFERENCES, (cr, cb), form.weights, strict=True):
            target = at_row(code, plane, each.index, code.ir.mul(small, number(size)))
            _chroma(code, form, rows, rows[source], width, small, target, weight)
    code.ir.ret_void()


def _luma(
    code: Rows, form: Form, sources: list[Any], channel: Any, targets: list[Any], rows: list[Any], width: Any
) -> None:
    """Codes of luma of one or two rows; R - Y and B - Y, of two rows their mean, go to the scratch memory."""
    with code.over_row(width) as x:
        found = []
        for source, target in zip(sources, targets, strict=True):
            red, green, blue = (
                code.load(code.at(source, code.ir.mul(channel, number(n))), x) for n in range(3)
            )
            y = _luma_codes(code, form, red, green, blue)
            code.store_codes(y, target, x, form.codes, form.codes.peak + form.rounding)
            found.append([code.fma(y, -1 / form.codes.luma_step, colour) for colour in (red, blue)])
        for row, parts in zip(_DIFFERENCES, zip(*found, strict=True), strict=True):
            code.store(_mean(code, *parts) if len(parts) == 2 else parts[0], rows[row], x)


def _luma_codes(code: Rows, form: Form, red: Any, green: Any, blue: Any) -> Any:
    kr, kb = form.weights
    step = form.codes.luma_step
    y = code.fma(red, kr * step, code.every(form.codes.luma_offset + form.rounding))
    return code.fma(blue, kb * step, code.fma(green, (1 - kr - kb) * step, y))


def _mean(code: Rows, one: Any, other: Any) -> Any:
    """As torch's `lerp` with 0.5."""
    return code.fma(code.ir.fsub(other, one), -0.5, other)


def _chroma(
    code: Rows, form: Form, rows: list[Any], source: Any, width: Any, small: Any, target: Any, weight: float
) -> None:
    """A row of differences to a row of codes."""
    even, odd, detail = rows[_EVEN], rows[_ODD], rows[_DETAIL]
    pairs = code.half(width, up=False, shift=1)
    if form.shift[0]:
        _split(code, source, even, odd, small)
        code.mirror_end(even, small)
        code.put(code.one(even, pairs), odd, pairs)  # alone at the end of an odd width: its own mean
        if form.site == "first":
            _details(code, even, odd, detail, pairs)
    codes = form.codes
    gain = codes.chroma_step / (2 * (1 - weight))
    offset = (
        codes.chroma_offset + gain * ((codes.luma_offset + form.rounding) / codes.luma_step) + form.rounding
    )
    with code.over_row(small) as x:
        if not form.shift[0]:
            value = code.load(source, x)
        elif form.site == "middle":
            value = _mean(code, code.load(even, x), code.load(odd, x))
        else:
            value = code.fma(code.load(detail, x), 0.25, code.load(even, x))
            value = code.fma(code.load(detail, x, -1), 0.25, value)
        code.store_codes(
            code.fma(value, gain, code.every(offset)), target, x, codes, codes.peak + form.rounding
        )


def _split(code: Rows, source: Any, even: Any, odd: Any, count: Any) -> None:
    with code.over_scratch(count) as x:
        double = code.ir.shl(x, number(1))
        pair = code.load(source, double), code.load(source, double, LANES)
        for row, first in ((even, 0), (odd, 1)):
            code.store(shuffled(code, *pair, list(range(first, 2 * LANES, 2))), row, x)


def _details(code: Rows, even: Any, odd: Any, detail: Any, pairs: Any) -> None:
    """What odd samples are more than the even ones around them let expect (`chroma._down_first`)."""
    with code.over_scratch(pairs) as x:
        code.store(code.ir.fsub(code.load(odd, x), code.predicted(even, x)), detail, x)
    for end in (I64(0), code.ir.sub(pairs, number(1))):
        code.put(code.ir.fsub(code.one(odd, end), code.predicted_end(even, end)), detail, end)
    code.mirror_end(detail, pairs)
