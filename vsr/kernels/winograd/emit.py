"""LLVM code for vectors of float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from vsr.kernels import llvm
from vsr.kernels.llvm import F32, I8, I64, POINTER

FLOAT = 4
"""Bytes of a float32."""


class Code(llvm.Code):
    """A function that computes with vectors of `lanes` float32."""

    def __init__(self, module: Any, name: str, arguments: Sequence[Any], lanes: int) -> None:
        super().__init__(module, name, arguments)
        self.lanes = lanes
        self.vector = ir.VectorType(F32, lanes)

    def workspace(self, size: int) -> Any:
        """Allocate `size` bytes on the stack; must be called before any loop is emitted.

        The alignment to a cache line makes LLVM align the whole stack frame. Without it, registers that are
        spilled to the stack would cross the edges of cache lines.
        """
        memory = self.scratch(size)
        return self.ir.inttoptr(self.ir.ptrtoint(memory, I64), POINTER)  # llvmlite types `memory` differently

    def read(self, pointer: Any) -> Any:
        """Load a vector from an aligned address."""
        return self.ir.load(pointer, typ=self.vector, align=self.lanes * FLOAT)

    def write(self, value: Any, pointer: Any) -> None:
        """Store a vector at an aligned address."""
        self.ir.store(value, pointer, align=self.lanes * FLOAT)

    def broadcast(self, pointer: Any) -> Any:
        """Load one float32 into all lanes."""
        return self.splat_value(self.ir.load(pointer, typ=F32, align=FLOAT), self.lanes)

    def splat_value(self, value: Any, lanes: int) -> Any:
        """Return a vector of `lanes` lanes that all hold `value`."""
        empty = ir.Constant(ir.VectorType(F32, lanes), ir.Undefined)
        one = self.ir.insert_element(empty, value, ir.IntType(32)(0))
        return self.ir.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), lanes), None))

    def minimum(self, one: Any, other: Any) -> Any:
        """Return the smaller of two integers."""
        return self.ir.select(self.ir.icmp_signed("<", one, other), one, other)

    def zero(self, pointer: Any, size: Any) -> None:
        """Fill `size` bytes with zeros."""
        self.call("llvm.memset.p0.i64", pointer, I8(0), size, ir.IntType(1)(0))

    def prefetch(self, pointer: Any) -> None:
        """Request a cache line for reading into the L2 cache without waiting for it."""
        read, level_2, data = (ir.IntType(32)(n) for n in (0, 2, 1))
        self.call("llvm.prefetch.p0", pointer, read, level_2, data)

    def splat(self, value: float) -> Any:
        """Return a constant vector with the same number in all lanes."""
        return ir.Constant(self.vector, [value] * self.lanes)

    def add(self, one: Any, other: Any) -> Any:
        """`one + other`."""
        return self.ir.fadd(one, other)

    def sub(self, one: Any, other: Any) -> Any:
        """`one - other`."""
        return self.ir.fsub(one, other)

    def scaled(self, one: Any, factor: float) -> Any:
        """`one * factor`."""
        return self.ir.fmul(one, self.splat(factor))

    def plus_scaled(self, one: Any, factor: float, other: Any) -> Any:
        """`one + factor * other`, rounded once."""
        return self.fma(other, self.splat(factor), one)

    def fma(self, one: Any, other: Any, more: Any) -> Any:
        """`one * other + more`, rounded once."""
        return self.call(f"llvm.fma.v{self.lanes}f32", one, other, more, returns=self.vector)
