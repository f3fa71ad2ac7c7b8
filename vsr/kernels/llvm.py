"""Functions that are emitted and compiled with LLVM for the CPU of this machine (package `llvmlite`).

`Code` builds a function, `Library` compiles it and returns one that Python can call. A call releases the GIL.
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
"""float32 numbers in a vector. LLVM splits such a vector on CPUs with narrower registers."""
LINE = 64
"""Bytes of a cache line, which holds 16 float32 numbers."""

I8, I64, F32, VOID, POINTER = ir.IntType(8), ir.IntType(64), ir.FloatType(), ir.VoidType(), ir.PointerType()
FLOATS = ir.VectorType(F32, LANES)


@dataclass
class Loop:
    """The index of a loop and the values that one iteration hands to the next."""

    index: Any
    carried: list[Any]
    """In the body: values from the iteration before. After the loop: values from the last iteration."""
    following: list[Any] = field(default_factory=list)
    """Values for the next iteration, which the body sets; as many as `carried`."""


class Code:
    """A function under construction; each method appends instructions to it."""

    def __init__(self, module: Any, name: str, arguments: Sequence[Any]) -> None:
        self.module = module
        """The LLVM module that contains the function."""
        self.function = ir.Function(module, ir.FunctionType(VOID, arguments), name)
        self.arguments = self.function.args
        self.ir = ir.IRBuilder(self.function.append_basic_block())

    def offset(self, pointer: Any, *distances: Any) -> Any:
        """Return a pointer plus distances in bytes; a pair `(a, b)` is the distance `a * b`."""
        for distance in distances:
            if isinstance(distance, tuple):
                distance = self.ir.mul(*map(int64, distance))
            pointer = self.ir.gep(pointer, [int64(distance)], source_etype=I8)
        return pointer

    @contextmanager
    def repeat(self, first: Any, end: Any, carried: Sequence[Any] = (), by: int = 1) -> Iterator[Loop]:
        """Emit a loop over `first <= index < end`, which runs at least once.

        Args:
            carried: Values of `Loop.carried` in the first iteration.
            by: Step of the index.
        """
        before, body = self.ir.block, self.function.append_basic_block()
        self.ir.branch(body)
        self.ir.position_at_end(body)
        loop = Loop(self.ir.phi(I64), [self.ir.phi(value.type) for value in carried])
        loop.index.add_incoming(int64(first), before)
        for phi, value in zip(loop.carried, carried, strict=True):
            phi.add_incoming(value, before)
        yield loop
        following = self.ir.add(loop.index, int64(by))
        loop.index.add_incoming(following, self.ir.block)
        for phi, value in zip(loop.carried, loop.following, strict=True):
            phi.add_incoming(value, self.ir.block)
        after = self.function.append_basic_block()
        self.ir.cbranch(self.ir.icmp_signed("<", following, int64(end)), body, after)
        self.ir.position_at_end(after)
        loop.carried = loop.following

    @contextmanager
    def work_items(self, counter: Any, count: Any) -> Iterator[Any]:
        """Emit a loop over the work items below `count` that no other thread has taken.

        Args:
            counter: Address of an `I64` that all threads share: the number of the next item.
        """
        head, body, after = (self.function.append_basic_block() for _ in range(3))
        self.ir.branch(head)
        self.ir.position_at_end(head)
        item = self.fetch_add(counter)
        self.ir.cbranch(self.ir.icmp_signed("<", item, count), body, after)
        self.ir.position_at_end(body)
        yield item
        self.ir.branch(head)
        self.ir.position_at_end(after)

    def partition(self, item: Any, items: Any, total: Any) -> tuple[Any, Any]:
        """Return the range `[begin, end)` of a work item where `items` of them share `total` evenly."""
        begin, end = (self.ir.udiv(self.ir.mul(self.ir.add(item, int64(n)), total), items) for n in (0, 1))
        return begin, end

    def field_address(self, record: Any, dtype: Any, name: str) -> Any:
        """Return the address of a field of a record whose NumPy `dtype` has fields of 64-bit integers."""
        return self.offset(record, int(dtype.fields[name][1]))

    def field(self, record: Any, dtype: Any, name: str) -> Any:
        """Load a field of such a record."""
        return self.ir.load(self.field_address(record, dtype, name), typ=I64, align=8)

    def fetch_add(self, counter: Any) -> Any:
        """Add 1 to a counter atomically and return its value before."""
        return self.ir.atomic_rmw("add", counter, int64(1), "monotonic")

    @contextmanager
    def over_row(self, count: Any) -> Iterator[Any]:
        """Emit a loop over the first samples of blocks of 16 samples that cover `count` samples (at least
        16).

        The last block ends at `count`, so it overlaps the block before where `count` is no multiple of 16.
        """
        last = self.ir.sub(count, int64(LANES))
        with self.repeat(0, self.blocks(count)) as block:
            start = self.ir.mul(block.index, int64(LANES))
            yield self.ir.select(self.ir.icmp_signed("<", start, last), start, last)

    def blocks(self, count: Any) -> Any:
        """Return how many blocks of 16 samples cover `count` samples."""
        return self.ir.udiv(self.ir.add(count, int64(LANES - 1)), int64(LANES))

    def scratch(self, size: int) -> Any:
        """Allocate `size` bytes on the stack, aligned to a cache line."""
        memory = self.ir.alloca(ir.ArrayType(I8, size))
        memory.align = LINE
        return memory

    def load_floats(self, pointer: Any) -> Any:
        """Load 16 float32 numbers from an address that is aligned to a cache line."""
        return self.ir.load(pointer, typ=FLOATS, align=LINE)

    def splat(self, value: float) -> Any:
        """Return a constant vector with the same number in all lanes."""
        return ir.Constant(FLOATS, [value] * LANES)

    def call(self, name: str, *arguments: Any, returns: Any = VOID) -> Any:
        """Call another function, such as an intrinsic of LLVM; the first call declares it."""
        if name not in self.module.globals:
            ir.Function(self.module, ir.FunctionType(returns, [a.type for a in arguments]), name)
        return self.ir.call(self.module.globals[name], arguments)


def int64(value: Any) -> Any:
    """Return a 64-bit integer of the emitted code: a Python int becomes a constant."""
    return I64(value) if isinstance(value, int) else value


@cache
def _target() -> Any:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding.Target.from_default_triple()


class Library:
    """Compiled functions; their code is freed when neither this nor any function of it is referenced."""

    def __init__(self, module: Any) -> None:
        """Compile a module of llvmlite, or the text of one."""
        parsed = binding.parse_assembly(str(module))
        parsed.triple = binding.get_default_triple()
        parsed.verify()
        # Each library has its own target machine, because the engine owns it and frees it.
        machine = _target().create_target_machine(
            cpu=binding.get_host_cpu_name(),
            features=binding.get_host_cpu_features().flatten(),
            opt=2,
            jit=True,
        )
        self._engine = binding.create_mcjit_compiler(parsed, machine)
        self._engine.finalize_object()

    def address(self, name: str) -> int:
        """Return the address of a function."""
        return int(self._engine.get_function_address(name))

    def function(self, name: str, arguments: int) -> Any:
        """Return a function as a Python callable that takes `arguments` 64-bit integers and releases the
        GIL."""
        function = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)(self.address(name))
        # The function keeps its library alive: two threads that miss a cache at once both compile, and then
        # only one library stays in the cache while both run.
        function.library = self  # type: ignore[attr-defined]
        return function
