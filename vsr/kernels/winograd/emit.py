"""LLVM code for vectors of float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from vsr.kernels import llvm
from vsr.kernels.llvm import F32, I8, I64, POINTER, number

FLOAT = 4
"""Bytes of a float32."""


class Code(llvm.Code):
    """A function that computes with vectors of `lanes` float32."""

    def __init__(self, module: Any, name: str, arguments: Sequence[Any], lanes: int) -> None:
        super().__init__(module, name, arguments)
        self.lanes = lanes
        self.vector = ir.VectorType(F32, lanes)

    def ahead(self, pointer: Any, *distances: tuple[Any, Any]) -> Any:
        """The address `a * b + c * d ...` bytes behind another."""
        for one, other in distances:
            pointer = self.at(pointer, self.ir.mul(number(one), number(other)))
        return pointer

    def room(self, size: int) -> Any:
        """Bytes that live as long as the call; to be asked for before any loop.

        They lie on a cache line's edge, which makes LLVM put the whole stack there. Registers that do not
        suffice would be kept across the edges of lines without it.
        """
        memory = self.scratch(size)
        return self.ir.inttoptr(self.ir.ptrtoint(memory, I64), POINTER)  # to llvmlite a type of its own

    def read(self, pointer: Any) -> Any:
        return self.ir.load(pointer, typ=self.vector, align=self.lanes * FLOAT)

    def write(self, value: Any, pointer: Any) -> None:
        self.ir.store(value, pointer, align=self.lanes * FLOAT)

    def everywhere(self, pointer: Any) -> Any:
        """A number of memory in all lanes."""
        return self.spread(self.ir.load(pointer, typ=F32, align=FLOAT), self.lanes)

    def spread(self, value: Any, lanes: int) -> Any:
        """A vector of so many times a number."""
        empty = ir.Constant(ir.VectorType(F32, lanes), ir.Undefined)
        one = self.ir.insert_element(empty, value, ir.IntType(32)(0))
        return self.ir.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), lanes), None))

    def least(self, one: Any, other: Any) -> Any:
        """The smaller of two integers."""
        return self.ir.select(self.ir.icmp_signed("<", one, other), one, other)

    def clear(self, pointer: Any, size: Any) -> None:
        """Zeros, so many bytes of them."""
        self.call("llvm.memset.p0.i64", pointer, I8(0), size, ir.IntType(1)(0))

    def fetch(self, pointer: Any) -> None:
        """Ask for a cache line, which is to come into the second cache while the program goes on."""
        read, second, data = (ir.IntType(32)(n) for n in (0, 2, 1))
        self.call("llvm.prefetch.p0", pointer, read, second, data)

    def constant(self, value: float) -> Any:
        return ir.Constant(self.vector, [value] * self.lanes)

    def add(self, one: Any, other: Any) -> Any:
        return self.ir.fadd(one, other)

    def sub(self, one: Any, other: Any) -> Any:
        return self.ir.fsub(one, other)

    def scaled(self, one: Any, factor: float) -> Any:
        return self.ir.fmul(one, self.constant(factor))

    def plus_scaled(self, one: Any, factor: float, other: Any) -> Any:
        return self.fused(other, self.constant(factor), one)

    def fused(self, one: Any, other: Any, more: Any) -> Any:
        """`one * other + more`, rounded once."""
        return self.call(f"llvm.fma.v{self.lanes}f32", one, other, more, returns=self.vector)
