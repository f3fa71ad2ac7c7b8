"""Arrays, tensors and frames that a Python program passes in and gets back.

Arrays, tensors and `RgbFrame`s are R'G'B'. `YuvFrame`s are converted to it and back by the same stages as the
frames of a file, so that the results are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsr.color.spec import ColorSpec, PixelLayout
from vsr.errors import InputError
from vsr.frame import RgbFrame, Stamp, YuvFrame
from vsr.pipeline.flow import stages
from vsr.pipeline.flow.cuda_streams import DeviceStreams

Picture = TypeVar("Picture", NDArray[Any], Tensor, RgbFrame, YuvFrame)
Tensors = tuple[Tensor, ...]

_WHITE = {torch.uint8: 255, torch.uint16: 65535, torch.float16: 1, torch.bfloat16: 1, torch.float32: 1}
"""Value of white for each dtype of R'G'B' samples."""
_OF_NUMPY = {"uint8": torch.uint8, "uint16": torch.uint16, "float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True, slots=True)
class Form:
    """The type in which a frame was passed in and its result is returned."""

    on_host: bool
    made: Callable[[RgbFrame, DeviceStreams], Tensors]
    """Converts a result of the generator to tensors of this type, on the device, in new memory."""
    wrap: Callable[[Tensors, Stamp], Any]
    """Converts these tensors, on the device that the caller expects, to the object to return."""


def opened(frame: object, number: int, streams: DeviceStreams) -> tuple[RgbFrame, Form]:
    """Convert a frame to the generator's input on the streams' device, and return its type.

    Args:
        frame: An object of a type that `Upscaler.frames` supports.
        number: Number of the frame, from 0; frame objects have their own.
        streams: Streams of the device that computes.

    Raises:
        InputError: It has an unsupported type, or is on another device.
    """
    if isinstance(frame, YuvFrame):
        return _of_planes(frame, streams)
    if isinstance(frame, RgbFrame):
        tensors = (frame.image,) if frame.alpha is None else (frame.image, frame.alpha)
        return _of_samples(tensors, streams, frame.stamp, _as_frame)
    stamp = Stamp(index=number, pts=number, duration=1, time_base=Fraction(1))
    if isinstance(frame, np.ndarray):
        return _of_samples((_samples_of(frame, number),), streams, stamp, _as_array)
    if isinstance(frame, Tensor):
        return _of_samples((frame,), streams, stamp, _as_tensor)
    kind = type(frame).__name__
    raise InputError(
        f"frame {number} is a {kind}. Give a numpy array, a torch tensor, an RgbFrame or a YuvFrame"
    )


def _of_samples(
    tensors: Tensors, streams: DeviceStreams, stamp: Stamp, wrap: Callable[[Tensors, Stamp], Any]
) -> tuple[RgbFrame, Form]:
    """Convert R'G'B' `(3, H, W)` and optional alpha `(1, H, W)` to float32, nominally [0, 1]."""
    image = tensors[0]
    known = all(part.dtype in _WHITE for part in tensors)
    if image.ndim != 3 or image.shape[0] != 3 or not image.numel() or not known:
        what = " with ".join(f"a tensor {tuple(part.shape)} of {_name(part.dtype)}" for part in tensors)
        raise InputError(f"frame {stamp.index} is {what}. Give (3, H, W) of {', '.join(map(_name, _WHITE))}")
    moved = _brought(tensors, stamp.index, streams)
    with streams.computing(), torch.inference_mode():
        floats = [part.to(torch.float32) / _WHITE[part.dtype] for part in moved]
    lr = RgbFrame(image=floats[0], alpha=floats[1] if len(floats) > 1 else None, stamp=stamp)
    dtypes = tuple(part.dtype for part in tensors)
    return lr, Form(image.device.type == "cpu", partial(_to_samples, dtypes=dtypes), wrap)


def _of_planes(frame: YuvFrame, streams: DeviceStreams) -> tuple[RgbFrame, Form]:
    """Convert planes according to the frame's own colour tags."""
    number = frame.stamp.index
    tensors = frame.planes if frame.alpha is None else (*frame.planes, frame.alpha)
    _check_samples(tensors, frame.layout, number)
    there = _with(frame, _brought(tensors, number, streams))
    try:
        lr = stages.as_rgb(there, streams)
    except (InputError, ValueError) as error:
        raise InputError(f"frame {number}: {error}") from error
    made = partial(_to_planes, color=frame.color, layout=frame.layout)
    wrap = partial(_as_planes, color=frame.color, layout=frame.layout)
    return lr, Form(frame.planes[0].device.type == "cpu", made, wrap)


def _check_samples(tensors: Tensors, layout: PixelLayout, number: int) -> None:
    """Check the planes' dtype and dimensions; the conversion checks their number and sizes."""
    wanted = torch.uint8 if layout.bit_depth == 8 else torch.uint16
    if not tensors or any(part.ndim != 2 or part.dtype != wanted or not part.numel() for part in tensors):
        what = ", ".join(f"{tuple(part.shape)} of {_name(part.dtype)}" for part in tensors) or "none"
        need = f"(H, W) of {_name(wanted)} for {layout.bit_depth} bits"
        raise InputError(f"frame {number} has the planes {what}. Give {need}")


def _brought(tensors: Tensors, number: int, streams: DeviceStreams) -> Tensors:
    """Copy tensors unchanged to the streams' device."""
    places = {part.device.type for part in tensors}
    if places == {"cpu"}:
        return streams.upload(tensors)
    if places == {streams.device.type}:
        return tuple(streams.adopt(part) for part in tensors)
    there = " and ".join(sorted({str(part.device) for part in tensors}))
    raise InputError(
        f"frame {number} is on {there}, but the generator is on {streams.device}. Move the frame to that"
        " device or to the CPU"
    )


def _with(frame: YuvFrame, tensors: Tensors) -> YuvFrame:
    count = len(frame.planes)
    return replace(frame, planes=tensors[:count], alpha=None if frame.alpha is None else tensors[count])


def _samples_of(array: NDArray[Any], number: int) -> Tensor:
    """Convert `(H, W, 3)` to `(3, H, W)`, in the same memory if torch supports it.

    Read-only, reversed and big-endian arrays are copied.
    """
    if array.ndim != 3 or array.shape[2] != 3 or not array.size or array.dtype.name not in _OF_NUMPY:
        what = f"an array {array.shape} of {array.dtype}"
        raise InputError(f"frame {number} is {what}. Give (H, W, 3) of {', '.join(_OF_NUMPY)}")
    usable = array.flags.writeable and array.flags.c_contiguous and array.dtype.isnative
    native = array if usable else np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    return torch.from_numpy(native).permute(2, 0, 1)


def _to_samples(sr: RgbFrame, streams: DeviceStreams, *, dtypes: tuple[torch.dtype, ...]) -> Tensors:
    parts = (sr.image,) if sr.alpha is None else (sr.image, sr.alpha)
    with streams.computing(), torch.no_grad():  # tensors of inference mode would stay read-only
        return tuple(_coded(part, dtype) for part, dtype in zip(parts, dtypes, strict=True))


def _coded(image: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert float32 to samples of a dtype in new memory; integers are rounded and clipped."""
    if dtype.is_floating_point:
        return image.to(dtype, copy=True)
    white = _WHITE[dtype]
    return (image * white).round_().clamp_(0, white).to(dtype)


def _to_planes(sr: RgbFrame, streams: DeviceStreams, *, color: ColorSpec, layout: PixelLayout) -> Tensors:
    made = stages.as_yuv(sr, streams, color=color, layout=layout)
    return made.planes if made.alpha is None else (*made.planes, made.alpha)


def _as_array(tensors: Tensors, _: Stamp) -> NDArray[Any]:
    return np.ascontiguousarray(tensors[0].permute(1, 2, 0).numpy())


def _as_tensor(tensors: Tensors, _: Stamp) -> Tensor:
    return tensors[0]


def _as_frame(tensors: Tensors, stamp: Stamp) -> RgbFrame:
    return RgbFrame(image=tensors[0], alpha=tensors[1] if len(tensors) > 1 else None, stamp=stamp)


def _as_planes(tensors: Tensors, stamp: Stamp, *, color: ColorSpec, layout: PixelLayout) -> YuvFrame:
    *planes, last = tensors
    alpha = last if layout.alpha else None
    kept = planes if layout.alpha else tensors
    return YuvFrame(planes=tuple(kept), alpha=alpha, layout=layout, color=color, stamp=stamp)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
