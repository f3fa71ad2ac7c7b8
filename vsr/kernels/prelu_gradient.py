"""The gradients of a PReLU in one pass over memory, for CPUs."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from torch import Tensor

from vsr.kernels import openmp
from vsr.kernels.llvm import FLOATS, LANES, LINE, POINTER, Code, Library, number

_JOB = np.dtype(
    [
        (name, np.int64)
        for name in ("part", "parts", "pixels", "channels", "x", "dy", "slopes", "dx", "d_slopes")
    ]
)
"""Of the emitted function: the next part to be taken, how many there are, and addresses; the sums of a part
lie behind those of the one before."""


def gradients(x: Tensor, dy: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """Those of the input and of the slopes.

    Args:
        x: `(N, C, H, W)` that `can` takes.
        dy: Gradient of the result, likewise.
        slopes: `(C,)`.
    """
    threads = torch.get_num_threads()
    dx, sums = torch.empty_like(x), torch.zeros(threads, len(slopes))
    job = np.zeros((), _JOB)
    job["parts"], job["channels"], job["pixels"] = threads, len(slopes), x.numel() // len(slopes)
    tensors = {"x": x, "dy": dy, "slopes": slopes.contiguous(), "dx": dx, "d_slopes": sums}
    for name, tensor in tensors.items():
        job[name] = tensor.data_ptr()
    openmp.call(_function(), job.ctypes.data, threads)
    return dx, sums.sum(0)


def can(*tensors: Tensor) -> bool:
    """Whether `gradients` takes them: float32 on the host, channels_last, a multiple of 16 channels."""
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
    of = {name: code.field(code.arguments[0], _JOB, name) for name in _JOB.names or () if name != "part"}
    with code.parts(code.arguments[0], of["parts"]) as part:
        begin, end = code.share(part, of["parts"], of["pixels"])
        own = code.ir.mul(code.ir.mul(part, of["channels"]), number(4))
        with (
            code.ir.if_then(code.ir.icmp_signed("<", begin, end)),
            code.repeat(0, of["channels"], by=LANES) as channel,
        ):
            _some_channels(code, of, channel.index, (begin, end), own)
    code.ir.ret_void()
    return Library(module).function("gradients", 1)


def _some_channels(code: Code, of: dict[str, Any], channel: Any, pixels: tuple[Any, Any], own: Any) -> None:
    """Sixteen of them, for a range of pixels: a number is above zero, or counts for the slope."""
    byte = code.ir.mul(channel, number(4))
    places = {name: code.at(code.ir.inttoptr(of[name], POINTER), byte) for name in ("x", "dy", "dx")}
    slopes = code.ir.load(code.at(code.ir.inttoptr(of["slopes"], POINTER), byte), typ=FLOATS, align=4)
    with code.repeat(*pixels, [code.every(0.0)]) as pixel:
        row = code.ir.mul(code.ir.mul(pixel.index, of["channels"]), number(4))
        here = {name: code.at(place, row) for name, place in places.items()}
        x, dy = code.floats(here["x"]), code.floats(here["dy"])
        above = code.ir.fcmp_ordered(">", x, code.every(0.0))
        dx = code.ir.select(above, dy, code.ir.fmul(dy, slopes))
        code.ir.store(dx, here["dx"], align=LINE)
        counted = code.ir.select(above, code.every(0.0), code.ir.fmul(dy, x))
        pixel.following.append(code.ir.fadd(pixel.carried[0], counted))
    total = code.at(code.at(code.ir.inttoptr(of["d_slopes"], POINTER), own), byte)
    code.ir.store(pixel.carried[0], total, align=4)
