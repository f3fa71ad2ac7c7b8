"""One row of a 3x3 convolution in AMX tiles, and the epilogue of its sums.

A pixel's channels lie side by side (NHWC), so a tile takes 32 channels of 16 pixels straight from memory, at
the pixel that the tap needs: nothing is rearranged first. 32 pixels and 32 output channels are computed at a
time, four tiles of sums, which is what eight registers hold with their operands. A row whose width is no
multiple of 32 ends with 32 pixels that overlap those before; they come out the same.

Note [Two at a time]: while the units multiply, the core's other parts have little to do, and while sums are
made features the units have none. So the products of 32 pixels are mixed with the end of the 32 before them,
whose sums lie in the other half of a scratch memory: a fifth less time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from llvmlite import ir

from vsr.kernels.amx.emit import ROW, TILE, Code
from vsr.kernels.llvm import F32, I64, POINTER, number

PIXELS = 32
"""Computed at a time; a row must have as many."""
BLOCK = 16
"""Output channels of a tile."""
DEPTH = 32
"""Input channels of a tile."""
ARGUMENTS = {
    "dst": POINTER,  # as all rows, from the first pixel that is computed; sources from the one left of it
    "above": POINTER,
    "here": POINTER,
    "below": POINTER,
    "more above": POINTER,  # the second source
    "more here": POINTER,
    "more below": POINTER,
    "weights": POINTER,
    "bias": POINTER,
    "slopes": POINTER,
    "width": I64,
    "line": I64,  # of `Picture`: bytes from a row of dst to the next, and from plane to plane
    "plane": I64,
    "base": POINTER,  # what is added
    "base plane": I64,
    "under": POINTER,  # what is added after that
}


_SUMS = 4 * TILE
"""Bytes of the sums of 32 pixels and two blocks."""


@dataclass(frozen=True)
class Step:
    """What one product reads: 32 channels of 16 pixels."""

    source: int
    """0, or 1 for the second."""
    row: int
    """0 to 2: the one above, the one below the first, the one below that."""
    byte: int
    """From the pixel left of the first."""


@dataclass(frozen=True)
class Features:
    """The sums after a PReLU, as bfloat16, `pixel` bytes from one pixel to the next."""

    pixel: int


@dataclass(frozen=True)
class Residual:
    """`base + factor * sums`, and if `twice` `under + factor *` that: bfloat16, all of one size of pixel."""

    pixel: int
    factor: float
    twice: bool = False


@dataclass(frozen=True)
class Picture:
    """The sums as `scale` rows of float32 in each of three planes, on top of the nearest LR pixel if `based`.

    Output channels are in groups of `scale` that lie side by side in the picture, as many in a block as fit.
    """

    scale: int
    based: bool

    @property
    def groups(self) -> list[tuple[int, int]]:
        """Plane and row of each group, in the order of the channels."""
        return [(plane, row) for plane in range(3) for row in range(self.scale)]

    @property
    def in_block(self) -> int:
        """Groups in a block."""
        return BLOCK // self.scale


@dataclass(frozen=True)
class Convolution:
    """What a row's code depends on."""

    steps: tuple[Step, ...]
    pixels: tuple[int, int]
    """Bytes from a pixel of each source to its next."""
    blocks: int
    end: Features | Residual | Picture


def passes(blocks: int) -> list[tuple[int, int]]:
    """First and number of the blocks that are computed together."""
    return [(first, min(2, blocks - first)) for first in range(0, blocks, 2)]


