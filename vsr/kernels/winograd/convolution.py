"""Rows of output tiles of a Winograd convolution: input transform and products.

A tile row is four rows of results, and a pixel's channels are adjacent in memory (NHWC). A batch of 4x4
output tiles is computed in three steps. The input transform turns what the tiles read into 36 matrices (tiles
x channels). Each of them is multiplied by a matrix of weights. The output transform turns the products into
results (`epilogue`). Both sets of matrices fit into the core's L2 cache.

Note [Stride padding]: the distance between two matrices is their size plus a cache line. The transforms touch
all 36 matrices at once; at distances that are multiples of 4096 bytes their lines would compete for the same
few sets of the cache.

Note [Software prefetch]: the transforms are bound by memory, the products by multiplications. So the products
prefetch the cache lines that the next batch will read and write, which saves a quarter of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import product
from math import gcd
from typing import Any

import numpy as np

from vsr.kernels.epilogues import Image, Residual
from vsr.kernels.llvm import I64, LINE, POINTER, int64
from vsr.kernels.winograd import transform
from vsr.kernels.winograd.emit import FLOAT, Code
from vsr.kernels.winograd.limits import SOURCES
from vsr.kernels.winograd.transform import IN, OUT

POINTS = IN * IN
"""Elements of a transformed tile, which are as many matrices."""
_SUMS = {16: 24, 8: 12, 4: 24}
"""Vectors of sums in registers, by the lanes of a vector; the other registers hold the factors."""
_VECTORS = {16: 4, 8: 2, 4: 4}
"""Most vectors of outputs in a product, by the lanes of a vector."""
_L1_BYTES = 32 * 1024
"""Most bytes of the weights of a product, which it reads again and again from the L1 cache."""
_MANY = 128
"""Channels plus outputs above which a batch has half as many tiles."""

FIELDS = (
    *(f"src{n}" for n in range(SOURCES)),  # address of the pixel above and left of the first one
    *(f"src{n}_row" for n in range(SOURCES)),  # bytes of a row
    "dst",  # address of the first pixel
    "dst_row",  # bytes of a row
    "weights",
    "bias",
    "slopes",
    "tiles",  # in a tile row
    "width",  # of the result
    "height",
    "plane",  # bytes of a plane of the image that is read or written
    "base",  # address of the first addend of `Residual` and `Image`
    "base_row",
    "base_plane",
    "outer",  # address of the second addend of `Residual`
    "outer_row",
)
LAYER = np.dtype([(name, np.int64) for name in FIELDS])
"""A record with the addresses and sizes of a layer, which the emitted functions read."""
ARGUMENTS = (POINTER, I64, I64, POINTER)
"""Arguments of the emitted functions: a `LAYER`, the range `[first, end)` of tile rows, scratch memory."""


@dataclass(frozen=True)
class Features:
    """An epilogue that applies a PReLU and writes pixels of `pixel` channels, `factor` pixels apart."""

    pixel: int
    factor: int = 1


@dataclass(frozen=True)
class Convolution:
    """The properties of a layer that its code depends on."""

    sources: tuple[int, ...]
    """Channels of each source, multiples of 16."""
    outputs: int
    """Output channels, a multiple of 16."""
    epilogue: Features | Residual | Image
    doubled: bool = False
    """Whether the nearest neighbour enlarges the sources by 2 before the convolution."""

    @property
    def channels(self) -> int:
        """Channels of all sources."""
        return sum(self.sources)

    @property
    def offsets(self) -> list[int]:
        """Rows (or columns) of a source that a tile reads, relative to its first result."""
        return [(n - 1) // 2 if self.doubled else n - 1 for n in range(IN)]

    @property
    def step(self) -> int:
        """Pixels of a source from one tile to the next."""
        return OUT // 2 if self.doubled else OUT

    def vectors(self, lanes: int) -> int:
        """Vectors of outputs that a product computes at once."""
        most = min(_VECTORS[lanes], max(1, _L1_BYTES // (self.channels * lanes * FLOAT)))
        fits = (n for n in range(1, most + 1) if self.outputs // lanes % n == 0 == _SUMS[lanes] % n)
        return max(fits)

    def tiles_at_once(self, lanes: int) -> int:
        """Tiles that a product computes at once."""
        return _SUMS[lanes] // self.vectors(lanes)

    def batch_tiles(self, lanes: int) -> int:
        """Tiles in a batch."""
        halved = self.channels + self.outputs > _MANY and 12 % self.tiles_at_once(lanes) == 0
        return 12 if halved else 24


def matrix_bytes(channels: int, tiles: int) -> int:
    """Return the distance between two of the 36 matrices in bytes; see Note [Stride padding]."""
    return tiles * channels * FLOAT + LINE


def scratch_bytes(shape: Convolution, lanes: int) -> int:
    """Return the bytes of scratch memory that a call of the emitted function needs."""
    tiles = shape.batch_tiles(lanes)
    matrices = POINTS * (matrix_bytes(shape.channels, tiles) + matrix_bytes(shape.outputs, tiles))
    return matrices + OUT * OUT * shape.outputs * FLOAT


def field(code: Code, name: str) -> Any:
    """Load a field of the layer that a function under construction computes."""
    return code.field(code.arguments[0], LAYER, name)


def address(code: Code, name: str) -> Any:
    """Load a field of the layer as a pointer."""
    return code.ir.inttoptr(field(code, name), POINTER)


@dataclass(frozen=True)
class TileBatch:
    """Adjacent output tiles of a tile row that are computed together, in code under construction."""

    code: Code
    shape: Convolution
    y: Any
    """Number of the tile row."""
    first: Any
    """Number of the first tile in its row."""
    count: Any
    """Number of tiles."""
    following: tuple[Any, Any]
    """Tile row and first tile of the next batch."""
    position: Any = 0
    """Row of the first tile in the matrices; not 0 where the tiles of several tile rows share them."""

    @property
    def source_bytes(self) -> int:
        """Distance between two matrices of transformed sources in bytes."""
        return matrix_bytes(self.shape.channels, self.shape.batch_tiles(self.code.lanes))

    @property
    def product_bytes(self) -> int:
        """Distance between two matrices of products in bytes."""
        return matrix_bytes(self.shape.outputs, self.shape.batch_tiles(self.code.lanes))

    @property
    def products(self) -> Any:
        """Address of the first matrix of products."""
        return self.code.offset(self.code.arguments[3], POINTS * self.source_bytes)

    @property
    def pixels(self) -> Any:
        """Address of the results of one tile; they follow the matrices of products."""
        return self.code.offset(self.products, POINTS * self.product_bytes)


def transform_sources(batch: TileBatch) -> None:
    """Append the input transform."""
    before = 0
    for n, channels in enumerate(batch.shape.sources):
        _transform_source(batch, n, channels, before)
        before += channels


def source_rows(batch: TileBatch, source: int, y: Any, tile: Any) -> list[Any]:
    """Return the addresses of the six rows of a source that a tile reads, from the pixel left of its
    first."""
    code, shape = batch.code, batch.shape
    pixel, line = shape.sources[source] * FLOAT, field(code, f"src{source}_row")
    begin = code.offset(address(code, f"src{source}"), (code.ir.mul(y, int64(shape.step)), line))
    begin = code.offset(begin, (tile, shape.step * pixel))
    return [code.offset(begin, (line, offset + 1)) for offset in shape.offsets]


def _transform_source(batch: TileBatch, source: int, channels: int, before: int) -> None:
    """Append the transform of one source, whose channels follow `before` channels of other sources."""
    code, shape = batch.code, batch.shape
    pixel = channels * FLOAT
    rows = source_rows(batch, source, batch.y, batch.first)
    with code.repeat(0, channels, by=code.lanes) as c:
        tops = [code.offset(row, (c.index, FLOAT)) for row in rows]

        def column(tile: Any, n: int) -> list[Any]:
            """Transform column n of a tile."""
            place = (tile, shape.step * pixel), ((shape.offsets[n] + 1) * pixel, 1)
            return transform.forward(code, [code.read(code.offset(top, *place)) for top in tops])

        # Neighbouring tiles share two columns, so each iteration passes its last two to the next one.
        shared = [value for n in range(IN - OUT) for value in column(int64(0), n)]
        to = code.offset(code.offset(code.arguments[3], before * FLOAT), (c.index, FLOAT))
        to = code.offset(to, (batch.position, shape.channels * FLOAT))
        with code.repeat(0, batch.count, shared) as tile:
            columns = [tile.carried[:IN], tile.carried[IN:]]
            columns += [column(tile.index, n) for n in range(IN - OUT, IN)]
            tile.following = [*columns[OUT], *columns[OUT + 1]]
            here = code.offset(to, (tile.index, shape.channels * FLOAT))
            for r, s in product(range(IN), range(IN)):
                if s == 0:
                    row = transform.forward(code, [values[r] for values in columns])
                code.write(row[s], code.offset(here, (r * IN + s) * batch.source_bytes))


def multiply(batch: TileBatch, workspace: Any) -> None:
    """Append the products of the matrices.

    Args:
        workspace: Memory of `segments_bytes` for the addresses to prefetch.
    """
    code, shape = batch.code, batch.shape
    vectors, together = shape.vectors(code.lanes), shape.tiles_at_once(code.lanes)
    wide = vectors * code.lanes
    size = shape.channels * wide * FLOAT
    groups, calls = shape.outputs // wide, shape.batch_tiles(code.lanes) // together
    segments = _segments(batch, workspace)
    lines = _lines_per_call(segments.lines, len(segments.begins), groups * POINTS * calls)
    with code.repeat(0, groups) as group, code.repeat(0, POINTS) as point:
        factors = code.offset(address(code, "weights"), (group.index, POINTS * size), (point.index, size))
        sources = code.offset(code.arguments[3], (point.index, batch.source_bytes))
        results = code.offset(batch.products, (point.index, batch.product_bytes), (group.index, wide * FLOAT))
        with code.repeat(0, batch.count, by=together) as n:
            call = code.ir.add(code.ir.mul(group.index, int64(POINTS)), point.index)
            call = code.ir.add(code.ir.mul(call, int64(calls)), code.ir.udiv(n.index, int64(together)))
            _multiply_some(
                batch,
                code.offset(sources, (n.index, shape.channels * FLOAT)),
                factors,
                code.offset(results, (n.index, shape.outputs * FLOAT)),
                segments.part(code, call, lines),
            )


def _multiply_some(batch: TileBatch, sources: Any, factors: Any, results: Any, prefetched: Any) -> None:
    """Append the product of a few tiles and a few vectors of outputs; the sums stay in registers."""
    code, shape = batch.code, batch.shape
    tiles, vectors = shape.tiles_at_once(code.lanes), shape.vectors(code.lanes)
    places, each = list(product(range(tiles), range(vectors))), code.lanes * FLOAT
    with code.repeat(0, shape.channels, [code.splat(0.0)] * len(places)) as c:
        code.prefetch(code.offset(prefetched, (c.index, LINE)))
        weights = code.offset(factors, (c.index, vectors * each))
        loaded = [code.read(code.offset(weights, v * each)) for v in range(vectors)]
        numbers = code.offset(sources, (c.index, FLOAT))
        for s in range(tiles):
            value = code.broadcast(code.offset(numbers, s * shape.channels * FLOAT))
            for v in range(vectors):
                c.following.append(code.fma(value, loaded[v], c.carried[s * vectors + v]))
    for (s, v), total in zip(places, c.carried, strict=True):
        code.write(total, code.offset(results, s * shape.outputs * FLOAT + v * each))


@dataclass(frozen=True)
class _Segments:
    """Memory that the next batch will touch, in segments of one size; see Note [Software prefetch]."""

    workspace: Any
    """Address of a table with the begin of each segment."""
    begins: list[Any]
    lines: int
    """Cache lines of a segment."""

    def part(self, code: Code, call: Any, lines: int) -> Any:
        """Return where the `lines` cache lines begin that a call of the product prefetches."""
        shares = self.lines // lines
        which = code.ir.urem(code.ir.udiv(call, int64(shares)), int64(len(self.begins)))
        begin = code.ir.load(code.offset(self.workspace, (which, 8)), typ=POINTER, align=8)
        return code.offset(begin, (code.ir.urem(call, int64(shares)), lines * LINE))


def segments_bytes(shape: Convolution) -> int:
    """Return the most bytes that the table of segments takes."""
    return 8 * IN * (sum(shape.sources) + 3 * shape.outputs) // 16


def _segments(batch: TileBatch, workspace: Any) -> _Segments:
    """Append the table of what the next batch reads of its sources and, except for images, writes."""
    code, shape = batch.code, batch.shape
    y, tile = batch.following
    touched = [
        (channels, row)
        for n, channels in enumerate(shape.sources)
        for row in dict.fromkeys(source_rows(batch, n, y, tile))
    ]
    if not isinstance(shape.epilogue, Image):
        for name in ("dst", "base", "outer")[: _feature_buffers(shape.epilogue)]:
            line = field(code, f"{name}_row")
            begin = code.offset(address(code, name), (code.ir.mul(y, int64(OUT)), line))
            begin = code.offset(begin, (tile, OUT * shape.epilogue.pixel * FLOAT))
            touched += [(shape.epilogue.pixel, code.offset(begin, (line, n))) for n in range(OUT)]
    width = reduce(gcd, (channels for channels, _ in touched))
    size = shape.batch_tiles(code.lanes) * shape.step * width * FLOAT
    begins = [code.offset(row, n * size) for channels, row in touched for n in range(channels // width)]
    for n, begin in enumerate(begins):
        code.ir.store(begin, code.offset(workspace, 8 * n), align=8)
    return _Segments(workspace, begins, size // LINE)


def _feature_buffers(epilogue: Features | Residual | Image) -> int:
    """Return how many of the buffers dst, base and outer an epilogue has."""
    return 2 + epilogue.twice if isinstance(epilogue, Residual) else 1


def _lines_per_call(lines: int, segments: int, calls: int) -> int:
    """Return the smallest divisor of a segment's lines with which the calls cover all segments."""
    return next(
        n for n in range(1, lines + 1) if lines % n == 0 and (n * calls >= lines * segments or n == lines)
    )
