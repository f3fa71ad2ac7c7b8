"""A network for images of one size: work items, buffers, threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vsr.kernels.amx import entry, layers, rolling
from vsr.kernels.amx.convolution import Picture

CACHE = 1_300_000
"""Bytes of a core's second cache to use; it has 2 MiB on all processors with AMX so far."""
_STRIP = 512
"""Pixels of a row that are computed together at most."""
_FLAT = 8
"""Rows of a part at least, if the picture has them."""


@dataclass(frozen=True)
class Buffer:
    """Something that lies somewhere between two layers, or before the first or behind the last."""

    name: str
    channels: int
    byte: int = 0
    """Of a pixel, at which the layer's channels begin."""
    ring: bool = False
    """Whether a few rows are kept of it, by whoever computes the part; else all of it."""
    phase: tuple[int, int] = (0, 0)
    """Of an enlarging layer: the row and column of the pixels that it makes, of every `factor`."""
    factor: int = 1

    @property
    def pixel(self) -> int:
        """Bytes."""
        return 2 * self.channels


ENTRY, PICTURE = "entry", "picture"
"""Names of the buffers at both ends."""


@dataclass(frozen=True)
class Work:
    """A layer, and what it computes from what."""

    layer: layers.Layer
    src: Buffer
    dst: Buffer
    more: Buffer | None = None
    base: Buffer | None = None
    under: Buffer | None = None
    halo: int = 0
    """Pixels on each side of a part that later layers of the group want too."""


@dataclass(frozen=True)
class Group:
    """Layers that advance together, each a row behind the one before."""

    works: Sequence[Work]
    kept: int = 3
    """Rows of a ring."""
    factor: int = 1
    """Side of the pictures that they read over that of the entry."""


@dataclass(frozen=True)
class Network:
    """A network in layers."""

    channels: int
    """Of the picture that it takes."""
    scale: int
    """Side of the picture that it makes over that one's."""
    layers: Sequence[layers.Layer]
    groups: Callable[[int, int], Sequence[Group]]
    """For parts of so many rows and columns."""


@dataclass(frozen=True)
class Part:
    """A rectangle of a picture."""

    top: int
    bottom: int
    left: int
    right: int

    def grown(self, by: int, height: int, width: int) -> Part:
        """With that many pixels more on each side, as far as the picture goes."""
        top, bottom = max(0, self.top - by), min(height, self.bottom + by)
        return Part(top, bottom, max(0, self.left - by), min(width, self.right + by))


@dataclass(frozen=True)
class _Store:
    """Memory of a buffer: rows of pixels, with one of zeros left and right of the picture."""

    memory: Tensor
    """`(rows, pixels, channels)` bfloat16."""
    left: int = 0
    """Picture's column of its second pixel."""

    def address(self, buffer: Buffer, column: int) -> int:
        """Of a column in the buffer's first row."""
        row, begin = buffer.phase
        pixels = begin + column * buffer.factor - self.left + 1
        return self.memory.data_ptr() + row * self.row + pixels * buffer.pixel + buffer.byte

    @property
    def row(self) -> int:
        """Bytes."""
        return self.memory.shape[1] * self.memory.shape[2] * 2


