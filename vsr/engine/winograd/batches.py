"""3x3 convolutions of batches of features, and the gradients of their weights, on all threads that torch has.

Tensors are float32, on the host and channels_last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from torch import Tensor

from vsr import openmp
from vsr.engine.winograd import convolution, gradient, strips, transform
from vsr.engine.winograd.convolution import LAYER, POINTS, Convolution, Features
from vsr.engine.winograd.emit import FLOAT
from vsr.engine.winograd.layers import lanes
from vsr.engine.winograd.strips import JOB
from vsr.engine.winograd.transform import OUT
from vsr.jit import LINE, Library

UNIT = 16
"""Channels are multiples of it."""
_STRIP_BYTES = 320 * 1024
"""Of a strip at most, or it has one stripe: beside the matrices, it is to stay in the second cache."""
_PARTS = 2
"""A thread, so that one that is late is not waited for long."""
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


def _whole(side: int) -> int:
    return -(-side // OUT) * OUT


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """`torch.nn.functional.conv2d` with stride 1.

    Args:
        x: `(N, C, H, W)`, C a multiple of `UNIT`.
        weight: `(K, C, 3, 3)`, K likewise.
        bias: `(K,)`.
        padding: 0 to 2 pixels of zeros on each side.

    Returns:
        `(N, K, H + 2 * padding - 2, W + 2 * padding - 2)`; a view of a larger tensor where these are no
        multiples of four.
    """
    x = _laid_out(x)
    n, c, height, width = x.shape
    sizes = _Sizes(n, c, height, width, len(weight), padding)
    y = torch.empty(n, sizes.outputs, sizes.high, sizes.wide, memory_format=torch.channels_last)
    factors = _transformed(weight.detach(), sizes.shape)
    ends = torch.zeros(sizes.outputs) if bias is None else bias.detach()
    told = {"dst": y, "weights": factors, "bias": ends, "slopes": torch.ones(sizes.outputs)}
    a_row = sizes.wide * sizes.outputs
    steps = {"dst_picture": sizes.high * a_row, "dst_stripe": OUT * a_row}
    _run("convolved", sizes, x, told, {"dst_row": a_row}, steps, _PARTS * torch.get_num_threads())
    wanted = height + 2 * padding - 2, width + 2 * padding - 2
    return y if y.shape[2:] == wanted else y[:, :, : wanted[0], : wanted[1]]


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
    n, c, height, width = x.shape
    sizes = _Sizes(n, c, height, width, dy.shape[1], padding)
    parts = torch.get_num_threads()
    sums = torch.zeros(parts, POINTS, c, sizes.outputs)
    a_row = sizes.wide * sizes.outputs
    steps = {"dst_part": sums.stride(0), "base_picture": sizes.high * a_row, "base_stripe": OUT * a_row}
    _run("summed", sizes, x, {"dst": sums, "base": dy}, {"base_row": a_row}, steps, parts)
    total = sums.sum(0).flatten(1)
    return (_both().T @ total).view(3, 3, c, sizes.outputs).permute(3, 2, 0, 1).contiguous()


def _laid_out(x: Tensor) -> Tensor:
    """In memory as the code reads it: channels_last, from a cache line's edge on."""
    x = x.detach().contiguous(memory_format=torch.channels_last)
    return x if x.data_ptr() % LINE == 0 else x.clone(memory_format=torch.channels_last)


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


def _run(
    name: str,
    sizes: _Sizes,
    x: Tensor,
    told: Mapping[str, Tensor],
    rows: Mapping[str, int],
    steps: Mapping[str, int],
    parts: int,
) -> None:
    """Do a job.

    Args:
        name: Of the function.
        told: Tensors by their fields of `LAYER`.
        rows: Further fields of it, numbers of float32.
        steps: Fields of `JOB`, likewise.
        parts: To be taken by the threads.
    """
    layer, job = np.zeros((), LAYER), np.zeros((), JOB)
    squares, pixel = sizes.wide // OUT, sizes.channels * FLOAT
    layer["squares"] = squares
    layer["src0_row"] = (sizes.wide + transform.IN - OUT) * pixel
    for key, tensor in told.items():
        layer[key] = tensor.data_ptr()
    for key, number in rows.items():
        layer[key] = number * FLOAT
    for key, number in steps.items():
        job[key] = number * FLOAT
    job["parts"], job["pictures"], job["padding"] = parts, sizes.pictures, sizes.padding
    job["stripes"], job["all_stripes"] = sizes.stripes, sizes.high // OUT
    job["strips"] = -(-sizes.high // OUT // sizes.stripes)
    job["source"], job["height"] = x.data_ptr(), sizes.height
    job["source_row"], job["source_picture"] = sizes.width * pixel, sizes.height * sizes.width * pixel
    job["layer"] = layer.ctypes.data
    strip = strips.strip_bytes(sizes.channels, squares, sizes.stripes)
    strip = -(-strip // LINE) * LINE
    each = strip + -(-convolution.scratch_bytes(sizes.shape, lanes()) // LINE) * LINE
    job["strip_bytes"], job["room_thread"] = strip, each
    threads = torch.get_num_threads()
    with _ALONE:
        room = _room(threads * each)
        job["room"] = room.data_ptr()
        openmp.call(_function(sizes.shape, name), job.ctypes.data, threads)


_rooms: list[Tensor] = []


def _room(size: int) -> Tensor:
    """Memory for the threads, kept from call to call."""
    if not _rooms or _rooms[0].numel() < size:
        _rooms[:] = [torch.empty(size, dtype=torch.uint8)]
    return _rooms[0]


@cache
def _function(shape: Convolution, name: str) -> Any:
    module = ir.Module()
    whole = {"convolved": strips.convolved, "summed": gradient.summed}[name]
    strips.emit(module, name, shape, lanes(), whole)
    return Library(module).function(name, 1)
