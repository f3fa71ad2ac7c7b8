"""Operations on rows of float32 in scratch memory and on rows of codes in planes, for both directions.

16 samples are computed at a time. If the width of a plane is no multiple of 16, the last 16 samples of a row
overlap the ones before and get the same results again. Rows in the scratch memory have padding instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from llvmlite import ir

from vsr.kernels.llvm import F32, FLOATS, LANES, Code, int64

_I32S = ir.VectorType(ir.IntType(32), LANES)
_BEFORE, _AFTER = LANES, 4 * LANES
"""Samples of padding before and after a row of the scratch memory."""


class Codes(Protocol):
    """Offsets and steps of integer codes, `code = offset + step * value`, such as `vsr.color.codes.Codes`."""

    @property
    def luma_offset(self) -> float: ...
    @property
    def luma_step(self) -> float: ...
    @property
    def chroma_offset(self) -> float: ...
    @property
    def chroma_step(self) -> float: ...
    @property
    def peak(self) -> int: ...


def code_bytes(codes: Codes) -> int:
    """Return the bytes of a code in a plane."""
    return 1 if codes.peak < 256 else 2


@dataclass(frozen=True, slots=True)
class YuvFormat:
    """The properties of a Y'CbCr format that the emitted code depends on."""

    weights: tuple[float, float]
    """Kr and Kb."""
    codes: Codes
    shift: tuple[int, int]
    """log2 of the subsampling, horizontal and vertical; 0 or 1. Vertically, chroma sits between two rows."""
    siting: Literal["first", "middle", "last"]
    """Horizontal position of a chroma sample; "last" is not supported."""
    rounding: float
    """Number that is added before the fraction of a code is truncated."""


def pitch(width: int) -> int:
    """Return the samples of a row of scratch memory with its padding."""
    return _BEFORE + -(-width // LANES) * LANES + _AFTER


class Rows(Code):
    """A function that computes rows. Indices count samples; in the scratch memory they may be negative."""

    def scratch_row(self, scratch: Any, pitch_: Any, which: Any) -> Any:
        """Return the address of the first sample of a row of scratch memory."""
        return self.sample(scratch, self.ir.add(self.ir.mul(int64(which), pitch_), int64(_BEFORE)), 4)

    def sample(self, row: Any, index: Any, size: int) -> Any:
        """Return the address of a sample of `size` bytes."""
        return self.offset(row, self.ir.mul(int64(index), int64(size)))

    @contextmanager
    def over_scratch(self, count: Any) -> Iterator[Any]:
        """Emit a loop over the first samples of blocks of 16 samples; the last block may exceed `count`."""
        with self.repeat(0, self.blocks(count)) as block:
            yield self.ir.mul(block.index, int64(LANES))

    def shifted(self, count: Any, *, up: bool, shift: int) -> Any:
        """Return a count of luma samples divided by `2**shift`, rounded up or down."""
        return self.ir.lshr(self.ir.add(count, int64(shift if up else 0)), int64(shift))

    def load(self, row: Any, index: Any, step: int = 0) -> Any:
        """Load 16 float32 from `step` samples after an index."""
        address = self.offset(self.sample(row, index, 4), 4 * step)
        return self.ir.load(address, typ=FLOATS, align=4)

    def store(self, value: Any, row: Any, index: Any) -> None:
        """Store 16 float32."""
        self.ir.store(value, self.sample(row, index, 4), align=4)

    def one(self, row: Any, index: Any, step: int = 0) -> Any:
        """Load one float32 from `step` samples after an index."""
        return self.ir.load(self.offset(self.sample(row, index, 4), 4 * step), typ=F32, align=4)

    def put(self, value: Any, row: Any, index: Any, step: int = 0) -> None:
        """Store one float32 at `step` samples after an index."""
        self.ir.store(value, self.offset(self.sample(row, index, 4), 4 * step), align=4)

    def load_codes(self, row: Any, index: Any, codes: Codes) -> Any:
        """Load 16 codes as float32."""
        size = code_bytes(codes)
        kind = ir.VectorType(ir.IntType(8 * size), LANES)
        found = self.ir.load(self.sample(row, index, size), typ=kind, align=size)
        return self.ir.sitofp(self.ir.zext(found, _I32S), FLOATS)

    def store_codes(self, value: Any, row: Any, index: Any, codes: Codes, largest: float) -> None:
        """Clip 16 numbers to 0 and `largest`, truncate them to codes, and store these."""
        for limit, way in ((0.0, ">"), (largest, "<")):
            bound = self.splat(limit)
            value = self.ir.select(self.ir.fcmp_ordered(way, value, bound), value, bound)
        size = code_bytes(codes)
        kind = ir.VectorType(ir.IntType(8 * size), LANES)
        self.ir.store(
            self.ir.trunc(self.ir.fptosi(value, _I32S), kind), self.sample(row, index, size), align=size
        )

    def fma(self, value: Any, factor: float, more: Any) -> Any:
        """`value * factor + more`, rounded once, as in torch's `add` with an alpha."""
        return self.call(f"llvm.fma.v{LANES}f32", value, self.splat(factor), more, returns=FLOATS)

    def predicted(self, row: Any, index: Any) -> Any:
        """Predict 16 samples half-way after those at an index (`chroma._predict`), except at a row's ends."""
        before, here, behind = (
            self.ir.fadd(self.load(row, index, k), self.load(row, index, k + 1)) for k in (-1, 0, 1)
        )
        return self.fma(self.ir.fadd(before, behind), -1 / 16, self.ir.fmul(here, self.splat(10 / 16)))

    def predicted_end(self, row: Any, index: Any) -> Any:
        """Predict one sample at an end of a row."""
        return self.ir.fmul(self.ir.fadd(self.one(row, index), self.one(row, index, 1)), F32(0.5))

    def mirror_end(self, row: Any, count: Any) -> None:
        """Copy the first and the last sample to the padding beside them."""
        self.put(self.one(row, 0), row, 0, -1)
        self.put(self.one(row, count, -1), row, count)


def shuffled(code: Code, one: Any, other: Any, order: list[int]) -> Any:
    """Return 16 samples of two blocks; `order` has their numbers, 0 to 31."""
    return code.ir.shuffle_vector(one, other, ir.Constant(ir.VectorType(ir.IntType(32), LANES), order))


def at_row(code: Rows, plane: Any, row: Any, pitch_: Any) -> Any:
    """Return the address of a row of a plane whose rows are `pitch_` bytes apart."""
    return code.offset(plane, code.ir.mul(int64(row), pitch_))
