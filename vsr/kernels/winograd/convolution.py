"""Rows of output tiles of a Winograd convolution: input transform and products.

A stripe is four rows of pixels, whose channels lie side by side (NHWC). Some squares of 4x4 of it are
computed at a time, a chunk, in three steps: what they read is transformed into 36 matrices (squares x
channels), each of those is multiplied with a matrix of weights, and the products are transformed back
(`ends`). Both sets of matrices stay in the core's own cache.

Note [Distances]: matrices lie a cache line further apart than they are large. Steps one and three touch all
36 at once, and at a multiple of 4096 bytes from each other they would fall into the same few places of the
cache.

Note [Fetching]: steps one and three are bound by memory, step two by multiplications. So step two asks for
the cache lines that the next chunk will read and write: a quarter less time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import product
from math import gcd
from typing import Any

import numpy as np

from vsr.kernels.llvm import I64, LINE, POINTER, number
from vsr.kernels.winograd import transform
from vsr.kernels.winograd.emit import FLOAT, Code
from vsr.kernels.winograd.limits import SOURCES
from vsr.kernels.winograd.transform import IN, OUT

POINTS = IN * IN
_SUMS = {16: 24, 8: 12, 4: 24}
"""Sums of products in registers, by the lanes of one: so many that there are some for the factors too."""
_VECTORS = {16: 4, 8: 2, 4: 4}
"""Of outputs at most in a product, likewise."""
_FIRST_CACHE = 32 * 1024
"""Bytes of a matrix of weights at most, which a product reads again and again."""
_MANY = 128
"""Channels and outputs together from which on a chunk has half as many squares."""

FIELDS = (
    *(f"src{n}" for n in range(SOURCES)),  # addresses of the pixels up and left of the first
    *(f"src{n}_row" for n in range(SOURCES)),  # bytes of a row
    "dst",  # address of the first pixel
    "dst_row",
    "weights",
    "bias",
    "slopes",
    "squares",  # in a stripe
    "width",  # of the result
    "height",
    "plane",  # bytes of a plane of the picture that is read or written
    "base",  # of `Residual` and `Picture`: what is added
    "base_row",
    "base_plane",
    "under",  # what is added after that
    "under_row",
)
LAYER = np.dtype([(name, np.int64) for name in FIELDS])
"""What the emitted functions are told of a layer."""
ARGUMENTS = (POINTER, I64, I64, POINTER)
"""Of them: layer, first stripe, the one behind the last, scratch memory."""


@dataclass(frozen=True)
class Features:
    """The results after a PReLU, in pixels of `pixel` channels that are `factor` pixels apart."""

    pixel: int
    factor: int = 1


@dataclass(frozen=True)
class Residual:
    """`base + factor * results`, and if `twice` `under + factor *` that; all have pixels of one size."""

    pixel: int
    factor: float
    twice: bool = False


@dataclass(frozen=True)
class Picture:
    """`scale` rows of float32 in each of three planes, on top of the nearest LR pixel if `based`."""

    scale: int
    based: bool


@dataclass(frozen=True)
class Convolution:
    """What a layer's code depends on."""

    sources: tuple[int, ...]
    """Channels of each, multiples of 16."""
    outputs: int
    """Likewise."""
    end: Features | Residual | Picture
    doubled: bool = False
    """Whether the sources are read as the nearest neighbour doubles them."""

    @property
    def channels(self) -> int:
        """Of all sources."""
        return sum(self.sources)

    @property
    def offsets(self) -> list[int]:
        """Rows or columns of a source that a square reads, from its first result's on."""
        return [(n - 1) // 2 if self.doubled else n - 1 for n in range(IN)]

    @property
    def step(self) -> int:
        """From square to square, in pixels of a source."""
        return OUT // 2 if self.doubled else OUT

    def vectors(self, lanes: int) -> int:
        """Of outputs that a product computes at once."""
        most = min(_VECTORS[lanes], max(1, _FIRST_CACHE // (self.channels * lanes * FLOAT)))
        fits = (n for n in range(1, most + 1) if self.outputs // lanes % n == 0 == _SUMS[lanes] % n)
        return max(fits)

    def together(self, lanes: int) -> int:
        """Squares that a product computes at once."""
        return _SUMS[lanes] // self.vectors(lanes)

    def chunk(self, lanes: int) -> int:
        """Squares in a chunk."""
        halved = self.channels + self.outputs > _MANY and 12 % self.together(lanes) == 0
        return 12 if halved else 24


def matrix_bytes(channels: int, squares: int) -> int:
    """From one of the 36 matrices to the next; see Note [Distances]."""
    return squares * channels * FLOAT + LINE


def scratch_bytes(shape: Convolution, lanes: int) -> int:
    """Of memory that a function needs for itself."""
    squares = shape.chunk(lanes)
    matrices = POINTS * (matrix_bytes(shape.channels, squares) + matrix_bytes(shape.outputs, squares))
    return matrices + OUT * OUT * shape.outputs * FLOAT


def field(code: Code, name: str) -> Any:
    """What the layer of a function under construction has under a name."""
    return code.field(code.arguments[0], LAYER, name)


def address(code: Code, name: str) -> Any:
    return code.ir.inttoptr(field(code, name), POINTER)


@dataclass(frozen=True)
class Chunk:
    """Some squares of a stripe, in code under construction."""

    code: Code
    shape: Convolution
    y: Any
    """Number of the stripe."""
    first: Any
    """Square."""
    count: Any
    """Of squares."""
    following: tuple[Any, Any]
    """Stripe and first square of the chunk after this one."""
    place: Any = 0
    """Of the first square in the matrices, where the chunk is one of several that share them."""

    @property
    def source_bytes(self) -> int:
        """From one matrix of what is read to the next."""
        return matrix_bytes(self.shape.channels, self.shape.chunk(self.code.lanes))

    @property
    def product_bytes(self) -> int:
        """From one matrix of products to the next."""
        return matrix_bytes(self.shape.outputs, self.shape.chunk(self.code.lanes))

    @property
    def products(self) -> Any:
        """Address of the first matrix of products."""
        return self.code.at(self.code.arguments[3], POINTS * self.source_bytes)

    @property
    def pixels(self) -> Any:
        """Address of a square's results, behind them."""
        return self.code.at(self.products, POINTS * self.product_bytes)


def transformed(chunk: Chunk) -> None:
    """Append step one."""
    before = 0
    for n, channels in enumerate(chunk.shape.sources):
        _transform(chunk, n, channels, before)
        before += channels


def rows_of(chunk: Chunk, source: int, y: Any, square: Any) -> list[Any]:
    """Addresses of the six rows that a stripe reads of a source, from one pixel left of a square's."""
    code, shape = chunk.code, chunk.shape
    pixel, line = shape.sources[source] * FLOAT, field(code, f"src{source}_row")
    begin = code.ahead(address(code, f"src{source}"), (code.ir.mul(y, number(shape.step)), line))
    begin = code.ahead(begin, (square, shape.step * pixel))
    return [code.ahead(begin, (line, offset + 1)) for offset in shape.offsets]


def _transform(chunk: Chunk, source: int, channels: int, before: int) -> None:
    code, shape = chunk.code, chunk.shape
    pixel = channels * FLOAT
    rows = rows_of(chunk, source, chunk.y, chunk.first)
    with code.repeat(0, channels, by=code.lanes) as c:
        tops = [code.ahead(row, (c.index, FLOAT)) for row in rows]

        def column(square: Any, n: int) -> list[Any]:
            """Six numbers above each other, transformed."""
            place = (square, shape.step * pixel), ((shape.offsets[n] + 1) * pixel, 1)
            return transform.forward(code, [code.read(code.ahead(top, *place)) for top in tops])

        begun = [value for n in range(IN - OUT) for value in column(number(0), n)]
        to = code.ahead(code.at(code.arguments[3], before * FLOAT), (c.index, FLOAT))
        to = code.ahead(to, (chunk.place, shape.channels * FLOAT))
        with code.repeat(0, chunk.count, begun) as square:
            columns = [square.carried[:IN], square.carried[IN:]]
            columns += [column(square.index, n) for n in range(IN - OUT, IN)]
            square.following = [*columns[OUT], *columns[OUT + 1]]
            here = code.ahead(to, (square.index, shape.channels * FLOAT))
            for r, s in product(range(IN), range(IN)):
                if s == 0:
                    row = transform.forward(code, [values[r] for values in columns])
                code.write(row[s], code.at(here, (r * IN + s) * chunk.source_bytes))


def multiplied(chunk: Chunk, room: Any) -> None:
    """Append step two.

    Args:
        room: Memory for `segments`.
    """
    code, shape = chunk.code, chunk.shape
    vectors, together = shape.vectors(code.lanes), shape.together(code.lanes)
    wide = vectors * code.lanes
    size = shape.channels * wide * FLOAT
    groups, calls = shape.outputs // wide, shape.chunk(code.lanes) // together
    segments = _segments(chunk, room)
    lines = _lines_a_call(segments.lines, len(segments.places), groups * POINTS * calls)
    with code.repeat(0, groups) as group, code.repeat(0, POINTS) as point:
        factors = code.ahead(address(code, "weights"), (group.index, POINTS * size), (point.index, size))
        sources = code.ahead(code.arguments[3], (point.index, chunk.source_bytes))
        results = code.ahead(chunk.products, (point.index, chunk.product_bytes), (group.index, wide * FLOAT))
        with code.repeat(0, chunk.count, by=together) as n:
            call = code.ir.add(code.ir.mul(group.index, number(POINTS)), point.index)
            call = code.ir.add(code.ir.mul(call, number(calls)), code.ir.udiv(n.index, number(together)))
            product_of(
                chunk,
                code.ahead(sources, (n.index, shape.channels * FLOAT)),
                factors,
                code.ahead(results, (n.index, shape.outputs * FLOAT)),
                segments.part(code, call, lines),
            )


def product_of(chunk: Chunk, sources: Any, factors: Any, results: Any, fetched: Any) -> None:
    """A few squares by a few vectors of outputs: sums over all channels, in registers."""
    code, shape = chunk.code, chunk.shape
    squares, vectors = shape.together(code.lanes), shape.vectors(code.lanes)
    places, each = list(product(range(squares), range(vectors))), code.lanes * FLOAT
    with code.repeat(0, shape.channels, [code.constant(0.0)] * len(places)) as c:
        code.fetch(code.ahead(fetched, (c.index, LINE)))
        weights = code.ahead(factors, (c.index, vectors * each))
        loaded = [code.read(code.at(weights, v * each)) for v in range(vectors)]
        numbers = code.ahead(sources, (c.index, FLOAT))
        for s in range(squares):
            value = code.everywhere(code.at(numbers, s * shape.channels * FLOAT))
            for v in range(vectors):
                c.following.append(code.fused(value, loaded[v], c.carried[s * vectors + v]))
    for (s, v), total in zip(places, c.carried, strict=True):
        code.write(total, code.at(results, s * shape.outputs * FLOAT + v * each))


@dataclass(frozen=True)
class _Segments:
    """Memory that the next chunk will touch, in pieces of one size; see Note [Fetching]."""

    room: Any
    places: list[Any]
    lines: int
    """Of each."""

    def part(self, code: Code, call: Any, lines: int) -> Any:
        """Where a call's share of it begins."""
        shares = self.lines // lines
        which = code.ir.urem(code.ir.udiv(call, number(shares)), number(len(self.places)))
        begin = code.ir.load(code.ahead(self.room, (which, 8)), typ=POINTER, align=8)
        return code.ahead(begin, (code.ir.urem(call, number(shares)), lines * LINE))


def segments_room(shape: Convolution) -> int:
    """Bytes of the addresses of all segments at most."""
    return 8 * IN * (sum(shape.sources) + 3 * shape.outputs) // 16


def _segments(chunk: Chunk, room: Any) -> _Segments:
    code, shape = chunk.code, chunk.shape
    y, square = chunk.following
    touched = [
        (channels, row)
        for n, channels in enumerate(shape.sources)
        for row in dict.fromkeys(rows_of(chunk, n, y, square))
    ]
    if not isinstance(shape.end, Picture):
        for name in ("dst", "base", "under")[: _writes(shape.end)]:
            line = field(code, f"{name}_row")
            begin = code.ahead(address(code, name), (code.ir.mul(y, number(OUT)), line))
            begin = code.ahead(begin, (square, OUT * shape.end.pixel * FLOAT))
            touched += [(shape.end.pixel, code.ahead(begin, (line, n))) for n in range(OUT)]
    width = reduce(gcd, (channels for channels, _ in touched))
    size = shape.chunk(code.lanes) * shape.step * width * FLOAT
    places = [code.at(row, n * size) for channels, row in touched for n in range(channels // width)]
    for n, place in enumerate(places):
        code.ir.store(place, code.at(room, 8 * n), align=8)
    return _Segments(room, places, size // LINE)


def _writes(end: Features | Residual | Picture) -> int:
    """How many of dst, base and under it has."""
    return 2 + end.twice if isinstance(end, Residual) else 1


def _lines_a_call(lines: int, segments: int, calls: int) -> int:
    """A share of a segment that leaves nothing, so that the calls see all of them."""
    return next(
        n for n in range(1, lines + 1) if lines % n == 0 and (n * calls >= lines * segments or n == lines)
    )
