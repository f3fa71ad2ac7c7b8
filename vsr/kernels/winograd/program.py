"""A network for images of one size: work items, buffers, threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import pairwise
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vsr.kernels.winograd import convolution, layers
from vsr.kernels.winograd.convolution import LAYER, Convolution, Features, Picture
from vsr.kernels.winograd.entry import Entry
from vsr.kernels.winograd.layers import Layer
from vsr.kernels.winograd.transform import OUT

_BANDS = 2
"""Parts a thread, so that one that is late is not waited for long."""


@dataclass(frozen=True)
class Buffer:
    """Features of a whole picture, between layers."""

    name: str
    channels: int
    factor: int = 1
    """Its side over that of the picture that the network takes."""


@dataclass(frozen=True)
class Work:
    """A layer, and what it computes from what."""

    layer: Layer
    sources: tuple[Buffer, ...] = ()
    """None: the picture."""
    dst: Buffer | None = None
    """None: the result."""
    base: Buffer | None = None
    under: Buffer | None = None
    phase: tuple[int, int] = (0, 0)
    """Row and column of the pixels that it makes, of every `Features.factor`."""

    @property
    def factor(self) -> int:
        """Side of what it computes over that of the picture; enlarging by phases comes on top."""
        doubled = isinstance(self.layer.shape, Convolution) and self.layer.shape.doubled
        return (self.sources[0].factor if self.sources else 1) * (2 if doubled else 1)


@dataclass(frozen=True)
class Network:
    """A network in layers."""

    channels: int
    """Of the picture that it takes."""
    scale: int
    """Side of the picture that it makes over that one's."""
    works: Sequence[Work]


@dataclass(frozen=True)
class _Grid:
    """The squares of 4x4 that cover a picture."""

    height: int
    width: int

    @property
    def stripes(self) -> int:
        return -(-self.height // OUT)

    @property
    def squares(self) -> int:
        """In a stripe."""
        return -(-self.width // OUT)


@dataclass(frozen=True)
class _Step:
    """A layer's function, what it is told, and the stripes that are computed at once."""

    function: Callable[..., None]
    layer: Any
    bands: list[tuple[int, int]]


class Program:
    """A network on pictures of one size, in memory of its own; one call at a time."""

    def __init__(self, network: Network, height: int, width: int, threads: int) -> None:
        """Plan and allocate.

        Args:
            height: Of the pictures.
            width: Likewise.
            threads: How many compute at once.
        """
        self._network, self._grid = network, _Grid(height, width)
        grid = self._grid
        self._picture = torch.zeros(network.channels, OUT * grid.stripes + 2, OUT * grid.squares + 2)
        self._features = {buffer: self._room(buffer) for buffer in _buffers(network)}
        made = [work.layer for work in network.works]
        self._library, names = layers.library(made)
        self._steps = [
            _Step(
                self._library.function(names[work.layer.shape], 4),
                self._told(work),
                _bands(self._sized(work.factor).stripes, threads),
            )
            for work in network.works
        ]
        shapes = [layer.shape for layer in made if isinstance(layer.shape, Convolution)]
        size = max(convolution.scratch_bytes(shape, layers.lanes()) for shape in shapes)
        self._scratch: SimpleQueue[Tensor] = SimpleQueue()
        for _ in range(threads):
            self._scratch.put(torch.zeros(size, dtype=torch.uint8))

    def __call__(self, image: Tensor, sr: Tensor, pool: ThreadPoolExecutor) -> None:
        """Compute `(3, H * scale, W * scale)` from `(channels, H, W)`, both float32 and contiguous."""
        self._picture[:, 1 : self._grid.height + 1, 1 : self._grid.width + 1] = image
        last = self._steps[-1].layer
        last["dst"], last["base"] = sr.data_ptr(), image.data_ptr()
        for step in self._steps:
            calls = [pool.submit(self._compute, step, *band, image, sr) for band in step.bands]
            try:
                for call in calls:
                    call.result()
            finally:
                wait(calls)  # an interrupted caller is not to find this memory in use the next time

    def _compute(self, step: _Step, begin: int, end: int, *_held: Tensor) -> None:
        """Compute some stripes; the call holds what they read and write, whatever becomes of the caller."""
        scratch = self._scratch.get()
        try:
            step.function(step.layer.ctypes.data, begin, end, scratch.data_ptr())
        finally:
            self._scratch.put(scratch)

    def _sized(self, factor: int) -> _Grid:
        return _Grid(self._grid.height * factor, self._grid.width * factor)

    def _room(self, buffer: Buffer) -> Tensor:
        """`(rows, pixels, channels)` with a pixel of zeros around all that any layer reads or writes."""
        rows, pixels = (
            max(
                side(self._sized(work.factor)) * OUT * _reach(work, buffer) // 2 + 2
                for work in self._network.works
            )
            for side in (lambda grid: grid.stripes, lambda grid: grid.squares)
        )
        return torch.zeros(rows, pixels, buffer.channels)

    def _told(self, work: Work) -> Any:
        layer, grid = work.layer, self._sized(work.factor)
        row = np.zeros((), LAYER)
        row["squares"], row["height"], row["width"] = grid.squares, grid.height, grid.width
        for name in ("weights", "bias", "slopes"):
            row[name] = getattr(layer, name).data_ptr()
        if isinstance(layer.shape, Entry):
            _, rows, pixels = self._picture.shape
            row["src0"], row["src0_row"] = self._picture.data_ptr(), pixels * 4
            row["plane"] = rows * pixels * 4
        for n, source in enumerate(work.sources):
            memory = self._features[source]
            row[f"src{n}"], row[f"src{n}_row"] = memory.data_ptr(), memory.stride(0) * 4
        if isinstance(layer.shape, Convolution) and isinstance(layer.shape.end, Picture):
            _tell_planes(row, grid, layer.shape.end)
        for name, buffer in (("dst", work.dst), ("base", work.base), ("under", work.under)):
            if buffer is not None:
                memory, by = self._features[buffer], _enlarged(work)
                begin = memory[1 + work.phase[0], 1 + work.phase[1]]
                row[name], row[f"{name}_row"] = begin.data_ptr(), memory.stride(0) * 4 * by
        return row


def _tell_planes(row: Any, grid: _Grid, end: Picture) -> None:
    line = grid.width * end.scale * 4
    row["dst_row"], row["plane"] = line * end.scale, line * grid.height * end.scale
    row["base_row"], row["base_plane"] = grid.width * 4, grid.height * grid.width * 4


def _enlarged(work: Work) -> int:
    """How far apart the pixels are that it makes."""
    shape = work.layer.shape
    return shape.end.factor if isinstance(shape, Convolution) and isinstance(shape.end, Features) else 1


def _reach(work: Work, buffer: Buffer) -> int:
    """How many pixels of a buffer it touches for two of its grid."""
    halved = isinstance(work.layer.shape, Convolution) and work.layer.shape.doubled
    read = (1 if halved else 2) if buffer in work.sources else 0
    written = 2 * _enlarged(work) if buffer in (work.dst, work.base, work.under) else 0
    return max(read, written)


def _buffers(network: Network) -> list[Buffer]:
    return list(dict.fromkeys(work.dst for work in network.works if work.dst is not None))


def _bands(stripes: int, threads: int) -> list[tuple[int, int]]:
    count = 1 if threads == 1 else min(stripes, threads * _BANDS)
    return list(pairwise(stripes * i // count for i in range(count + 1)))
