"""LLVM code with AMX instructions.

AMX has tile registers of 16 rows of 64 bytes. The product of two tiles is added to a third one of 16 x 16
float32: `c[i, j] += sum over k of a[i, 2k] b[k, 2j] + a[i, 2k + 1] b[k, 2j + 1]`, where a and b are bfloat16
(Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, TDPBF16PS).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from vsr.kernels import llvm
from vsr.kernels.llvm import FLOATS, I8, int64

TILE = 1024
"""Bytes of a tile."""
ROW = 64
"""Bytes of a row of a tile, and of a vector register."""


class _BFloat(ir.Type):  # type: ignore[misc]
    """LLVM's type `bfloat`, which llvmlite lacks."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


_BFLOATS = ir.VectorType(_BFloat(), 32)
WORDS = ir.VectorType(ir.IntType(32), 16)


class Code(llvm.Code):
    """A function that uses tiles and bfloat16 numbers."""

    def tile_load(self, tile: int, pointer: Any, stride: Any) -> None:
        """Load a tile from 16 rows of memory that are `stride` bytes apart."""
        self.call("llvm.x86.tileloadd64", I8(tile), pointer, int64(stride))

    def tile_store(self, tile: int, pointer: Any, stride: Any) -> None:
        """Store a tile to 16 rows of memory that are `stride` bytes apart."""
        self.call("llvm.x86.tilestored64", I8(tile), pointer, int64(stride))

    def tile_multiply(self, total: int, one: int, other: int) -> None:
        """`total += one @ other`."""
        self.call("llvm.x86.tdpbf16ps", I8(total), I8(one), I8(other))

    def tiles_begin(self) -> None:
        """Configure all eight tiles at full size for the current thread, before any other use of them."""
        shapes = bytes([1, *[0] * 15, *[ROW, 0] * 8, *[0] * 16, *[16] * 8, *[0] * 8])
        kept = ir.GlobalVariable(self.module, ir.ArrayType(I8, 64), f"{self.function.name}.tiles")
        kept.initializer = ir.Constant(kept.value_type, bytearray(shapes))
        kept.global_constant = True
        kept.align = ROW
        self.call("llvm.x86.ldtilecfg", kept)

    def tiles_end(self) -> None:
        """Release the tiles."""
        self.call("llvm.x86.tilerelease")

    def from_bfloats(self, pointer: Any) -> Any:
        """Load 16 bfloat16 numbers as float32, whose upper halves they are."""
        halves = self.ir.load(pointer, typ=ir.VectorType(ir.IntType(16), 16), align=ROW // 2)
        return self.ir.bitcast(self.upper(self.ir.zext(halves, WORDS)), FLOATS)

    def to_words(self, value: Any) -> tuple[Any, Any]:
        """Round 16 float32 to bfloat16, to nearest even.

        Returns:
            The bfloat16 numbers in the lower halves of 32-bit words, and the same numbers as float32.
        """
        found = self.call("llvm.x86.avx512bf16.cvtneps2bf16.512", value, returns=ir.VectorType(_BFloat(), 16))
        words = self.ir.zext(self.ir.bitcast(found, ir.VectorType(ir.IntType(16), 16)), WORDS)
        return words, self.ir.bitcast(self.upper(words), FLOATS)

    def upper(self, words: Any) -> Any:
        """Move the lower halves of 16 words to the upper halves."""
        return self.ir.shl(words, ir.Constant(WORDS, [16] * 16))

    def to_bfloats(self, low: Any, high: Any) -> Any:
        """Round two vectors of 16 float32 to one of 32 bfloat16, to nearest even."""
        return self.call("llvm.x86.avx512bf16.cvtne2ps2bf16.512", high, low, returns=_BFLOATS)
