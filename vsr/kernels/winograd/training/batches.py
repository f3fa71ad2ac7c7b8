"""Single 3x3 convolutions of batches and their weight gradients, for training.

Tensors are float32, on the host and channels_last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from threading import Lock
from typing import Any, Literal

import numpy as np
import torch
from llvmlite import ir
from torch import Tensor

from vsr.kernels import openmp
from vsr.kernels.llvm import LINE, Library
from vsr.kernels.winograd import convolution, transform
from vsr.kernels.winograd.convolution import LAYER, POINTS, Convolution, Features
from vsr.kernels.winograd.emit import FLOAT
from vsr.kernels.winograd.layers import lanes
from vsr.kernels.winograd.training import gradient, row_blocks
from vsr.kernels.winograd.training.row_blocks import JOB
from vsr.kernels.winograd.transform import OUT

_ROW_BLOCK_BYTES = 320 * 1024
"""Most bytes of a row block of more than one tile row: it shares the L2 cache with the matrices."""
_ITEMS_PER_THREAD = 2
"""Work items per thread in a convolution, so that a slow thread delays the others little. A gradient has one
per thread, because each item needs memory for its sums."""
_LOCK = Lock()
"""Held during a call, because all calls share the workspace."""


@dataclass(frozen=True)
class _Sizes:
    """Sizes of a batch of features and of the results of a convolution of it."""

    images: int
    channels: int
    height: int
    width: int
    outputs: int
    padding: int

    @property
    def padded_height(self) -> int:
        """Rows of results, rounded up to whole tile rows."""
        return _whole_tiles(self.height + 2 * self.padding - 2)

    @property
    def padded_width(self) -> int:
        """Number of columns of the result, rounded up to whole output tiles."""
        return _whole_tiles(self.width + 2 * self.padding - 2)

    @property
    def tile_rows(self) -> int:
        """Tile rows of a row block."""
        tiles = self.padded_width // OUT
        fits = (
            n
            for n in range(1, self.padded_height // OUT + 1)
            if row_blocks.row_block_bytes(self.channels, tiles, n) <= _ROW_BLOCK_BYTES
        )
        return max(fits, default=1)

    @property
    def shape(self) -> Convolution:
        return Convolution((self.channels,), self.outputs, Features(self.outputs))


def _sizes(x: Tensor, outputs: int, padding: int) -> _Sizes:
    n, channels, height, width = x.shape
    return _Sizes(n, channels, height, width, outputs, padding)


def _whole_tiles(side: int) -> int:
    return -(-side // OUT) * OUT


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """Compute `torch.nn.functional.conv2d` with stride 1.

    Args:
        x: `(N, C, H, W)`, C a multiple of `limits.UNIT`.
        weight: `(K, C, 3, 3)`, K also a multiple of it.
        bias: `(K,)`.
        padding: 0 to 2 pixels of zeros on each side.

    Returns:
        `(N, K, H + 2 * padding - 2, W + 2 * padding - 2)`; a view of a larger tensor where these sides are
        no multiples of four.
    """
    x = _channels_last(x)
    sizes = _sizes(x, len(weight), padding)
    y = torch.empty(
        len(x),
        sizes.outputs,
        sizes.padded_height,
        sizes.padded_width,
        memory_format=torch.channels_last,
    )
    tensors = {
        "dst": y,
        "weights": _transformed(weight.detach(), sizes.shape),
        "bias": torch.zeros(sizes.outputs) if bias is None else _aligned(bias.detach()),
        "slopes": torch.ones(sizes.outputs),
    }
    _run("convolve", sizes, x, tensors)
    height, width = (side + 2 * padding - 2 for side in x.shape[2:])
    return y if y.shape[2:] == (height, width) else y[:, :, :height, :width]


def weight_gradient(x: Tensor, dy: Tensor, padding: int) -> Tensor:
    """Compute the gradient of the weight of `convolve`.

    Args:
        x: `(N, C, H, W)`, as in `convolve`.
        dy: The gradient of the results of `convolve`, both sides multiples of four.
        padding: As in `convolve`.

    Returns:
        `(K, C, 3, 3)`.
    """
    x, dy = _channels_last(x), _channels_last(dy)
    sizes = _sizes(x, dy.shape[1], padding)
    sums = torch.zeros(torch.get_num_threads(), POINTS, sizes.channels, sizes.outputs)
    _run("sum_gradients", sizes, x, {"dst": sums, "base": dy})
    nine = _both().T @ sums.sum(0).flatten(1)
    return nine.view(3, 3, sizes.channels, sizes.outputs).permute(3, 2, 0, 1).contiguous()


def _channels_last(x: Tensor) -> Tensor:
    """Return a tensor as the code reads it: detached, channels_last, aligned to a cache line."""
    return _aligned(x.detach().contiguous(memory_format=torch.channels_last))


def _aligned(x: Tensor) -> Tensor:
    return x if x.data_ptr() % LINE == 0 else x.clone()


@cache
def _both() -> Tensor:
    """Return `(36, 9)`, which transforms the nine weights of a kernel along both axes."""
    matrix = transform.matrix()
    return torch.kron(matrix, matrix).float()


def _transformed(weight: Tensor, shape: Convolution) -> Tensor:
    """Transform weights; for each group of outputs the result has 36 x channels x the outputs of the
    group."""
    points = _both() @ weight.reshape(-1, 9).T  # (36, outputs * channels)
    together = shape.vectors(lanes()) * lanes()
    groups = points.view(POINTS, -1, together, shape.channels)
    return groups.permute(1, 0, 3, 2).contiguous()


Name = Literal["convolve", "sum_gradients"]
_EMIT_BLOCK: Mapping[Name, row_blocks.EmitBlock] = {
    "convolve": row_blocks.convolve,
    "sum_gradients": gradient.sum_gradients,
}


def _run(name: Name, sizes: _Sizes, x: Tensor, tensors: Mapping[str, Tensor]) -> None:
    """Call a function; `tensors` are those of its `LAYER`, by field."""
    threads = torch.get_num_threads()
    plan = _plan(name, sizes, threads)
    layer, job = plan.layer.copy(), plan.job.copy()
    for field, tensor in tensors.items():
        layer[field] = tensor.data_ptr()
    job["layer"], job["source"] = layer.ctypes.data, x.data_ptr()
    with _LOCK:
        job["workspace"] = _workspace(threads * int(job["workspace_thread"])).data_ptr()
        openmp.call(plan.function, job.ctypes.data, threads)


@dataclass(frozen=True)
class _Plan:
    """A compiled function, and its records `LAYER` and `JOB` without addresses."""

    function: Any
    layer: Any
    job: Any


@lru_cache(maxsize=1024)
def _plan(name: Name, sizes: _Sizes, threads: int) -> _Plan:
    layer, job = np.zeros((), LAYER), np.zeros((), JOB)
    tiles, pixel = sizes.padded_width // OUT, sizes.channels * FLOAT
    layer["tiles"] = tiles
    layer["src0_row"] = (sizes.padded_width + transform.IN - OUT) * pixel
    job["items"], job["images"], job["padding"] = threads, sizes.images, sizes.padding
    job["tile_rows"], job["all_tile_rows"] = sizes.tile_rows, sizes.padded_height // OUT
    job["row_blocks"] = -(-sizes.padded_height // OUT // sizes.tile_rows)
    job["height"], job["source_row"] = sizes.height, sizes.width * pixel
    job["source_image"] = sizes.height * sizes.width * pixel
    block = _whole_lines(row_blocks.row_block_bytes(sizes.channels, tiles, sizes.tile_rows))
    job["row_block_bytes"] = block
    job["workspace_thread"] = block + _whole_lines(convolution.scratch_bytes(sizes.shape, lanes()))
    results = "dst" if name == "convolve" else "base"
    layer[f"{results}_row"] = row = sizes.padded_width * sizes.outputs * FLOAT
    job[f"{results}_image"], job[f"{results}_tile_row"] = sizes.padded_height * row, OUT * row
    if name == "convolve":
        job["items"] *= _ITEMS_PER_THREAD
    else:
        job["dst_item"] = POINTS * sizes.channels * sizes.outputs * FLOAT
    return _Plan(_function(name, sizes.shape), layer, job)


def _whole_lines(size: int) -> int:
    """Round bytes up to whole cache lines."""
    return -(-size // LINE) * LINE


_workspaces: list[Tensor] = []


def _workspace(size: int) -> Tensor:
    """Return memory for the threads, which is kept from call to call."""
    if not _workspaces or _workspaces[0].numel() < size:
        # Zeros, because uninitialised memory may hold denormal numbers, which are slow.
        _workspaces[:] = [torch.zeros(size, dtype=torch.uint8)]
    return _workspaces[0]


@cache
def _function(name: Name, shape: Convolution) -> Any:
    module = ir.Module()
    row_blocks.emit(module, name, shape, lanes(), _EMIT_BLOCK[name])
    return Library(module).function(name, 1)
