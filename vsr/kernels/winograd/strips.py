"""Convolutions of tensors without borders in memory, as in training.

A strip is some stripes of a picture: its rows are copied, with zeros around them, into memory of the core's
own. Squares are counted through the strip row by row, so that a chunk is full also where a stripe is short.

Threads take parts of the strips until there are none left, so that any number of them does all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir

from vsr.kernels.llvm import I64, POINTER, number
from vsr.kernels.winograd import ends
from vsr.kernels.winograd.convolution import (
    ARGUMENTS,
    LAYER,
    Chunk,
    Convolution,
    Features,
    field,
    multiplied,
    segments_room,
    transformed,
)
from vsr.kernels.winograd.emit import FLOAT, Code
from vsr.kernels.winograd.transform import IN, OUT

JOB = np.dtype(
    [
        (name, np.int64)
        for name in (
            "thread",  # the next one to come
            "part",  # the next one to be taken
            "parts",
            "pictures",
            "strips",  # of a picture
            "stripes",  # of a strip, the last of a picture apart
            "all_stripes",  # of a picture
            "padding",  # pixels of zeros around a picture
            "source",  # address of the first picture
            "source_picture",  # bytes
            "source_row",
            "height",  # of the source
            "room",  # address of a thread's memory: a strip, and behind it what the layer's function needs
            "room_thread",  # bytes
            "strip_bytes",
            "layer",  # address of a `LAYER`; the code sets its src0, and to its dst and base adds
            "dst_picture",
            "dst_stripe",
            "dst_part",
            "base_picture",
            "base_stripe",
        )
    ]
)
"""What the emitted functions are told; addresses and numbers of bytes where nothing else is said."""

Whole = Callable[[Code, Convolution], None]
"""Appends what is done to a strip's squares, those from arguments 1 to 2."""


def strip_bytes(channels: int, squares: int, stripes: int) -> int:
    """Of a strip with its zeros."""
    return (OUT * stripes + IN - OUT) * (OUT * squares + IN - OUT) * channels * FLOAT


def emit(module: Any, name: str, shape: Convolution, lanes: int, whole: Whole) -> None:
    """Append a function of the address of a `JOB` that does what is left of it."""
    inner = Code(module, f"{name}_strip", ARGUMENTS, lanes)
    whole(inner, shape)
    inner.ir.ret_void()
    code = Code(module, name, (POINTER,), lanes)
    job = _Job(code)
    layer = code.room(LAYER.itemsize)
    code.call("llvm.memcpy.p0.p0.i64", layer, job.address("layer"), number(LAYER.itemsize), ir.IntType(1)(0))
    room = code.ahead(job.address("room"), (code.taken(job.at("thread")), job.field("room_thread")))
    with code.parts(job.at("part"), job.field("parts")) as part:
        strips = code.ir.mul(job.field("pictures"), job.field("strips"))
        begin, end = code.share(part, job.field("parts"), strips)
        with (
            code.ir.if_then(code.ir.icmp_signed("<", begin, end)),
            code.repeat(begin, end) as each,
        ):
            _one(code, job, shape, inner.function, (layer, room), (part, each.index))
    code.ir.ret_void()


class _Job:
    """The job of a function under construction."""

    def __init__(self, code: Code) -> None:
        self._code = code

    def at(self, name: str) -> Any:
        return self._code.place(self._code.arguments[0], JOB, name)

    def field(self, name: str) -> Any:
        return self._code.field(self._code.arguments[0], JOB, name)

    def address(self, name: str) -> Any:
        return self._code.ir.inttoptr(self.field(name), POINTER)


def _one(
    code: Code, job: _Job, shape: Convolution, inner: Any, memory: tuple[Any, Any], which: tuple[Any, Any]
) -> None:
    """A strip, the `which[1]`th of all: copy it, and call what computes it with a layer of its own."""
    (layer, room), (part, strip) = memory, which
    picture = code.ir.udiv(strip, job.field("strips"))
    first = code.ir.mul(code.ir.urem(strip, job.field("strips")), job.field("stripes"))
    count = code.least(job.field("stripes"), code.ir.sub(job.field("all_stripes"), first))
    squares = code.field(layer, LAYER, "squares")
    _copy(code, job, shape, room, (picture, first, count, squares))
    _tell(code, layer, "src0", code.ir.ptrtoint(room, I64))
    for name in ("dst", "base"):
        begin = code.ir.inttoptr(code.field(job.address("layer"), LAYER, name), POINTER)
        begin = code.ahead(
            begin, (picture, job.field(f"{name}_picture")), (first, job.field(f"{name}_stripe"))
        )
        if name == "dst":
            begin = code.ahead(begin, (part, job.field("dst_part")))
        _tell(code, layer, name, code.ir.ptrtoint(begin, I64))
    behind = code.at(room, job.field("strip_bytes"))
    code.ir.call(inner, (layer, number(0), code.ir.mul(count, squares), behind))


