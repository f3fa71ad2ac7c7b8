"""A network for images of one size: its buffers, its layers, and their work items for threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vsr.kernels.epilogues import Image
from vsr.kernels.thread_pool import run_items
from vsr.kernels.winograd import convolution, layers
from vsr.kernels.winograd.convolution import LAYER, Convolution, Features
from vsr.kernels.winograd.input_layer import InputLayer
from vsr.kernels.winograd.layers import Layer
from vsr.kernels.winograd.transform import OUT

_ITEMS_PER_THREAD = 2
"""Work items per thread, so that a slow thread delays the others little."""


@dataclass(frozen=True)
class Buffer:
    """Features of a whole image, between layers."""

    name: str
    channels: int
    factor: int = 1
    """Side of the features over the side of the input image."""


@dataclass(frozen=True)
class LayerCall:
    """A layer with the buffers that it reads and writes."""

    layer: Layer
    sources: tuple[Buffer, ...] = ()
    """Empty where the layer reads the image."""
    dst: Buffer | None = None
    """None where the layer writes the result."""
    base: Buffer | None = None
    outer: Buffer | None = None
    phase: tuple[int, int] = (0, 0)
    """Row and column of the pixels that the layer writes, out of every `Features.factor`."""

    @property
    def factor(self) -> int:
        """Side of the layer's grid of results over the side of the input image, without the pixel shuffle."""
        doubled = isinstance(self.layer.shape, Convolution) and self.layer.shape.doubled
        return (self.sources[0].factor if self.sources else 1) * (2 if doubled else 1)


@dataclass(frozen=True)
class Network:
    """A network as layers in the order in which they are computed."""

    channels: int
    """Channels of the image."""
    scale: int
    """Side of the result over the side of the image."""
    calls: Sequence[LayerCall]


