"""Functions emitted for the CPU that runs this, with LLVM (package `llvmlite`).

A function under construction, and what turns it into one that Python calls. While it runs, other threads of
Python do, too.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from llvmlite import binding, ir

LANES = 16
"""float32 that are computed at a time. Processors with narrower registers take two or four of theirs."""
LINE = 64
"""Bytes of a cache line, and of as many float32."""

I8, I64, F32, VOID, POINTER = ir.IntType(8), ir.IntType(64), ir.FloatType(), ir.VoidType(), ir.PointerType()
FLOATS = ir.VectorType(F32, LANES)


@dataclass
class Loop:
    """What the body of a loop knows."""

    index: Any
    carried: list[Any]
    """Values that the time before gave to the next; after the loop, those that the last time gave."""
    following: list[Any] = field(default_factory=list)
    """Those that the body gives to the next time, as many."""


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
    def repeat(self, first: Any, end: Any, carried: Sequence[Any] = (), by: int = 1) -> Iterator[Loop]:
        """A loop over `first <= index < end`, of which there must be one at least.

        Args:
            carried: What the first time finds in `Loop.carried`.
            by: From one index to the next.
        """
        before, body = self.ir.block, self.function.append_basic_block()
        self.ir.branch(body)
        self.ir.position_at_end(body)
        loop = Loop(self.ir.phi(I64), [self.ir.phi(value.type) for value in carried])
        loop.index.add_incoming(number(first), before)
        for phi, value in zip(loop.carried, carried, strict=True):
            phi.add_incoming(value, before)
        yield loop
        following = self.ir.add(loop.index, number(by))
        loop.index.add_incoming(following, self.ir.block)
        for phi, value in zip(loop.carried, loop.following, strict=True):
            phi.add_incoming(value, self.ir.block)
        after = self.function.append_basic_block()
        self.ir.cbranch(self.ir.icmp_signed("<", following, number(end)), body, after)
        self.ir.position_at_end(after)
        loop.carried = loop.following

    @contextmanager
    def parts(self, next_one: Any, count: Any) -> Iterator[Any]:
        """A loop over the numbers below `count` that no other thread has taken.

        Args:
            next_one: Address of the next number to be taken, an `I64` that all threads share.
        """
        head, body, after = (self.function.append_basic_block() for _ in range(3))
        self.ir.branch(head)
        self.ir.position_at_end(head)
        part = self.taken(next_one)
        self.ir.cbranch(self.ir.icmp_signed("<", part, count), body, after)
        self.ir.position_at_end(body)
        yield part
        self.ir.branch(head)
        self.ir.position_at_end(after)

    def share(self, part: Any, parts: Any, total: Any) -> tuple[Any, Any]:
        """First of a part's things and the one behind its last, of `total` that parts share out evenly."""
        begin, end = (self.ir.udiv(self.ir.mul(self.ir.add(part, number(n)), total), parts) for n in (0, 1))
        return begin, end

    def place(self, record: Any, kind: Any, name: str) -> Any:
        """The address of a field of a record, whose NumPy `kind` has fields of 64-bit integers."""
        return self.at(record, int(kind.fields[name][1]))

    def field(self, record: Any, kind: Any, name: str) -> Any:
        """What is in it."""
        return self.ir.load(self.place(record, kind, name), typ=I64, align=8)

    def taken(self, next_one: Any) -> Any:
        """A number that no other thread gets; see `parts`."""
        return self.ir.atomic_rmw("add", next_one, number(1), "monotonic")

    @contextmanager
    def over_row(self, count: Any) -> Iterator[Any]:
        """A loop over the first samples of blocks of 16, none of which goes beyond `count`, 16 at least.

        The last block overlaps the one before it, where `count` is no multiple of 16.
        """
        last = self.ir.sub(count, number(LANES))
        with self.repeat(0, self.blocks(count)) as block:
            start = self.ir.mul(block.index, number(LANES))
            yield self.ir.select(self.ir.icmp_signed("<", start, last), start, last)

    def blocks(self, count: Any) -> Any:
        """How many blocks of 16 samples it takes to cover so many."""
        return self.ir.udiv(self.ir.add(count, number(LANES - 1)), number(LANES))

    def scratch(self, size: int) -> Any:
        """Bytes that live as long as the call, on a cache line's edge."""
        memory = self.ir.alloca(ir.ArrayType(I8, size))
        memory.align = LINE
        return memory

    def floats(self, pointer: Any) -> Any:
        """16 float32 from a cache line's edge."""
        return self.ir.load(pointer, typ=FLOATS, align=LINE)

    def every(self, value: float) -> Any:
        """16 times the same number."""
        return ir.Constant(FLOATS, [value] * LANES)

    def call(self, name: str, *arguments: Any, returns: Any = VOID) -> Any:
        """Another function, most often one of LLVM's own; declared when it is first met."""
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
    """Compiled functions; they live as long as this, or as one that was handed out."""

    def __init__(self, module: Any) -> None:
        """Compile a module of llvmlite's, or text in LLVM's language."""
        parsed = binding.parse_assembly(str(module))
        parsed.triple = binding.get_default_triple()
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
        function = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)(self.address(name))
        # Two threads that miss a cache at once both compile, and one's library is nobody's while it runs.
        function.library = self  # type: ignore[attr-defined]
        return function
