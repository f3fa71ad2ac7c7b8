"""A network for images of one size: its buffers, its groups of layers, and their work items for threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vsr.kernels.amx import input_layer, layer_fusion, layers
from vsr.kernels.epilogues import Image
from vsr.kernels.thread_pool import run_items

CACHE = 1_300_000
"""Bytes of a core's L2 cache to use; all CPUs with AMX so far have 2 MiB."""
_REGION_WIDTH = 512
"""Most pixels of a row that are computed together."""
_REGION_HEIGHT = 8
"""Least rows of a region, if the image has them."""


@dataclass(frozen=True)
class Buffer:
    """The place of a value in memory, or of some of its channels."""

    name: str
    channels: int
    byte: int = 0
    """Distance in a pixel to the channels of the layer."""
    ring: bool = False
    """Whether it is a ring buffer of a few rows, one for each region; else it holds a whole image."""
    phase: tuple[int, int] = (0, 0)
    """Row and column of the pixels that an enlarging layer writes, out of every `factor`."""
    factor: int = 1

    @property
    def pixel(self) -> int:
        """Bytes of a pixel."""
        return 2 * self.channels


INPUT, RESULT = "input", "result"
"""Names of the buffers of the image, as two bfloat16 for each sample, and of the result."""


@dataclass(frozen=True)
class LayerCall:
    """A layer with the buffers that it reads and writes."""

    layer: layers.Layer
    src: Buffer
    dst: Buffer
    second: Buffer | None = None
    """The second source."""
    base: Buffer | None = None
    outer: Buffer | None = None
    halo: int = 0
    """Pixels on each side of a region that later layers of the group need, too."""


@dataclass(frozen=True)
class Group:
    """Layers that advance together, each one row after the layer before."""

    calls: Sequence[LayerCall]
    ring_rows: int = 3
    """Rows of a ring buffer."""
    factor: int = 1
    """Side of what the layers read over the side of the input image."""


@dataclass(frozen=True)
class Network:
    """A network as groups of layers."""

    channels: int
    """Channels of the image."""
    scale: int
    """Side of the result over the side of the image."""
    layers: Sequence[layers.Layer]
    groups: Callable[[int, int], Sequence[Group]]
    """Returns the groups for regions of a height and a width."""


@dataclass(frozen=True)
class Region:
    """A rectangle of an image: the work item of one thread."""

    top: int
    bottom: int
    left: int
    right: int

    def grown(self, by: int, height: int, width: int) -> Region:
        """Return the region with `by` more pixels on each side, clipped to the image."""
        top, bottom = max(0, self.top - by), min(height, self.bottom + by)
        return Region(top, bottom, max(0, self.left - by), min(width, self.right + by))


@dataclass(frozen=True)
class _Store:
    """Memory of a buffer: rows of pixels, with a pixel of zeros left and right of the image."""

    memory: Tensor
    """`(rows, pixels, channels)` bfloat16."""
    left: int = 0
    """Column of the image that is the second pixel of a row."""

    def address(self, buffer: Buffer, column: int) -> int:
        """Return the address of a column in the first row of the buffer."""
        row, begin = buffer.phase
        pixels = begin + column * buffer.factor - self.left + 1
        return self.memory.data_ptr() + row * self.row + pixels * buffer.pixel + buffer.byte

    @property
    def row(self) -> int:
        """Bytes of a row."""
        return self.memory.shape[1] * self.memory.shape[2] * 2


