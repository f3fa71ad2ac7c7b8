"""LLVM code with AMX instructions.

Tiles are AMX's registers: 16 rows of 64 bytes. A product of two adds to a third, 16 x 16 float32:
`c[i, j] += sum over k of a[i, 2k] b[k, 2j] + a[i, 2k + 1] b[k, 2j + 1]` with a and b in bfloat16 (Intel 64
and IA-32 Architectures Software Developer's Manual, volume 2, TDPBF16PS).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from vsr.kernels import llvm
from vsr.kernels.llvm import FLOATS, I8, number

TILE = 1024
"""Bytes of a tile."""
ROW = 64
"""Bytes of one of its rows, and of a vector register."""


class _BFloat(ir.Type):  # type: ignore[misc]
    """LLVM's `bfloat`, which llvmlite does not name."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


_BFLOATS = ir.VectorType(_BFloat(), 32)
WORDS = ir.VectorType(ir.IntType(32), 16)


class Code(llvm.Code):
    """A function with tiles and numbers in bfloat16."""

    def tile_load(self, tile: int, pointer: Any, stride: Any) -> None:
        """A tile from 16 rows of memory, `stride` bytes from one to the next."""
        self.call("llvm.x86.tileloadd64", I8(tile), pointer, number(stride))

    def tile_store(self, tile: int, pointer: Any, stride: Any) -> None:
        self.call("llvm.x86.tilestored64", I8(tile), pointer, number(stride))

    def tile_multiply(self, total: int, one: int, other: int) -> None:
        """`total += one @ other`."""
        self.call("llvm.x86.tdpbf16ps", I8(total), I8(one), I8(other))

    def tiles_begin(self) -> None:
        """Whole tiles, all eight, on the thread that runs this; before any other use of them."""
        shapes = bytes([1, *[0] * 15, *[ROW, 0] * 8, *[0] * 16, *[16] * 8, *[0] * 8])
        kept = ir.GlobalVariable(self.module, ir.ArrayType(I8, 64), f"{self.function.name}.tiles")
        kept.initializer = ir.Constant(kept.value_type, bytearray(shapes))
        kept.global_constant = True
        kept.align = ROW
        self.call("llvm.x86.ldtilecfg", kept)

    def tiles_end(self) -> None:
        self.call("llvm.x86.tilerelease")

    def from_bfloats(self, pointer: Any) -> Any:
        """16 bfloat16 from memory as float32, of which they are the upper halves."""
        halves = self.ir.load(pointer, typ=ir.VectorType(ir.IntType(16), 16), align=ROW // 2)
        return self.ir.bitcast(self.upper(self.ir.zext(halves, WORDS)), FLOATS)

    def to_words(self, value: Any) -> tuple[Any, Any]:
        """16 float32 as bfloat16, nearest even, in the lower halves of 16 words; and as float32 again."""
        found = self.call("llvm.x86.avx512bf16.cvtneps2bf16.512", value, returns=ir.VectorType(_BFloat(), 16))
        words = self.ir.zext(self.ir.bitcast(found, ir.VectorType(ir.IntType(16), 16)), WORDS)
        return words, self.ir.bitcast(self.upper(words), FLOATS)

    def upper(self, words: Any) -> Any:
        """Lower halves of 16 words as their upper ones."""
        return self.ir.shl(words, ir.Constant(WORDS, [16] * 16))

    def to_bfloats(self, low: Any, high: Any) -> Any:
        """Twice 16 float32 to 32 bfloat16, rounded to nearest even."""
        return self.call("llvm.x86.avx512bf16.cvtne2ps2bf16.512", high, low, returns=_BFLOATS)
