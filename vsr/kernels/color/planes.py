"""Code that converts R'G'B' to Y'CbCr codes, one row of chroma with its rows of luma at a time."""

from __future__ import annotations

from typing import Any

from vsr.kernels.color.rows import Rows, YuvFormat, at_row, code_bytes, shuffled
from vsr.kernels.llvm import I64, LANES, POINTER, int64

NAME = "planes"
ARGUMENTS = (POINTER, I64, I64, I64, I64, POINTER, POINTER, POINTER, POINTER, I64)
"""Image, bytes of a channel and of a row, width, height; luma, Cb and Cr planes, all contiguous; scratch
memory, samples of a row in it."""
SCRATCH_ROWS = 5
"""Rows of scratch memory: two rows of differences, then even samples, odd samples, details."""
_DIFFERENCES, _EVEN, _ODD, _DETAIL = (0, 1), 2, 3, 4


def emit(module: Any, fmt: YuvFormat) -> None:
    """Append the function `planes` with `ARGUMENTS` to a module."""
    code = Rows(module, NAME, ARGUMENTS)
    image, channel, line, width, height, luma, cb, cr, scratch, pitch = code.arguments
    across, down = fmt.shift
    size = code_bytes(fmt.codes)
    rows = [code.scratch_row(scratch, pitch, n) for n in range(SCRATCH_ROWS)]
    small = code.shifted(width, up=True, shift=across)
    with code.repeat(0, code.shifted(height, up=True, shift=down)) as each:
        first = code.ir.shl(each.index, int64(down))
        reached = [first]
        if down:
            second = code.ir.add(first, int64(1))
            reached.append(code.ir.select(code.ir.icmp_signed("<", second, height), second, first))
        sources = [at_row(code, image, y, line) for y in reached]
        targets = [at_row(code, luma, y, code.ir.mul(width, int64(size))) for y in reached]
        _luma(code, fmt, sources, channel, targets, rows, width)
        for source, plane, weight in zip(_DIFFERENCES, (cr, cb), fmt.weights, strict=True):
            target = at_row(code, plane, each.index, code.ir.mul(small, int64(size)))
            _chroma(code, fmt, rows, rows[source], width, small, target, weight)
    code.ir.ret_void()


def _luma(
    code: Rows,
    fmt: YuvFormat,
    sources: list[Any],
    channel: Any,
    targets: list[Any],
    rows: list[Any],
    width: Any,
) -> None:
    """Append the codes of one or two rows of luma. R - Y and B - Y, averaged over two rows, go to the scratch
    memory."""
    with code.over_row(width) as x:
        found = []
        for source, target in zip(sources, targets, strict=True):
            red, green, blue = (
                code.load(code.offset(source, code.ir.mul(channel, int64(n))), x) for n in range(3)
            )
            y = _luma_codes(code, fmt, red, green, blue)
            code.store_codes(y, target, x, fmt.codes, fmt.codes.peak + fmt.rounding)
            found.append([code.fma(y, -1 / fmt.codes.luma_step, colour) for colour in (red, blue)])
        for row, values in zip(_DIFFERENCES, zip(*found, strict=True), strict=True):
            code.store(_mean(code, *values) if len(values) == 2 else values[0], rows[row], x)


def _luma_codes(code: Rows, fmt: YuvFormat, red: Any, green: Any, blue: Any) -> Any:
    kr, kb = fmt.weights
    step = fmt.codes.luma_step
    y = code.fma(red, kr * step, code.splat(fmt.codes.luma_offset + fmt.rounding))
    return code.fma(blue, kb * step, code.fma(green, (1 - kr - kb) * step, y))


def _mean(code: Rows, one: Any, other: Any) -> Any:
    """Append the mean of two values, computed as torch's `lerp` with 0.5."""
    return code.fma(code.ir.fsub(other, one), -0.5, other)


def _chroma(
    code: Rows,
    fmt: YuvFormat,
    rows: list[Any],
    source: Any,
    width: Any,
    small: Any,
    target: Any,
    weight: float,
) -> None:
    """Append the conversion of a row of differences to a row of chroma codes."""
    even, odd, detail = rows[_EVEN], rows[_ODD], rows[_DETAIL]
    pairs = code.shifted(width, up=False, shift=1)
    if fmt.shift[0]:
        _split(code, source, even, odd, small)
        code.mirror_end(even, small)
        code.put(code.one(even, pairs), odd, pairs)  # the last sample of an odd width is its own mean
        if fmt.siting == "first":
            _details(code, even, odd, detail, pairs)
    codes = fmt.codes
    gain = codes.chroma_step / (2 * (1 - weight))
    offset = (
        codes.chroma_offset + gain * ((codes.luma_offset + fmt.rounding) / codes.luma_step) + fmt.rounding
    )
    with code.over_row(small) as x:
        if not fmt.shift[0]:
            value = code.load(source, x)
        elif fmt.siting == "middle":
            value = _mean(code, code.load(even, x), code.load(odd, x))
        else:
            value = code.fma(code.load(detail, x), 0.25, code.load(even, x))
            value = code.fma(code.load(detail, x, -1), 0.25, value)
        code.store_codes(
            code.fma(value, gain, code.splat(offset)), target, x, codes, codes.peak + fmt.rounding
        )


def _split(code: Rows, source: Any, even: Any, odd: Any, count: Any) -> None:
    """Append the split of a row into even and odd samples."""
    with code.over_scratch(count) as x:
        double = code.ir.shl(x, int64(1))
        pair = code.load(source, double), code.load(source, double, LANES)
        for row, first in ((even, 0), (odd, 1)):
            code.store(shuffled(code, *pair, list(range(first, 2 * LANES, 2))), row, x)


def _details(code: Rows, even: Any, odd: Any, detail: Any, pairs: Any) -> None:
    """Append the differences of odd samples from their prediction by even samples (`chroma._down_first`)."""
    with code.over_scratch(pairs) as x:
        code.store(code.ir.fsub(code.load(odd, x), code.predicted(even, x)), detail, x)
    for end in (I64(0), code.ir.sub(pairs, int64(1))):
        code.put(code.ir.fsub(code.one(odd, end), code.predicted_end(even, end)), detail, end)
    code.mirror_end(detail, pairs)