@dataclass(frozen=True)
class _Row:
    """A function under construction, and its arguments by name."""

    code: Code
    shape: Convolution
    given: dict[str, Any]
    sums: Any

    def pixel(self, name: str, x: Any, size: int) -> Any:
        """Address of a pixel of a row."""
        return self.code.at(self.given[name], self.code.ir.mul(x, number(size)))

    def channels(self, name: str, x: Any, size: int, first: Any) -> Any:
        """Address of the channels of a block in a pixel of a row of features."""
        return self.code.at(self.pixel(name, x, size), self.code.ir.mul(first, number(2 * BLOCK)))

    def block(self, name: str, first: Any, size: int) -> Any:
        """Address of a block's parameters."""
        return self.code.at(self.given[name], self.code.ir.mul(first, number(size)))

    def half(self, index: Any, others: int) -> Any:
        """Where the sums of the `index`-th 32 pixels are put, or with 1 those of the ones before."""
        odd = self.code.ir.and_(self.code.ir.add(index, number(others)), number(1))
        return self.code.at(self.sums, self.code.ir.mul(odd, number(_SUMS)))

    def sum_of(self, sums: Any, pixel: int, block: int) -> Any:
        """What the tiles held for a pixel and a block."""
        tile = 2 * (pixel // 16) + block
        return self.code.floats(self.code.at(sums, TILE * tile + ROW * (pixel % 16)))


def emit(module: Any, name: str, shape: Convolution) -> None:
    """Append the function, of `ARGUMENTS`, to a module.

    Weights are tiles, for each of `passes` for each step for each block: 16 pairs of input channels x 16
    output channels x 2.
    """
    code = Code(module, name, tuple(ARGUMENTS.values()))
    row = _Row(code, shape, dict(zip(ARGUMENTS, code.arguments, strict=True)), code.scratch(2 * _SUMS))
    end = shape.end
    if isinstance(end, Picture):
        for begin, blocks in passes(shape.blocks):
            _pass(row, number(begin), blocks, partial(_to_picture, row, end, begin))
    else:
        with code.repeat(0, shape.blocks // 2) as each:
            first = code.ir.mul(each.index, number(2))
            if isinstance(end, Features):
                _pass(row, first, 2, partial(_to_features, row, end, first))
            else:
                _pass(row, first, 2, partial(_to_residual, row, end, first))
    code.ir.ret_void()


def _pass(row: _Row, first: Any, blocks: int, finish: Callable[[Any, Any, int], Iterator[None]]) -> None:
    """A whole row of one or two blocks; see Note [Two at a time]."""
    code, width = row.code, row.given["width"]
    last = code.ir.sub(width, number(PIXELS))
    count = code.ir.sdiv(code.ir.add(width, number(PIXELS - 1)), number(PIXELS))
    with code.repeat(0, count, [number(0)]) as loop:
        x = code.ir.mul(loop.index, number(PIXELS))
        x = code.ir.select(code.ir.icmp_signed("<", x, last), x, last)
        # The first time, what is finished is nothing, and written over soon.
        _multiply(row, x, first, blocks, finish(loop.carried[0], row.half(loop.index, 1), blocks))
        for tile in (2 * i + j for i in range(2) for j in range(blocks)):
            code.tile_store(tile, code.at(row.half(loop.index, 0), TILE * tile), ROW)
        loop.following = [x]
    for _ in finish(x, row.half(count, 1), blocks):
        pass


def _multiply(row: _Row, x: Any, first: Any, blocks: int, meanwhile: Iterator[None]) -> None:
    """Tiles 0 to 3: pixels x to x + 16 and x + 16 to x + 32, by one or two blocks."""
    code, sizes, steps = row.code, row.shape.pixels, row.shape.steps
    bias = row.block("bias", first, ROW)
    tiles = row.block("weights", first, len(steps) * TILE)
    names = (("above", "here", "below"), ("more above", "more here", "more below"))
    used = {(step.source, step.row) for step in steps}
    begins = {(s, r): row.pixel(names[s][r], x, sizes[s]) for s, r in sorted(used)}
    for i in range(2):
        for j in range(blocks):
            code.tile_load(2 * i + j, code.at(bias, ROW * j), 0)
    for n, step in enumerate(steps):
        begin, size = begins[step.source, step.row], sizes[step.source]
        for j in range(blocks):
            code.tile_load(6 + j, code.at(tiles, (n * blocks + j) * TILE), ROW)
        for i in range(2):
            code.tile_load(4 + i, code.at(begin, step.byte + i * 16 * size), size)
            for j in range(blocks):
                code.tile_multiply(2 * i + j, 4 + i, 6 + j)
        for _ in islice(meanwhile, -(-PIXELS * blocks // len(steps))):
            pass
    for _ in meanwhile:
        pass


def _to_features(row: _Row, end: Features, first: Any, x: Any, sums: Any, blocks: int) -> Iterator[None]:
    """What is done to 32 pixels' sums, a little at a time; so do the next two."""
    code, target = row.code, row.channels("dst", x, end.pixel, first)
    slopes = [code.floats(code.at(row.block("slopes", first, ROW), j * ROW)) for j in range(blocks)]
    for n in range(PIXELS):
        low, high = (_prelu(code, row.sum_of(sums, n, j), slopes[j]) for j in range(blocks))
        code.ir.store(code.to_bfloats(low, high), code.at(target, n * end.pixel), align=ROW)
        yield


def _to_residual(row: _Row, end: Residual, first: Any, x: Any, sums: Any, blocks: int) -> Iterator[None]:
    code = row.code
    names = ("dst", "base", "under") if end.twice else ("dst", "base")
    begins = [row.channels(name, x, end.pixel, first) for name in names]
    for n in range(PIXELS):
        target, *added = (code.at(begin, n * end.pixel) for begin in begins)
        halves = [row.sum_of(sums, n, j) for j in range(blocks)]
        for pointer in added:
            for j in range(blocks):
                scaled = code.ir.fmul(halves[j], code.every(end.factor))
                halves[j] = code.ir.fadd(code.from_bfloats(code.at(pointer, 2 * BLOCK * j)), scaled)
        code.ir.store(code.to_bfloats(*halves), target, align=ROW)
        yield


def _to_picture(row: _Row, end: Picture, first: int, x: Any, sums: Any, blocks: int) -> Iterator[None]:
    code, size = row.code, 4 * end.scale
    for j in range(blocks):
        begin = (first + j) * end.in_block
        places = [_place(row, end, x, *group) for group in end.groups[begin : begin + end.in_block]]
        for n in range(PIXELS):
            for slot, (target, under) in enumerate(places):
                group = _group(code, end.scale, row.sum_of(sums, n, j), slot)
                if end.based:
                    group = code.ir.fadd(group, _sample(code, end.scale, code.at(under, 4 * n)))
                code.ir.store(group, code.at(target, n * size), align=4)
            yield


def _place(row: _Row, end: Picture, x: Any, plane: int, line: int) -> tuple[Any, Any]:
    """Of a group: where its first pixel goes, and what is added to it."""
    ir_, given = row.code.ir, row.given
    target = row.code.at(row.pixel("dst", x, 4 * end.scale), ir_.mul(given["plane"], number(plane)))
    under = row.code.at(row.pixel("base", x, 4), ir_.mul(given["base plane"], number(plane)))
    return row.code.at(target, ir_.mul(given["line"], number(line))), under


def _group(code: Code, scale: int, values: Any, slot: int) -> Any:
    """The `slot`-th so many of 16 values."""
    lanes = [ir.IntType(32)(i) for i in range(slot * scale, (slot + 1) * scale)]
    mask = ir.Constant(ir.VectorType(ir.IntType(32), scale), lanes)
    return code.ir.shuffle_vector(values, ir.Constant(values.type, ir.Undefined), mask)


def _sample(code: Code, scale: int, pointer: Any) -> Any:
    """A float32 as often as a group has values."""
    kind = ir.VectorType(F32, scale)
    nothing = ir.Constant(kind, ir.Undefined)
    one = code.ir.insert_element(nothing, code.ir.load(pointer, typ=F32, align=4), ir.IntType(32)(0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), scale), [0] * scale)
    return code.ir.shuffle_vector(one, nothing, mask)


def _prelu(code: Code, values: Any, slopes: Any) -> Any:
    positive = code.ir.fcmp_ordered(">", values, code.every(0.0))
    return code.ir.select(positive, values, code.ir.fmul(values, slopes))