class Program:
    """A network on pictures of one size, in memory of its own; one call at a time."""

    def __init__(self, network: Network, height: int, width: int, threads: int) -> None:
        """Plan and allocate.

        Args:
            height: Of the pictures.
            width: Likewise; `convolution.PIXELS` at least.
            threads: How many compute at once.
        """
        self._size = height, width
        self._threads = threads
        self._library, self._kernels = layers.library(network.layers)
        self._roll = self._library.function("roll", 5)
        parts = _parts(height, width, threads)
        groups = network.groups(min(p.bottom - p.top for p in parts), max(p.right - p.left for p in parts))
        self._stores = {ENTRY: _frame(height + 1, width, layers.entry_channels(network.channels))}
        self._stores |= {name: _frame(*shape) for name, shape in _frames(groups, height, width).items()}
        self._zeros = torch.zeros(_longest_row(groups, width), dtype=torch.uint8)
        self._rings: dict[tuple[Part, Buffer, tuple[int, ...]], _Store] = {}
        """Of all groups: one advances after the other, so those that are alike share theirs."""
        self._ends: list[tuple[Any, int, int]] = []
        """Of each part: the last layer's entry, and where its first pixel is in a row of SR and of LR."""
        self._kept = [(group.factor * height, self._tables(group)) for group in groups]

    def __call__(self, image: Tensor, sr: Tensor, pool: ThreadPoolExecutor) -> None:
        """Compute `(3, H * scale, W * scale)` from `(channels, H, W)`, both float32 and contiguous."""
        height, width = self._size
        entry.split(image, self._stores[ENTRY].memory[:height, 1 : width + 1])
        for layer, in_sr, in_lr in self._ends:
            layer["dst"], layer["base"] = sr.data_ptr() + in_sr, image.data_ptr() + in_lr
        for rows, tables in self._kept:
            calls = [pool.submit(self._advance, part, rows, image, sr) for part in tables]
            try:
                for call in calls:
                    call.result()
            finally:
                wait(calls)  # an interrupted caller is not to find this memory in use the next time

    def _advance(self, part: tuple[Any, int, int], height: int, *_held: Tensor) -> None:
        """Compute a part; what it reads and writes is held by the call, whatever becomes of the caller."""
        table, begin, end = part
        self._roll(table.ctypes.data, len(table), begin, end, height)

    def _tables(self, group: Group) -> list[tuple[Any, int, int]]:
        """What the emitted code is told of each part, and its first step and the one behind its last."""
        height, width = (side * group.factor for side in self._size)
        tables = []
        for part in _parts(height, width, self._threads):
            stores = self._stores | self._rings_of(group, part, height, width)
            table = np.zeros(len(group.works), rolling.LAYER)
            for row, work in zip(table, group.works, strict=True):
                self._fill(row, work, part.grown(work.halo, height, width), stores, (height, width))
            steps = [(int(row["first"]) + i, int(row["end"]) + i) for i, row in enumerate(table)]
            tables.append((table, min(first for first, _ in steps), max(end for _, end in steps)))
        return tables

    def _rings_of(self, group: Group, part: Part, height: int, width: int) -> dict[str, _Store]:
        area = part.grown(max(work.halo for work in group.works), height, width)
        found = {}
        for dst in (work.dst for work in group.works if work.dst.ring):
            shape = group.kept, area.right - area.left + 2, dst.channels
            key = area, replace(dst, byte=0), shape
            if key not in self._rings:
                self._rings[key] = _Store(torch.zeros(shape, dtype=torch.bfloat16), area.left)
            found[dst.name] = self._rings[key]
        return found

    def _fill(
        self, row: Any, work: Work, area: Part, stores: dict[str, _Store], size: tuple[int, int]
    ) -> None:
        layer = work.layer
        row["kernel"], row["zeros"] = self._kernels[layer.shape], self._zeros.data_ptr()
        row["first"], row["end"], row["width"] = area.top, area.bottom, area.right - area.left
        for name in ("weights", "bias", "slopes"):
            row[name] = getattr(layer, name).data_ptr()
        _place(row, "src", work.src, stores, area.left - 1)
        _place(row, "more", work.more or work.src, stores, area.left - 1)
        if isinstance(layer.shape.end, Picture):
            self._fill_end(row, layer.shape.end, area, size)
            return
        _place(row, "dst", work.dst, stores, area.left)
        for name, buffer in (("base", work.base), ("under", work.under)):
            if buffer:
                row[name] = stores[buffer.name].address(buffer, area.left)
                row[f"{name}_row"] = stores[buffer.name].row

    def _fill_end(self, row: Any, end: Picture, area: Part, size: tuple[int, int]) -> None:
        height, width = size
        row["line"] = width * end.scale * 4
        row["dst_row"], row["dst_rows"] = row["line"] * end.scale, height
        row["plane"] = row["line"] * height * end.scale
        row["base_row"], row["base_plane"] = width * 4, height * width * 4
        self._ends.append((row, area.left * end.scale * 4, area.left * 4))


def _place(row: Any, name: str, buffer: Buffer, stores: dict[str, _Store], column: int) -> None:
    store = stores[buffer.name]
    row[name] = store.address(buffer, column)
    row[f"{name}_row"], row[f"{name}_rows"] = store.row * buffer.factor, len(store.memory) // buffer.factor


def _frame(height: int, width: int, channels: int) -> _Store:
    return _Store(torch.zeros(height, width + 2, channels, dtype=torch.bfloat16))


def _frames(groups: Sequence[Group], height: int, width: int) -> dict[str, tuple[int, int, int]]:
    """Height, width and channels of what lies whole between groups."""
    found = {}
    for group in groups:
        for dst in (work.dst for work in group.works):
            if not dst.ring and dst.name != PICTURE:
                factor = group.factor * dst.factor
                found[dst.name] = (height * factor, width * factor, dst.channels)
    return found


def _longest_row(groups: Sequence[Group], width: int) -> int:
    """Bytes of a row that a layer may read."""
    read = [(group.factor, b) for group in groups for work in group.works for b in (work.src, work.more)]
    return max((factor * width + 2) * buffer.pixel for factor, buffer in read if buffer)


def _parts(height: int, width: int, threads: int) -> list[Part]:
    """Twice as many as threads, so that one that is late is not waited for long; one thread needs no more
    than fit into its cache."""
    strips = -(-width // _STRIP)
    bands = 1 if threads == 1 else min(max(1, height // _FLAT), -(-2 * threads // strips))
    columns = [width * i // strips for i in range(strips + 1)]
    rows = [height * i // bands for i in range(bands + 1)]
    return [Part(*band, *strip) for band in pairwise(rows) for strip in pairwise(columns)]
