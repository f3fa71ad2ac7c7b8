"""The gradients of a PReLU in one pass over memory, for CPUs."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from torch import Tensor

from vsr.kernels import openmp
from vsr.kernels.llvm import FLOATS, LANES, LINE, POINTER, Code, Library, int64

_JOB = np.dtype(
    [
        (name, np.int64)
        for name in ("next_item", "items", "pixels", "channels", "x", "dy", "slopes", "dx", "d_slopes")
    ]
)
"""Argument of the emitted function: the number of the next work item, how many there are, sizes, and
addresses. `d_slopes` has sums of its own for each work item, one after the other."""


def gradients(x: Tensor, dy: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of the input and of the slopes.

    Args:
        x: `(N, C, H, W)`, a tensor that `can` accepts.
        dy: Gradient of the result, of the same shape and layout.
        slopes: `(C,)`.
    """
    threads = torch.get_num_threads()
    dx, sums = torch.empty_like(x), torch.zeros(threads, len(slopes))
    job = np.zeros((), _JOB)
    job["items"], job["channels"], job["pixels"] = threads, len(slopes), x.numel() // len(slopes)
    tensors = {"x": x, "dy": dy, "slopes": slopes.contiguous(), "dx": dx, "d_slopes": sums}
    for name, tensor in tensors.items():
        job[name] = tensor.data_ptr()
    openmp.call(_function(), job.ctypes.data, threads)
    return dx, sums.sum(0)


def can(*tensors: Tensor) -> bool:
    """Return whether `gradients` takes tensors: float32 on the host, channels_last, a multiple of 16
    channels.
    """
    return all(
        x.dtype == torch.float32
        and x.device.type == "cpu"
        and x.dim() == 4
        and x.shape[1] % LANES == 0
        and x.is_contiguous(memory_format=torch.channels_last)
        and x.data_ptr() % LINE == 0
        for x in tensors
    )


@cache
def _function() -> Any:
    module = ir.Module()
    code = Code(module, "gradients", (POINTER,))
    names = [name for name in _JOB.names or () if name != "next_item"]
    job = {name: code.field(code.arguments[0], _JOB, name) for name in names}
    with code.work_items(code.arguments[0], job["items"]) as item:
        begin, end = code.partition(item, job["items"], job["pixels"])
        own = code.ir.mul(code.ir.mul(item, job["channels"]), int64(4))
        with (
            code.ir.if_then(code.ir.icmp_signed("<", begin, end)),
            code.repeat(0, job["channels"], by=LANES) as channel,
        ):
            _some_channels(code, job, channel.index, (begin, end), own)
    code.ir.ret_void()
    return Library(module).function("gradients", 1)


def _some_channels(code: Code, job: dict[str, Any], channel: Any, pixels: tuple[Any, Any], own: Any) -> None:
    """Append the gradients of sixteen channels for a range of pixels.

    Args:
        job: Fields of the job.
        channel: The first of the channels.
        own: Distance in bytes to the work item's own sums in `d_slopes`.
    """
    byte = code.ir.mul(channel, int64(4))
    places = {name: code.offset(code.ir.inttoptr(job[name], POINTER), byte) for name in ("x", "dy", "dx")}
    slopes = code.ir.load(code.offset(code.ir.inttoptr(job["slopes"], POINTER), byte), typ=FLOATS, align=4)
    with code.repeat(*pixels, [code.splat(0.0)]) as pixel:
        row = code.ir.mul(code.ir.mul(pixel.index, job["channels"]), int64(4))
        here = {name: code.offset(place, row) for name, place in places.items()}
        x, dy = code.load_floats(here["x"]), code.load_floats(here["dy"])
        above = code.ir.fcmp_ordered(">", x, code.splat(0.0))
        dx = code.ir.select(above, dy, code.ir.fmul(dy, slopes))
        code.ir.store(dx, here["dx"], align=LINE)
        counted = code.ir.select(above, code.splat(0.0), code.ir.fmul(dy, x))
        pixel.following.append(code.ir.fadd(pixel.carried[0], counted))
    total = code.offset(code.offset(code.ir.inttoptr(job["d_slopes"], POINTER), own), byte)
    code.ir.store(pixel.carried[0], total, align=4)
