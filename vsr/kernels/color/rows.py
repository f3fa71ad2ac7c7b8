"""Rows of float32 in a workspace and codes in planes, for both directions.

16 samples are computed at a time. A row of a plane whose width is no multiple of it ends with 16 samples that
overlap those before; they come out the same. Rows in the scratch memory have room behind them instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from llvmlite import ir

from vsr.kernels.llvm import F32, FLOATS, LANES, Code, number

_I32S = ir.VectorType(ir.IntType(32), LANES)
_BEFORE, _BEHIND = LANES, 4 * LANES
"""Samples of room around a row of the scratch memory."""


class Codes(Protocol):
    """What integer codes mean: `code = offset + step * value`; `vsr.color.codes.Codes` is one."""

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
    """Bytes of a code in a plane."""
    return 1 if codes.peak < 256 else 2


@dataclass(frozen=True, slots=True)
class Form:
    """What the emitted code depends on."""

    weights: tuple[float, float]
    """Kr and Kb."""
    codes: Codes
    shift: tuple[int, int]
    """log2 of the subsampling, horizontal and vertical; 0 or 1. Vertically samples sit between two rows."""
    site: Literal["first", "middle", "last"]
    """Where a sample of chroma sits horizontally; never last."""
    rounding: float
    """What is added before a code is stored, whose fraction is then cut off."""


def pitch(width: int) -> int:
    """Samples from one row of the scratch memory to the next."""
    return _BEFORE + -(-width // LANES) * LANES + _BEHIND


class Rows(Code):
    """A function that computes rows; an index counts samples, and may be below 0 in the scratch memory."""

    def scratch_row(self, scratch: Any, pitch_: Any, which: Any) -> Any:
        """Address of the first sample of a row."""
        return self.sample(scratch, self.ir.add(self.ir.mul(number(which), pitch_), number(_BEFORE)), 4)

    def sample(self, row: Any, index: Any, size: int) -> Any:
        """Address of a sample of so many bytes."""
        return self.at(row, self.ir.mul(number(index), number(size)))

    @contextmanager
    def over_scratch(self, count: Any) -> Iterator[Any]:
        """A loop over the first samples of blocks, the last of which may go beyond `count`."""
        with self.repeat(0, self.blocks(count)) as block:
            yield self.ir.mul(block.index, number(LANES))

    def half(self, count: Any, *, up: bool, shift: int) -> Any:
        """Of a count of luma samples, those of chroma, or the pairs."""
        return self.ir.lshr(self.ir.add(count, number(shift if up else 0)), number(shift))

    def load(self, row: Any, index: Any, step: int = 0) -> Any:
        """16 float32, `step` samples behind an index."""
        address = self.at(self.sample(row, index, 4), 4 * step)
        return self.ir.load(address, typ=FLOATS, align=4)

    def store(self, value: Any, row: Any, index: Any) -> None:
        self.ir.store(value, self.sample(row, index, 4), align=4)

    def one(self, row: Any, index: Any, step: int = 0) -> Any:
        """One float32."""
        return self.ir.load(self.at(self.sample(row, index, 4), 4 * step), typ=F32, align=4)

    def put(self, value: Any, row: Any, index: Any, step: int = 0) -> None:
        """Store one float32."""
        self.ir.store(value, self.at(self.sample(row, index, 4), 4 * step), align=4)

    def load_codes(self, row: Any, index: Any, codes: Codes) -> Any:
        """16 codes as float32."""
        size = code_bytes(codes)
        kind = ir.VectorType(ir.IntType(8 * size), LANES)
        found = self.ir.load(self.sample(row, index, size), typ=kind, align=size)
        return self.ir.sitofp(self.ir.zext(found, _I32S), FLOATS)

    def store_codes(self, value: Any, row: Any, index: Any, codes: Codes, largest: float) -> None:
        """Clip, cut off the fraction and store."""
        for limit, way in ((0.0, ">"), (largest, "<")):
            bound = self.every(limit)
            value = self.ir.select(self.ir.fcmp_ordered(way, value, bound), value, bound)
        size = code_bytes(codes)
        kind = ir.VectorType(ir.IntType(8 * size), LANES)
        self.ir.store(
            self.ir.trunc(self.ir.fptosi(value, _I32S), kind), self.sample(row, index, size), align=size
        )

    def fma(self, value: Any, factor: float, more: Any) -> Any:
        """`value * factor + more`, rounded once, as torch's `add` with an alpha."""
        return self.call(f"llvm.fma.v{LANES}f32", value, self.every(factor), more, returns=FLOATS)

    def predicted(self, row: Any, index: Any) -> Any:
        """What 16 samples half-way behind those of a row should be (`chroma._predict`), not at its ends."""
        before, here, behind = (
            self.ir.fadd(self.load(row, index, k), self.load(row, index, k + 1)) for k in (-1, 0, 1)
        )
        return self.fma(self.ir.fadd(before, behind), -1 / 16, self.ir.fmul(here, self.every(10 / 16)))

    def predicted_end(self, row: Any, index: Any) -> Any:
        """The same for one sample at an end."""
        return self.ir.fmul(self.ir.fadd(self.one(row, index), self.one(row, index, 1)), F32(0.5))

    def mirror_end(self, row: Any, count: Any) -> None:
        """Repeat the first and the last sample beyond the row."""
        self.put(self.one(row, 0), row, 0, -1)
        self.put(self.one(row, count, -1), row, count)


def shuffled(code: Code, one: Any, other: Any, order: list[int]) -> Any:
    """Samples of two blocks in another order."""
    return code.ir.shuffle_vector(one, other, ir.Constant(ir.VectorType(ir.IntType(32), LANES), order))


def at_row(code: Rows, plane: Any, row: Any, pitch_: Any) -> Any:
    """Address of a row of a plane, `pitch_` bytes from one to the next."""
    return code.at(plane, code.ir.mul(number(row), pitch_))