class Program:
    """A network on images of one size, with its own buffers; only one call at a time is allowed."""

    def __init__(self, network: Network, height: int, width: int, threads: int) -> None:
        """Allocate the buffers and prepare the groups.

        Args:
            height: Of the images.
            width: Of the images, at least `convolution.PIXELS`.
            threads: Threads that compute at once.
        """
        self._size = height, width
        self._threads = threads
        self._library, self._kernels = layers.library(network.layers)
        self._advance_layers = self._library.function(layer_fusion.NAME, 5)
        regions = _regions(height, width, threads)
        shortest = min(region.bottom - region.top for region in regions)
        groups = network.groups(shortest, max(region.right - region.left for region in regions))
        self._stores = {INPUT: _store(height + 1, width, layers.input_channels(network.channels))}
        self._stores |= {name: _store(*shape) for name, shape in _whole_sizes(groups, height, width).items()}
        self._zeros = torch.zeros(_longest_row(groups, width), dtype=torch.uint8)
        self._rings: dict[tuple[Region, Buffer, tuple[int, ...]], _Store] = {}
        """Ring buffers of all groups. Groups run one after the other, so equal ring buffers are shared."""
        self._last_layers: list[tuple[Any, int, int]] = []
        """For each region the record of the last layer, and the byte of its first pixel in a row of SR and
        LR."""
        self._steps = [(group.factor * height, self._tables(group)) for group in groups]

    def __call__(self, image: Tensor, sr: Tensor, pool: ThreadPoolExecutor) -> None:
        """Compute `(3, H * scale, W * scale)` from `(channels, H, W)`, both float32 and contiguous."""
        height, width = self._size
        input_layer.split(image, self._stores[INPUT].memory[:height, 1 : width + 1])
        for layer, in_sr, in_lr in self._last_layers:
            layer["dst"], layer["base"] = sr.data_ptr() + in_sr, image.data_ptr() + in_lr
        for rows, tables in self._steps:
            run_items(pool, self._advance, tables, rows, image, sr)

    def _advance(self, item: tuple[Any, int, int], height: int, *_held: Tensor) -> None:
        """Compute the layers of a group in a region; `_held` are tensors that must live as long as the
        call."""
        table, begin, end = item
        self._advance_layers(table.ctypes.data, len(table), begin, end, height)

    def _tables(self, group: Group) -> list[tuple[Any, int, int]]:
        """Return for each region the records of the layers, and the range `[begin, end)` of steps."""
        height, width = (side * group.factor for side in self._size)
        tables = []
        for region in _regions(height, width, self._threads):
            stores = self._stores | self._ring_stores(group, region, height, width)
            table = np.zeros(len(group.calls), layer_fusion.LAYER)
            for row, call in zip(table, group.calls, strict=True):
                self._fill(row, call, region.grown(call.halo, height, width), stores, (height, width))
            steps = [(int(row["first"]) + i, int(row["end"]) + i) for i, row in enumerate(table)]
            tables.append((table, min(first for first, _ in steps), max(end for _, end in steps)))
        return tables

    def _ring_stores(self, group: Group, region: Region, height: int, width: int) -> dict[str, _Store]:
        area = region.grown(max(call.halo for call in group.calls), height, width)
        found = {}
        for dst in (call.dst for call in group.calls if call.dst.ring):
            shape = group.ring_rows, area.right - area.left + 2, dst.channels
            key = area, replace(dst, byte=0), shape
            if key not in self._rings:
                self._rings[key] = _Store(torch.zeros(shape, dtype=torch.bfloat16), area.left)
            found[dst.name] = self._rings[key]
        return found

    def _fill(
        self, row: Any, call: LayerCall, area: Region, stores: dict[str, _Store], size: tuple[int, int]
    ) -> None:
        """Fill the record of a layer that computes `area` of an image of `size`."""
        layer = call.layer
        row["kernel"], row["zeros"] = self._kernels[layer.shape], self._zeros.data_ptr()
        row["first"], row["end"], row["width"] = area.top, area.bottom, area.right - area.left
        for name in ("weights", "bias", "slopes"):
            row[name] = getattr(layer, name).data_ptr()
        _set_buffer(row, "src", call.src, stores, area.left - 1)
        _set_buffer(row, "second", call.second or call.src, stores, area.left - 1)
        if isinstance(layer.shape.epilogue, Image):
            self._fill_last(row, layer.shape.epilogue, area, size)
            return
        _set_buffer(row, "dst", call.dst, stores, area.left)
        for name, buffer in (("base", call.base), ("outer", call.outer)):
            if buffer:
                row[name] = stores[buffer.name].address(buffer, area.left)
                row[f"{name}_row"] = stores[buffer.name].row

    def _fill_last(self, row: Any, image: Image, area: Region, size: tuple[int, int]) -> None:
        height, width = size
        row["line"] = width * image.scale * 4
        row["dst_row"], row["dst_rows"] = row["line"] * image.scale, height
        row["plane"] = row["line"] * height * image.scale
        row["base_row"], row["base_plane"] = width * 4, height * width * 4
        self._last_layers.append((row, area.left * image.scale * 4, area.left * 4))


def _set_buffer(row: Any, name: str, buffer: Buffer, stores: dict[str, _Store], column: int) -> None:
    store = stores[buffer.name]
    row[name] = store.address(buffer, column)
    row[f"{name}_row"], row[f"{name}_rows"] = store.row * buffer.factor, len(store.memory) // buffer.factor


def _store(height: int, width: int, channels: int) -> _Store:
    return _Store(torch.zeros(height, width + 2, channels, dtype=torch.bfloat16))


def _whole_sizes(groups: Sequence[Group], height: int, width: int) -> dict[str, tuple[int, int, int]]:
    """Return height, width and channels of the whole buffers between groups."""
    found = {}
    for group in groups:
        for dst in (call.dst for call in group.calls):
            if not dst.ring and dst.name != RESULT:
                factor = group.factor * dst.factor
                found[dst.name] = (height * factor, width * factor, dst.channels)
    return found


def _longest_row(groups: Sequence[Group], width: int) -> int:
    """Return the bytes of the longest row that a layer may read."""
    read = [(group.factor, b) for group in groups for call in group.calls for b in (call.src, call.second)]
    return max((factor * width + 2) * buffer.pixel for factor, buffer in read if buffer)


def _regions(height: int, width: int, threads: int) -> list[Region]:
    """Divide an image into regions.

    Several threads get twice as many, so that a slow thread delays the others little. One thread gets only as
    many as are needed to fit into its cache.
    """
    across = -(-width // _REGION_WIDTH)
    down = 1 if threads == 1 else min(max(1, height // _REGION_HEIGHT), -(-2 * threads // across))
    columns = [width * i // across for i in range(across + 1)]
    rows = [height * i // down for i in range(down + 1)]
    return [Region(*vertical, *horizontal) for vertical in pairwise(rows) for horizontal in pairwise(columns)]
