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
from vsr.kernels.winograd import convolution, gradient, strips, transform
from vsr.kernels.winograd.convolution import LAYER, POINTS, Convolution, Features
from vsr.kernels.winograd.emit import FLOAT
from vsr.kernels.winograd.layers import lanes
from vsr.kernels.winograd.strips import JOB
from vsr.kernels.winograd.transform import OUT

_STRIP_BYTES = 320 * 1024
"""Of a strip at most, or it has one stripe: beside the matrices, it is to stay in the second cache."""
_PARTS = 2
"""A thread, so that one that is late is not waited for long. Sums have one a thread: each has memory."""
_ALONE = Lock()
"""Held in a call: memory for the strips is there once."""


@dataclass(frozen=True)
class _Sizes:
    """Of a batch of features, and of the results of a convolution of it."""

    pictures: int
    channels: int
    height: int
    width: int
    outputs: int
    padding: int

    @property
    def high(self) -> int:
        """Rows of results, up to a whole stripe."""
        return _whole(self.height + 2 * self.padding - 2)

    @property
    def wide(self) -> int:
        return _whole(self.width + 2 * self.padding - 2)

    @property
    def stripes(self) -> int:
        """Of a strip."""
        squares = self.wide // OUT
        fits = (
            n
            for n in range(1, self.high // OUT + 1)
            if strips.strip_bytes(self.channels, squares, n) <= _STRIP_BYTES
        )
        return max(fits, default=1)

    @property
    def shape(self) -> Convolution:
        return Convolution((self.channels,), self.outputs, Features(self.outputs))


def _sizes(x: Tensor, outputs: int, padding: int) -> _Sizes:
    n, channels, height, width = x.shape
    return _Sizes(n, channels, height, width, outputs, padding)


def _whole(side: int) -> int:
    return -(-side // OUT) * OUT


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """`torch.nn.functional.conv2d` with stride 1.

    Args:
        x: `(N, C, H, W)`, C a multiple of `limits.UNIT`.
        weight: `(K, C, 3, 3)`, K likewise.
        bias: `(K,)`.
        padding: 0 to 2 pixels of zeros on each side.

    Returns:
        `(N, K, H + 2 * padding - 2, W + 2 * padding - 2)`; a view of a larger tensor where these are no
        multiples of four.
    """
    x = _laid_out(x)
    sizes = _sizes(x, len(weight), padding)
    y = torch.empty(len(x), sizes.outputs, sizes.high, sizes.wide, memory_format=torch.channels_last)
    told = {
        "dst": y,
        "weights": _transformed(weight.detach(), sizes.shape),
        "bias": torch.zeros(sizes.outputs) if bias is None else _aligned(bias.detach()),
        "slopes": torch.ones(sizes.outputs),
    }
    _run("convolved", sizes, x, told)
    height, width = (side + 2 * padding - 2 for side in x.shape[2:])
    return y if y.shape[2:] == (height, width) else y[:, :, :height, :width]


def weight_gradient(x: Tensor, dy: Tensor, padding: int) -> Tensor:
    """The gradient of `convolve`'s weight.

    Args:
        x: `(N, C, H, W)`, as there.
        dy: The gradient of its results, sides multiples of four.
        padding: As there.

    Returns:
        `(K, C, 3, 3)`.
    """
    x, dy = _laid_out(x), _laid_out(dy)
    sizes = _sizes(x, dy.shape[1], padding)
    sums = torch.zeros(torch.get_num_threads(), POINTS, sizes.channels, sizes.outputs)
    _run("summed", sizes, x, {"dst": sums, "base": dy})
    nine = _both().T @ sums.sum(0).flatten(1)
    return nine.view(3, 3, sizes.channels, sizes.outputs).permute(3, 2, 0, 1).contiguous()


def _laid_out(x: Tensor) -> Tensor:
    """In memory as the code reads it: channels_last, from a cache line's edge on."""
    return _aligned(x.detach().contiguous(memory_format=torch.channels_last))


def _aligned(x: Tensor) -> Tensor:
    return x if x.data_ptr() % LINE == 0 else x.clone()


@cache
def _both() -> Tensor:
    """`(36, 9)`: what transforms the nine weights of a kernel."""
    matrix = transform.matrix()
    return torch.kron(matrix, matrix).float()


def _transformed(weight: Tensor, shape: Convolution) -> Tensor:
    """As the code reads them: for each group of outputs 36 x channels x those."""
    points = _both() @ weight.reshape(-1, 9).T  # 36 x outputs and channels
    together = shape.vectors(lanes()) * lanes()
    groups = points.view(POINTS, -1, together, shape.channels)
    return groups.permute(1, 0, 3, 2).contiguous()


Name = Literal["convolved", "summed"]
_APPENDED: Mapping[Name, strips.Whole] = {"convolved": strips.convolved, "summed": gradient.summed}


def _run(name: Name, sizes: _Sizes, x: Tensor, told: Mapping[str, Tensor]) -> None:
    """Call a function; `told` are tensors by their fields of `LAYER`."""
    threads = torch.get_num_threads()
    plan = _plan(name, sizes, threads)
    layer, job = plan.layer.copy(), plan.job.copy()
    for field, tensor in told.items():
        layer[field] = tensor.data_ptr()
    job["layer"], job["source"] = layer.ctypes.data, x.data_ptr()
    with _ALONE:
        job["room"] = _room(threads * int(job["room_thread"])).data_ptr()
        openmp.call(plan.function, job.ctypes.data, threads)


@dataclass(frozen=True)
class _Plan:
    """A function, and what it is told of sizes."""

    function: Any
    layer: Any
    job: Any


@lru_cache(maxsize=1024)
def _plan(name: Name, sizes: _Sizes, threads: int) -> _Plan:
    layer, job = np.zeros((), LAYER), np.zeros((), JOB)
    squares, pixel = sizes.wide // OUT, sizes.channels * FLOAT
    layer["squares"] = squares
    layer["src0_row"] = (sizes.wide + transform.IN - OUT) * pixel
    job["parts"], job["pictures"], job["padding"] = threads, sizes.pictures, sizes.padding
    job["stripes"], job["all_stripes"] = sizes.stripes, sizes.high // OUT
    job["strips"] = -(-sizes.high // OUT // sizes.stripes)
    job["height"], job["source_row"] = sizes.height, sizes.width * pixel
    job["source_picture"] = sizes.height * sizes.width * pixel
    job["strip_bytes"] = strip = _lines(strips.strip_bytes(sizes.channels, squares, sizes.stripes))
    job["room_thread"] = strip + _lines(convolution.scratch_bytes(sizes.shape, lanes()))
    results = "dst" if name == "convolved" else "base"
    layer[f"{results}_row"] = a_row = sizes.wide * sizes.outputs * FLOAT
    job[f"{results}_picture"], job[f"{results}_stripe"] = sizes.high * a_row, OUT * a_row
    if name == "convolved":
        job["parts"] *= _PARTS
    else:
        job["dst_part"] = POINTS * sizes.channels * sizes.outputs * FLOAT
    return _Plan(_function(name, sizes.shape), layer, job)


def _lines(size: int) -> int:
    """Bytes of so many whole cache lines."""
    return -(-size // LINE) * LINE


_rooms: list[Tensor] = []


def _room(size: int) -> Tensor:
    """Memory for the threads, kept from call to call."""
    if not _rooms or _rooms[0].numel() < size:
        _rooms[:] = [torch.zeros(size, dtype=torch.uint8)]  # rubbish may be denormal, which is slow
    return _rooms[0]


@cache
def _function(name: Name, shape: Convolution) -> Any:
    module = ir.Module()
    strips.emit(module, name, shape, lanes(), _APPENDED[name])
    return Library(module).function(name, 1)