def _tell(code: Code, layer: Any, name: str, value: Any) -> None:
    code.ir.store(value, code.place(layer, LAYER, name), align=8)


def _copy(code: Code, job: _Job, shape: Convolution, strip: Any, where: tuple[Any, Any, Any, Any]) -> None:
    """The rows that some stripes of a picture read, and zeros where there is no picture."""
    picture, first, count, squares = where
    pixel, padding = shape.channels * FLOAT, job.field("padding")
    line = code.ir.mul(code.ir.add(code.ir.mul(squares, number(OUT)), number(IN - OUT)), number(pixel))
    left, size = code.ir.mul(padding, number(pixel)), job.field("source_row")
    right = code.ir.sub(code.ir.sub(line, left), size)
    begin = code.ahead(job.address("source"), (picture, job.field("source_picture")))
    rows = code.ir.add(code.ir.mul(count, number(OUT)), number(IN - OUT))
    with code.repeat(0, rows) as row:
        y = code.ir.sub(code.ir.add(code.ir.mul(first, number(OUT)), row.index), padding)
        to = code.ahead(strip, (row.index, line))
        inside = code.ir.icmp_unsigned("<", y, job.field("height"))  # negative ones are large
        with code.ir.if_else(inside) as (there, outside):
            with there:
                code.clear(to, left)
                middle = code.at(to, left)
                source = code.ahead(begin, (y, size))
                code.call("llvm.memcpy.p0.p0.i64", middle, source, size, ir.IntType(1)(0))
                code.clear(code.at(middle, size), right)
            with outside:
                code.clear(to, line)


@contextmanager
def chunks(
    code: Code, shape: Convolution
) -> Iterator[tuple[Chunk, Callable[[Callable[[Chunk], None]], None]]]:
    """A loop over the chunks of a strip.

    Yields:
        All squares of a chunk; and what appends something to be done with each of its rows, which are chunks
        of one stripe that share the matrices.
    """
    _, begin, end, _ = code.arguments
    size, a_row = number(shape.chunk(code.lanes)), field(code, "squares")
    number_of = code.ir.udiv(code.ir.add(code.ir.sub(end, begin), code.ir.sub(size, number(1))), size)
    with code.repeat(0, number_of) as each:
        first = code.ir.add(begin, code.ir.mul(each.index, size))
        behind = code.least(code.ir.add(first, size), end)
        following = code.ir.udiv(behind, a_row), code.ir.urem(behind, a_row)
        top = code.ir.udiv(first, a_row)
        bottom = code.ir.udiv(code.ir.sub(behind, number(1)), a_row)

        def by_rows(append: Callable[[Chunk], None]) -> None:
            with code.repeat(top, code.ir.add(bottom, number(1))) as y:
                start = code.ir.mul(y.index, a_row)
                left = _most(code, code.ir.sub(first, start), number(0))
                right = code.least(code.ir.sub(behind, start), a_row)
                place = code.ir.sub(code.ir.add(start, left), first)
                append(Chunk(code, shape, y.index, left, code.ir.sub(right, left), following, place))

        count = code.ir.sub(behind, first)
        yield Chunk(code, shape, top, code.ir.urem(first, a_row), count, following), by_rows


def _most(code: Code, one: Any, other: Any) -> Any:
    return code.ir.select(code.ir.icmp_signed(">", one, other), one, other)


def convolved(code: Code, shape: Convolution) -> None:
    """Append the convolution of a strip's squares; its end is `Features`."""
    end = shape.end
    assert isinstance(end, Features)
    room = code.room(segments_room(shape))
    with chunks(code, shape) as (chunk, by_rows):
        by_rows(transformed)
        multiplied(chunk, room)
        by_rows(lambda row: ends.to_features(row, end))
