"""Code for the processor, written with LLVM: a function under construction and what all of them need.

Tiles are AMX's registers: 16 rows of 64 bytes. A product of two adds to a third, 16 x 16 float32:
`c[i, j] += sum over k of a[i, 2k] b[k, 2j] + a[i, 2k + 1] b[k, 2j + 1]` with a and b in bfloat16 (Intel 64
and IA-32 Architectures Software Developer's Manual, volume 2, TDPBF16PS).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from llvmlite import binding, ir

TILE = 1024
"""Bytes of a tile."""
ROW = 64
"""Bytes of one of its rows, and of a vector register."""

I8, I64, F32, VOID, POINTER = ir.IntType(8), ir.IntType(64), ir.FloatType(), ir.VoidType(), ir.PointerType()
FLOATS = ir.VectorType(F32, 16)


class _BFloat(ir.Type):  # type: ignore[misc]
    """LLVM's `bfloat`, which llvmlite does not name."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


_BFLOATS = ir.VectorType(_BFloat(), 32)


@dataclass
class Loop:
    """What the body of a loop knows."""

    index: Any
    carried: Any
    """A value that the time before gave to the next."""
    following: Any = None

    def carry(self, value: Any) -> None:
        """Give a value to the next time."""
        self.following = value


class Code:
    """A function under construction; each method appends to it."""

    def __init__(self, module: Any, name: str, arguments: Sequence[Any]) -> None:
        self.module = module
        """What it is a part of."""
        self.function = ir.Function(module, ir.FunctionType(VOID, arguments), name)
        self.arguments = self.function.args
        self.ir = ir.IRBuilder(self.function.append_basic_block())

    def at(self, pointer: Any, distance: Any) -> Any:
        """The address that many bytes behind another."""
        return self.ir.gep(pointer, [number(distance)], source_etype=I8)

    @contextmanager
    def repeat(self, first: Any, end: Any, carried: Any = None) -> Iterator[Loop]:
        """A loop over `first <= index < end`, of which there must be one at least.

        Args:
            carried: What the first time finds in `Loop.carried`.
        """
        before, body = self.ir.block, self.function.append_basic_block()
        self.ir.branch(body)
        self.ir.position_at_end(body)
        loop = Loop(self.ir.phi(I64), None if carried is None else self.ir.phi(carried.type))
        loop.index.add_incoming(number(first), before)
        if carried is not None:
            loop.carried.add_incoming(carried, before)
        yield loop
        following = self.ir.add(loop.index, number(1))
        loop.index.add_incoming(following, self.ir.block)
        if carried is not None:
            loop.carried.add_incoming(loop.following, self.ir.block)
        after = self.function.append_basic_block()
        self.ir.cbranch(self.ir.icmp_signed("<", following, number(end)), body, after)
        self.ir.position_at_end(after)

    def tile_load(self, tile: int, pointer: Any, stride: Any) -> None:
        """A tile from 16 rows of memory, `stride` bytes from one to the next."""
        self._call("llvm.x86.tileloadd64", I8(tile), pointer, number(stride))

    def tile_store(self, tile: int, pointer: Any, stride: Any) -> None:
        self._call("llvm.x86.tilestored64", I8(tile), pointer, number(stride))

    def tile_multiply(self, total: int, one: int, other: int) -> None:
        """`total += one @ other`."""
        self._call("llvm.x86.tdpbf16ps", I8(total), I8(one), I8(other))

    def tiles_begin(self) -> None:
        """Whole tiles, all eight, on the thread that runs this; before any other use of them."""
        shapes = bytes([1, *[0] * 15, *[ROW, 0] * 8, *[0] * 16, *[16] * 8, *[0] * 8])
        kept = ir.GlobalVariable(self.module, ir.ArrayType(I8, 64), f"{self.function.name}.tiles")
        kept.initializer = ir.Constant(kept.value_type, bytearray(shapes))
        kept.global_constant = True
        kept.align = ROW
        self._call("llvm.x86.ldtilecfg", kept)

    def tiles_end(self) -> None:
        self._call("llvm.x86.tilerelease")

    def scratch(self, size: int) -> Any:
        """Bytes that live as long as the call, on a cache line's edge."""
        memory = self.ir.alloca(ir.ArrayType(I8, size))
        memory.align = ROW
        return memory

    def floats(self, pointer: Any) -> Any:
        """16 float32 from a cache line's edge."""
        return self.ir.load(pointer, typ=FLOATS, align=ROW)

    def every(self, value: float) -> Any:
        """16 times the same number."""
        return ir.Constant(FLOATS, [value] * 16)

    def from_bfloats(self, pointer: Any) -> Any:
        """16 bfloat16 from memory as float32, of which they are the upper halves."""
        halves = self.ir.load(pointer, typ=ir.VectorType(ir.IntType(16), 16), align=ROW // 2)
        words = ir.VectorType(ir.IntType(32), 16)
        return self.ir.bitcast(
            self.ir.shl(self.ir.zext(halves, words), ir.Constant(words, [16] * 16)), FLOATS
        )

    def to_bfloats(self, low: Any, high: Any) -> Any:
        """Twice 16 float32 to 32 bfloat16, rounded to nearest even."""
        return self._call("llvm.x86.avx512bf16.cvtne2ps2bf16.512", high, low, returns=_BFLOATS)

    def _call(self, name: str, *arguments: Any, returns: Any = VOID) -> Any:
        if name not in self.module.globals:
            ir.Function(self.module, ir.FunctionType(returns, [a.type for a in arguments]), name)
        return self.ir.call(self.module.globals[name], arguments)


def number(value: Any) -> Any:
    """A 64-bit integer of the program: a value of it, or a constant."""
    return I64(value) if isinstance(value, int) else value


@cache
def _target() -> Any:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding.Target.from_default_triple()


class Library:
    """Compiled functions; they live as long as this."""

    def __init__(self, module: Any) -> None:
        module.triple = binding.get_default_triple()
        parsed = binding.parse_assembly(str(module))
        parsed.verify()
        # One for each: the engine keeps it, and frees it with itself.
        machine = _target().create_target_machine(
            cpu=binding.get_host_cpu_name(),
            features=binding.get_host_cpu_features().flatten(),
            opt=2,
            jit=True,
        )
        self._engine = binding.create_mcjit_compiler(parsed, machine)
        self._engine.finalize_object()

    def address(self, name: str) -> int:
        return int(self._engine.get_function_address(name))

    def function(self, name: str, arguments: int) -> Any:
        """A function of so many 64-bit arguments, to be called from Python, which runs on meanwhile."""
        return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)(self.address(name))