@dataclass(frozen=True)
class _Grid:
    """The 4x4 output tiles that cover an image."""

    height: int
    width: int

    @property
    def tile_rows(self) -> int:
        return -(-self.height // OUT)

    @property
    def tiles(self) -> int:
        """Tiles in a tile row."""
        return -(-self.width // OUT)


@dataclass(frozen=True)
class _Step:
    """A layer's function, its `LAYER`, and its work items, which are ranges of tile rows."""

    function: Callable[..., None]
    layer: Any
    ranges: list[tuple[int, int]]


class Program:
    """A network on images of one size, with its own buffers; only one call at a time is allowed."""

    def __init__(self, network: Network, height: int, width: int, threads: int) -> None:
        """Allocate the buffers and prepare the layers.

        Args:
            height: Of the images.
            width: Of the images.
            threads: Threads that compute at once.
        """
        self._network, self._grid = network, _Grid(height, width)
        grid = self._grid
        self._image = torch.zeros(network.channels, OUT * grid.tile_rows + 2, OUT * grid.tiles + 2)
        self._features = {buffer: self._allocate(buffer) for buffer in _buffers(network)}
        made = [call.layer for call in network.calls]
        self._library, names = layers.library(made)
        self._steps = [
            _Step(
                self._library.function(names[call.layer.shape], 4),
                self._layer_record(call),
                _ranges(self._sized(call.factor).tile_rows, threads),
            )
            for call in network.calls
        ]
        shapes = [layer.shape for layer in made if isinstance(layer.shape, Convolution)]
        size = max(convolution.scratch_bytes(shape, layers.lanes()) for shape in shapes)
        self._scratch: SimpleQueue[Tensor] = SimpleQueue()
        for _ in range(threads):
            self._scratch.put(torch.zeros(size, dtype=torch.uint8))

    def __call__(self, image: Tensor, sr: Tensor, pool: ThreadPoolExecutor) -> None:
        """Compute `(3, H * scale, W * scale)` from `(channels, H, W)`, both float32 and contiguous."""
        self._image[:, 1 : self._grid.height + 1, 1 : self._grid.width + 1] = image
        last = self._steps[-1].layer
        last["dst"], last["base"] = sr.data_ptr(), image.data_ptr()
        for step in self._steps:
            run_items(pool, self._compute, step.ranges, step, image, sr)

    def _compute(self, tile_rows: tuple[int, int], step: _Step, *_held: Tensor) -> None:
        """Compute a range of tile rows; `_held` are tensors that must live as long as the call."""
        scratch = self._scratch.get()
        try:
            step.function(step.layer.ctypes.data, *tile_rows, scratch.data_ptr())
        finally:
            self._scratch.put(scratch)

    def _sized(self, factor: int) -> _Grid:
        return _Grid(self._grid.height * factor, self._grid.width * factor)

    def _allocate(self, buffer: Buffer) -> Tensor:
        """Return `(rows, pixels, channels)`, with a border of one pixel around all that any layer touches."""
        rows, pixels = (
            max(
                side(self._sized(call.factor)) * OUT * _reach(call, buffer) // 2 + 2
                for call in self._network.calls
            )
            for side in (lambda grid: grid.tile_rows, lambda grid: grid.tiles)
        )
        return torch.zeros(rows, pixels, buffer.channels)

    def _layer_record(self, call: LayerCall) -> Any:
        """Return the `LAYER` of a call; those of the first and the last layer depend on the image, too."""
        layer, grid = call.layer, self._sized(call.factor)
        row = np.zeros((), LAYER)
        row["tiles"], row["height"], row["width"] = grid.tiles, grid.height, grid.width
        for name in ("weights", "bias", "slopes"):
            row[name] = getattr(layer, name).data_ptr()
        if isinstance(layer.shape, InputLayer):
            _, rows, pixels = self._image.shape
            row["src0"], row["src0_row"] = self._image.data_ptr(), pixels * 4
            row["plane"] = rows * pixels * 4
        for n, source in enumerate(call.sources):
            memory = self._features[source]
            row[f"src{n}"], row[f"src{n}_row"] = memory.data_ptr(), memory.stride(0) * 4
        if isinstance(layer.shape, Convolution) and isinstance(layer.shape.epilogue, Image):
            _set_planes(row, grid, layer.shape.epilogue)
        for name, buffer in (("dst", call.dst), ("base", call.base), ("outer", call.outer)):
            if buffer is not None:
                memory, by = self._features[buffer], _pixel_step(call)
                begin = memory[1 + call.phase[0], 1 + call.phase[1]]
                row[name], row[f"{name}_row"] = begin.data_ptr(), memory.stride(0) * 4 * by
        return row


def _set_planes(row: Any, grid: _Grid, image: Image) -> None:
    line = grid.width * image.scale * 4
    row["dst_row"], row["plane"] = line * image.scale, line * grid.height * image.scale
    row["base_row"], row["base_plane"] = grid.width * 4, grid.height * grid.width * 4


def _pixel_step(call: LayerCall) -> int:
    """Return the distance in pixels between two pixels that a layer writes."""
    epilogue = call.layer.shape.epilogue if isinstance(call.layer.shape, Convolution) else None
    return epilogue.factor if isinstance(epilogue, Features) else 1


def _reach(call: LayerCall, buffer: Buffer) -> int:
    """Return how many pixels of a buffer a layer touches for two pixels of its grid."""
    halved = isinstance(call.layer.shape, Convolution) and call.layer.shape.doubled
    read = (1 if halved else 2) if buffer in call.sources else 0
    written = 2 * _pixel_step(call) if buffer in (call.dst, call.base, call.outer) else 0
    return max(read, written)


def _buffers(network: Network) -> list[Buffer]:
    return list(dict.fromkeys(call.dst for call in network.calls if call.dst is not None))


def _ranges(tile_rows: int, threads: int) -> list[tuple[int, int]]:
    """Divide tile rows into work items."""
    count = 1 if threads == 1 else min(tile_rows, threads * _ITEMS_PER_THREAD)
    return list(pairwise(tile_rows * i // count for i in range(count + 1)))
