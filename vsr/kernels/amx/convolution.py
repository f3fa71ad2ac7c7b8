"""One row of a 3x3 convolution in AMX tiles, and the epilogue of its sums.

A pixel's channels are adjacent in memory (NHWC), so a tile loads 32 channels of 16 pixels directly, from the
pixel that a tap needs. 32 pixels and 32 output channels are computed at a time: four tiles of sums, which is
what fits into eight tile registers with the operands. If the width of a row is no multiple of 32, its last 32
pixels overlap the ones before and get the same results again.

Note [Interleaved epilogue]: the other units of the core are almost idle while AMX multiplies, and AMX is idle
during the epilogue. So the products of 32 pixels are interleaved with the epilogue of the 32 pixels before,
whose sums are in the other half of a scratch buffer. This saves a fifth of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from llvmlite import ir

from vsr.kernels.amx.emit import ROW, TILE, Code
from vsr.kernels.epilogues import Image, Residual
from vsr.kernels.llvm import F32, I64, POINTER, int64

PIXELS = 32
"""Pixels that are computed at a time; a row must have at least as many."""
BLOCK = 16
"""Output channels of a tile."""
DEPTH = 32
"""Input channels of a tile."""
ARGUMENTS = {
    "dst": POINTER,  # all rows begin at the first pixel that is computed; sources at the pixel left of it
    "above": POINTER,
    "here": POINTER,
    "below": POINTER,
    "second above": POINTER,  # of the second source
    "second here": POINTER,
    "second below": POINTER,
    "weights": POINTER,
    "bias": POINTER,
    "slopes": POINTER,
    "width": I64,
    "line": I64,  # of `Image`: bytes from a row of dst to the next
    "plane": I64,  # of `Image`: bytes from a plane to the next
    "base": POINTER,  # first addend
    "base plane": I64,
    "outer": POINTER,  # second addend
}


_SUMS = 4 * TILE
"""Bytes of the sums of 32 pixels and two blocks."""


@dataclass(frozen=True)
class Step:
    """The operand of one product: 32 channels of 16 pixels of a source."""

    source: int
    """0 for the first source, 1 for the second."""
    row: int
    """0 for the row above, 1 for the row itself, 2 for the row below."""
    byte: int
    """Distance from the pixel left of the first one."""


@dataclass(frozen=True)
class Features:
    """An epilogue that applies a PReLU and writes bfloat16, `pixel` bytes from one pixel to the next."""

    pixel: int


def groups_in_block(image: Image) -> int:
    """Return how many groups of channels of an image fit into a block."""
    return BLOCK // image.scale


@dataclass(frozen=True)
class Convolution:
    """The properties of a layer that the code of its rows depends on."""

    steps: tuple[Step, ...]
    pixels: tuple[int, int]
    """Bytes of a pixel of each source."""
    blocks: int
    """Blocks of output channels."""
    epilogue: Features | Residual | Image


def passes(blocks: int) -> list[tuple[int, int]]:
    """Return the first block and the number of blocks (1 or 2) that each pass over a row computes."""
    return [(first, min(2, blocks - first)) for first in range(0, blocks, 2)]


@dataclass(frozen=True)
class _Row:
    """A function under construction, its arguments by name, and its scratch buffer for sums."""

    code: Code
    shape: Convolution
    given: dict[str, Any]
    sums: Any

    def pixel(self, name: str, x: Any, size: int) -> Any:
        """Return the address of a pixel of a row."""
        return self.code.offset(self.given[name], self.code.ir.mul(x, int64(size)))

    def channels(self, name: str, x: Any, size: int, first: Any) -> Any:
        """Return the address of the channels of a block in a pixel of a row of features."""
        return self.code.offset(self.pixel(name, x, size), self.code.ir.mul(first, int64(2 * BLOCK)))

    def block(self, name: str, first: Any, size: int) -> Any:
        """Return the address of the parameters of a block."""
        return self.code.offset(self.given[name], self.code.ir.mul(first, int64(size)))

    def half(self, index: Any, others: int) -> Any:
        """Return the half of the scratch buffer for the `index`-th 32 pixels, or with 1 for those before."""
        odd = self.code.ir.and_(self.code.ir.add(index, int64(others)), int64(1))
        return self.code.offset(self.sums, self.code.ir.mul(odd, int64(_SUMS)))

    def sum_of(self, sums: Any, pixel: int, block: int) -> Any:
        """Load the sums of a pixel and a block."""
        tile = 2 * (pixel // 16) + block
        return self.code.load_floats(self.code.offset(sums, TILE * tile + ROW * (pixel % 16)))


def emit(module: Any, name: str, shape: Convolution) -> None:
    """Append the function with `ARGUMENTS` to a module.

    Weights are tiles, for each of `passes`, each step and each block: 16 pairs of input channels x 16 output
    channels x 2.
    """
    code = Code(module, name, tuple(ARGUMENTS.values()))
    row = _Row(code, shape, dict(zip(ARGUMENTS, code.arguments, strict=True)), code.scratch(2 * _SUMS))
    epilogue = shape.epilogue
    if isinstance(epilogue, Image):
        for begin, blocks in passes(shape.blocks):
            _pass(row, int64(begin), blocks, partial(_to_image, row, epilogue, begin))
    else:
        with code.repeat(0, shape.blocks // 2) as each:
            first = code.ir.mul(each.index, int64(2))
            if isinstance(epilogue, Features):
                _pass(row, first, 2, partial(_to_features, row, epilogue, first))
            else:
                _pass(row, first, 2, partial(_to_residual, row, epilogue, first))
    code.ir.ret_void()


def _pass(row: _Row, first: Any, blocks: int, finish: Callable[[Any, Any, int], Iterator[None]]) -> None:
    """Append one or two blocks of a whole row; see Note [Interleaved epilogue].

    Args:
        finish: Appends the epilogue of 32 pixels, a little for each item that it yields.
    """
    code, width = row.code, row.given["width"]
    last = code.ir.sub(width, int64(PIXELS))
    count = code.ir.sdiv(code.ir.add(width, int64(PIXELS - 1)), int64(PIXELS))
    with code.repeat(0, count, [int64(0)]) as loop:
        x = code.ir.mul(loop.index, int64(PIXELS))
        x = code.ir.select(code.ir.icmp_signed("<", x, last), x, last)
        # The first iteration writes the epilogue of uninitialised sums, which the second one overwrites.
        _multiply(row, x, first, blocks, finish(loop.carried[0], row.half(loop.index, 1), blocks))
        for tile in (2 * i + j for i in range(2) for j in range(blocks)):
            code.tile_store(tile, code.offset(row.half(loop.index, 0), TILE * tile), ROW)
        loop.following = [x]
    for _ in finish(x, row.half(count, 1), blocks):
        pass


def _multiply(row: _Row, x: Any, first: Any, blocks: int, meanwhile: Iterator[None]) -> None:
    """Append the sums of pixels x to x + 32 by one or two blocks, in tiles 0 to 3.

    Args:
        meanwhile: Appends the epilogue of other pixels, of which each step gets its share.
    """
    code, sizes, steps = row.code, row.shape.pixels, row.shape.steps
    bias = row.block("bias", first, ROW)
    tiles = row.block("weights", first, len(steps) * TILE)
    names = (("above", "here", "below"), ("second above", "second here", "second below"))
    used = {(step.source, step.row) for step in steps}
    begins = {(s, r): row.pixel(names[s][r], x, sizes[s]) for s, r in sorted(used)}
    for i in range(2):
        for j in range(blocks):
            code.tile_load(2 * i + j, code.offset(bias, ROW * j), 0)
    for n, step in enumerate(steps):
        begin, size = begins[step.source, step.row], sizes[step.source]
        for j in range(blocks):
            code.tile_load(6 + j, code.offset(tiles, (n * blocks + j) * TILE), ROW)
        for i in range(2):
            code.tile_load(4 + i, code.offset(begin, step.byte + i * 16 * size), size)
            for j in range(blocks):
                code.tile_multiply(2 * i + j, 4 + i, 6 + j)
        for _ in islice(meanwhile, -(-PIXELS * blocks // len(steps))):
            pass
    for _ in meanwhile:
        pass


def _to_features(row: _Row, features: Features, first: Any, x: Any, sums: Any, blocks: int) -> Iterator[None]:
    """Append the epilogue of 32 pixels, and yield after each of them; so do the next two functions."""
    code, target = row.code, row.channels("dst", x, features.pixel, first)
    slopes = [code.load_floats(code.offset(row.block("slopes", first, ROW), j * ROW)) for j in range(blocks)]
    for n in range(PIXELS):
        low, high = (_prelu(code, row.sum_of(sums, n, j), slopes[j]) for j in range(blocks))
        code.ir.store(code.to_bfloats(low, high), code.offset(target, n * features.pixel), align=ROW)
        yield


def _to_residual(row: _Row, residual: Residual, first: Any, x: Any, sums: Any, blocks: int) -> Iterator[None]:
    code = row.code
    names = ("dst", "base", "outer") if residual.twice else ("dst", "base")
    begins = [row.channels(name, x, residual.pixel, first) for name in names]
    for n in range(PIXELS):
        target, *addends = (code.offset(begin, n * residual.pixel) for begin in begins)
        halves = [row.sum_of(sums, n, j) for j in range(blocks)]
        for pointer in addends:
            for j in range(blocks):
                scaled = code.ir.fmul(halves[j], code.splat(residual.factor))
                halves[j] = code.ir.fadd(code.from_bfloats(code.offset(pointer, 2 * BLOCK * j)), scaled)
        code.ir.store(code.to_bfloats(*halves), target, align=ROW)
        yield


def _to_image(row: _Row, image: Image, first: int, x: Any, sums: Any, blocks: int) -> Iterator[None]:
    code, size = row.code, 4 * image.scale
    for j in range(blocks):
        fitting = groups_in_block(image)
        begin = (first + j) * fitting
        groups = image.groups[begin : begin + fitting]
        places = [_group_address(row, image, x, *group) for group in groups]
        for n in range(PIXELS):
            for slot, (target, nearest) in enumerate(places):
                group = _group(code, image.scale, row.sum_of(sums, n, j), slot)
                if image.adds_image:
                    sample = _repeated_sample(code, image.scale, code.offset(nearest, 4 * n))
                    group = code.ir.fadd(group, sample)
                code.ir.store(group, code.offset(target, n * size), align=4)
            yield


def _group_address(row: _Row, image: Image, x: Any, plane: int, line: int) -> tuple[Any, Any]:
    """Return the addresses of a group's first pixel in the result and in the LR image."""
    ir_, given = row.code.ir, row.given
    target = row.code.offset(row.pixel("dst", x, 4 * image.scale), ir_.mul(given["plane"], int64(plane)))
    nearest = row.code.offset(row.pixel("base", x, 4), ir_.mul(given["base plane"], int64(plane)))
    return row.code.offset(target, ir_.mul(given["line"], int64(line))), nearest


def _group(code: Code, scale: int, values: Any, slot: int) -> Any:
    """Return group number `slot`, of `scale` values, from 16 values."""
    lanes = [ir.IntType(32)(i) for i in range(slot * scale, (slot + 1) * scale)]
    mask = ir.Constant(ir.VectorType(ir.IntType(32), scale), lanes)
    return code.ir.shuffle_vector(values, ir.Constant(values.type, ir.Undefined), mask)


def _repeated_sample(code: Code, scale: int, pointer: Any) -> Any:
    """Load a float32 into a vector of `scale` lanes."""
    kind = ir.VectorType(F32, scale)
    empty = ir.Constant(kind, ir.Undefined)
    one = code.ir.insert_element(empty, code.ir.load(pointer, typ=F32, align=4), ir.IntType(32)(0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), scale), [0] * scale)
    return code.ir.shuffle_vector(one, empty, mask)


def _prelu(code: Code, values: Any, slopes: Any) -> Any:
    positive = code.ir.fcmp_ordered(">", values, code.splat(0.0))
    return code.ir.select(positive, values, code.ir.fmul(values, slopes))
