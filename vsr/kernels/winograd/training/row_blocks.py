"""Convolutions of tensors without padding in memory, as training needs them.

A row block is a few tile rows of an image. Its source rows are copied, with zeros around them, into a buffer
that fits into the core's L2 cache. Tiles are numbered through the block row by row, so that a batch of tiles
is full even where a tile row is short.

Threads take work items, each a range of row blocks, until none is left; any number of threads does all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir

from vsr.kernels.llvm import I64, POINTER, int64
from vsr.kernels.winograd import epilogue
from vsr.kernels.winograd.convolution import (
    ARGUMENTS,
    LAYER,
    Convolution,
    Features,
    TileBatch,
    field,
    multiply,
    segments_bytes,
    transform_sources,
)
from vsr.kernels.winograd.emit import FLOAT, Code
from vsr.kernels.winograd.transform import IN, OUT

JOB = np.dtype(
    [
        (name, np.int64)
        for name in (
            "thread",  # counter: number of the next thread
            "next_item",  # counter: number of the next work item
            "items",  # number of work items
            "images",
            "row_blocks",  # of an image
            "tile_rows",  # of a row block; the last block of an image may have fewer
            "all_tile_rows",  # of an image
            "padding",  # pixels of zeros around an image
            "source",  # address of the first image
            "source_image",  # distance between two images
            "source_row",
            "height",  # of the source
            "workspace",  # address of the threads' memory: a row block and the layer's scratch memory each
            "workspace_thread",  # distance between the memory of two threads
            "row_block_bytes",
            "layer",  # address of a `LAYER`; the code sets its src0, and adds offsets to its dst and base
            "dst_image",
            "dst_tile_row",
            "dst_item",
            "base_image",
            "base_tile_row",
        )
    ]
)
"""A record of all that an emitted function needs; distances are in bytes."""

EmitBlock = Callable[[Code, Convolution], None]
"""Appends the code that computes the tiles of a row block in the range of arguments 1 and 2."""


def row_block_bytes(channels: int, tiles: int, tile_rows: int) -> int:
    """Return the bytes of a row block with its padding."""
    return (OUT * tile_rows + IN - OUT) * (OUT * tiles + IN - OUT) * channels * FLOAT


def emit(module: Any, name: str, shape: Convolution, lanes: int, emit_block: EmitBlock) -> None:
    """Append a function to a module that takes the address of a `JOB` and computes its remaining work
    items."""
    inner = Code(module, f"{name}_row_block", ARGUMENTS, lanes)
    emit_block(inner, shape)
    inner.ir.ret_void()
    code = Code(module, name, (POINTER,), lanes)
    job = _Job(code)
    layer = code.workspace(LAYER.itemsize)
    code.call("llvm.memcpy.p0.p0.i64", layer, job.address("layer"), int64(LAYER.itemsize), ir.IntType(1)(0))
    workspace = job.address("workspace")
    thread = code.fetch_add(job.field_address("thread"))
    workspace = code.offset(workspace, (thread, job.field("workspace_thread")))
    with code.work_items(job.field_address("next_item"), job.field("items")) as item:
        row_blocks = code.ir.mul(job.field("images"), job.field("row_blocks"))
        begin, end = code.partition(item, job.field("items"), row_blocks)
        with (
            code.ir.if_then(code.ir.icmp_signed("<", begin, end)),
            code.repeat(begin, end) as each,
        ):
            _row_block(code, job, shape, inner.function, (layer, workspace), (item, each.index))
    code.ir.ret_void()


class _Job:
    """The `JOB` of a function under construction."""

    def __init__(self, code: Code) -> None:
        self._code = code

    def field_address(self, name: str) -> Any:
        return self._code.field_address(self._code.arguments[0], JOB, name)

    def field(self, name: str) -> Any:
        return self._code.field(self._code.arguments[0], JOB, name)

    def address(self, name: str) -> Any:
        """Load a field as a pointer."""
        return self._code.ir.inttoptr(self.field(name), POINTER)


def _row_block(
    code: Code, job: _Job, shape: Convolution, inner: Any, memory: tuple[Any, Any], which: tuple[Any, Any]
) -> None:
    """Append the copy of a row block, and the call of the function that computes it.

    Args:
        memory: The thread's own `LAYER`, which is changed, and its workspace.
        which: The work item, and the number of the row block among those of all images.
    """
    (layer, workspace), (item, row_block) = memory, which
    image = code.ir.udiv(row_block, job.field("row_blocks"))
    first = code.ir.mul(code.ir.urem(row_block, job.field("row_blocks")), job.field("tile_rows"))
    count = code.minimum(job.field("tile_rows"), code.ir.sub(job.field("all_tile_rows"), first))
    tiles = code.field(layer, LAYER, "tiles")
    _copy(code, job, shape, workspace, (image, first, count, tiles))
    _store_field(code, layer, "src0", code.ir.ptrtoint(workspace, I64))
    for name in ("dst", "base"):
        begin = code.ir.inttoptr(code.field(job.address("layer"), LAYER, name), POINTER)
        begin = code.offset(
            begin, (image, job.field(f"{name}_image")), (first, job.field(f"{name}_tile_row"))
        )
        if name == "dst":
            begin = code.offset(begin, (item, job.field("dst_item")))
        _store_field(code, layer, name, code.ir.ptrtoint(begin, I64))
    scratch = code.offset(workspace, job.field("row_block_bytes"))
    code.ir.call(inner, (layer, int64(0), code.ir.mul(count, tiles), scratch))


def _store_field(code: Code, layer: Any, name: str, value: Any) -> None:
    code.ir.store(value, code.field_address(layer, LAYER, name), align=8)


def _copy(
    code: Code, job: _Job, shape: Convolution, row_block: Any, where: tuple[Any, Any, Any, Any]
) -> None:
    """Append the copy of the rows that a row block reads, with zeros outside the image.

    Args:
        where: Number of the image, first tile row, number of tile rows, and tiles in a tile row.
    """
    image, first, count, tiles = where
    pixel, padding = shape.channels * FLOAT, job.field("padding")
    line = code.ir.mul(code.ir.add(code.ir.mul(tiles, int64(OUT)), int64(IN - OUT)), int64(pixel))
    left, size = code.ir.mul(padding, int64(pixel)), job.field("source_row")
    right = code.ir.sub(code.ir.sub(line, left), size)
    begin = code.offset(job.address("source"), (image, job.field("source_image")))
    rows = code.ir.add(code.ir.mul(count, int64(OUT)), int64(IN - OUT))
    with code.repeat(0, rows) as row:
        y = code.ir.sub(code.ir.add(code.ir.mul(first, int64(OUT)), row.index), padding)
        to = code.offset(row_block, (row.index, line))
        # Unsigned, so that negative rows compare as large.
        inside = code.ir.icmp_unsigned("<", y, job.field("height"))
        with code.ir.if_else(inside) as (then, otherwise):
            with then:
                code.zero(to, left)
                middle = code.offset(to, left)
                source = code.offset(begin, (y, size))
                code.call("llvm.memcpy.p0.p0.i64", middle, source, size, ir.IntType(1)(0))
                code.zero(code.offset(middle, size), right)
            with otherwise:
                code.zero(to, line)


@contextmanager
def tile_batches(
    code: Code, shape: Convolution
) -> Iterator[tuple[TileBatch, Callable[[Callable[[TileBatch], None]], None]]]:
    """Emit a loop over the tile batches of a row block.

    Yields:
        The batch of all tiles, and a function `by_rows`. It emits a loop over the tile rows of the batch and
        calls its argument with the tiles of one row, as a batch of their own that shares the matrices.
    """
    _, begin, end, _ = code.arguments
    size, row_tiles = int64(shape.batch_tiles(code.lanes)), field(code, "tiles")
    batches = code.ir.udiv(code.ir.add(code.ir.sub(end, begin), code.ir.sub(size, int64(1))), size)
    with code.repeat(0, batches) as each:
        first = code.ir.add(begin, code.ir.mul(each.index, size))
        stop = code.minimum(code.ir.add(first, size), end)
        following = code.ir.udiv(stop, row_tiles), code.ir.urem(stop, row_tiles)
        top = code.ir.udiv(first, row_tiles)
        bottom = code.ir.udiv(code.ir.sub(stop, int64(1)), row_tiles)

        def by_rows(append: Callable[[TileBatch], None]) -> None:
            with code.repeat(top, code.ir.add(bottom, int64(1))) as y:
                start = code.ir.mul(y.index, row_tiles)
                left = _maximum(code, code.ir.sub(first, start), int64(0))
                right = code.minimum(code.ir.sub(stop, start), row_tiles)
                position = code.ir.sub(code.ir.add(start, left), first)
                count = code.ir.sub(right, left)
                append(TileBatch(code, shape, y.index, left, count, following, position))

        count = code.ir.sub(stop, first)
        yield TileBatch(code, shape, top, code.ir.urem(first, row_tiles), count, following), by_rows


def _maximum(code: Code, one: Any, other: Any) -> Any:
    return code.ir.select(code.ir.icmp_signed(">", one, other), one, other)


def convolve(code: Code, shape: Convolution) -> None:
    """Append the convolution of a row block's tiles; its epilogue is `Features`."""
    features = shape.epilogue
    assert isinstance(features, Features)
    workspace = code.workspace(segments_bytes(shape))
    with tile_batches(code, shape) as (batch, by_rows):
        by_rows(transform_sources)
        multiply(batch, workspace)
        by_rows(lambda row: epilogue.to_features(row, features))
