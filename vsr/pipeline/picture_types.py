"""Arrays, tensors and planes that a Python program may give, and gets back.

Arrays, tensors and `RgbFrame`s are R'G'B' already. `YuvFrame`s become it and come back by the stages of a
file's pictures, so nobody can tell the two ways apart by their results.
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
"""Types of samples that R'G'B' may have, to the value of white."""
_OF_NUMPY = {"uint8": torch.uint8, "uint16": torch.uint16, "float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True, slots=True)
class Form:
    """In which form a picture came, and its result goes out."""

    on_host: bool
    made: Callable[[RgbFrame, DeviceStreams], Tensors]
    """A result of the generator to tensors of that form, on the device, in memory of their own."""
    wrap: Callable[[Tensors, Stamp], Any]
    """Those tensors, where the caller wants them, to what he gets."""


def opened(frame: object, number: int, streams: DeviceStreams) -> tuple[RgbFrame, Form]:
    """A picture as the generator takes it, on the device of the streams, and the form that it had.

    Args:
        frame: Of a kind that `Upscaler.frames` names.
        number: Of the picture, from 0; frames have their own.
        streams: Of the device that computes.

    Raises:
        InputError: it is no such picture, or lies elsewhere.
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
        f"picture {number} is a {kind}; give a numpy array, a torch tensor, an RgbFrame or a YuvFrame"
    )


def _of_samples(
    tensors: Tensors, streams: DeviceStreams, stamp: Stamp, wrap: Callable[[Tensors, Stamp], Any]
) -> tuple[RgbFrame, Form]:
    """R'G'B' `(3, H, W)` and perhaps alpha `(1, H, W)`, as float32, nominally [0, 1]."""
    image = tensors[0]
    known = all(part.dtype in _WHITE for part in tensors)
    if image.ndim != 3 or image.shape[0] != 3 or not image.numel() or not known:
        what = " with ".join(f"a tensor {tuple(part.shape)} of {_name(part.dtype)}" for part in tensors)
        raise InputError(
            f"picture {stamp.index} is {what}; give (3, H, W) of {', '.join(map(_name, _WHITE))}"
        )
    moved = _brought(tensors, stamp.index, streams)
    with streams.computing(), torch.inference_mode():
        floats = [part.to(torch.float32) / _WHITE[part.dtype] for part in moved]
    lr = RgbFrame(image=floats[0], alpha=floats[1] if len(floats) > 1 else None, stamp=stamp)
    dtypes = tuple(part.dtype for part in tensors)
    return lr, Form(image.device.type == "cpu", partial(_to_samples, dtypes=dtypes), wrap)


def _of_planes(frame: YuvFrame, streams: DeviceStreams) -> tuple[RgbFrame, Form]:
    """Planes, by the frame's own colour tags."""
    number = frame.stamp.index
    tensors = frame.planes if frame.alpha is None else (*frame.planes, frame.alpha)
    _check_samples(tensors, frame.layout, number)
    there = _with(frame, _brought(tensors, number, streams))
    try:
        lr = stages.as_rgb(there, streams)
    except (InputError, ValueError) as error:
        raise InputError(f"picture {number}: {error}") from error
    made = partial(_to_planes, color=frame.color, layout=frame.layout)
    wrap = partial(_as_planes, color=frame.color, layout=frame.layout)
    return lr, Form(frame.planes[0].device.type == "cpu", made, wrap)


def _check_samples(tensors: Tensors, layout: PixelLayout, number: int) -> None:
    """How many there are, and their sizes, the conversion checks."""
    wanted = torch.uint8 if layout.bit_depth == 8 else torch.uint16
    if not tensors or any(part.ndim != 2 or part.dtype != wanted or not part.numel() for part in tensors):
        what = ", ".join(f"{tuple(part.shape)} of {_name(part.dtype)}" for part in tensors) or "none"
        need = f"(H, W) of {_name(wanted)} for {layout.bit_depth} bits"
        raise InputError(f"picture {number} has the planes {what}; give {need}")


def _brought(tensors: Tensors, number: int, streams: DeviceStreams) -> Tensors:
    """As they are, to the device of the streams."""
    places = {part.device.type for part in tensors}
    if places == {"cpu"}:
        return streams.upload(tensors)
    if places == {streams.device.type}:
        return tuple(streams.adopt(part) for part in tensors)
    there = " and ".join(sorted({str(part.device) for part in tensors}))
    raise InputError(
        f"picture {number} is on {there} and the generator on {streams.device}; bring it there, or "
        "to the host"
    )


def _with(frame: YuvFrame, tensors: Tensors) -> YuvFrame:
    count = len(frame.planes)
    return replace(frame, planes=tensors[:count], alpha=None if frame.alpha is None else tensors[count])


def _samples_of(array: NDArray[Any], number: int) -> Tensor:
    """`(H, W, 3)` to `(3, H, W)`: the same memory where torch can use it.

    Read-only, reversed and big-endian arrays are copied.
    """
    if array.ndim != 3 or array.shape[2] != 3 or not array.size or array.dtype.name not in _OF_NUMPY:
        what = f"an array {array.shape} of {array.dtype}"
        raise InputError(f"picture {number} is {what}; give (H, W, 3) of {', '.join(_OF_NUMPY)}")
    usable = array.flags.writeable and array.flags.c_contiguous and array.dtype.isnative
    native = array if usable else np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    return torch.from_numpy(native).permute(2, 0, 1)


def _to_samples(sr: RgbFrame, streams: DeviceStreams, *, dtypes: tuple[torch.dtype, ...]) -> Tensors:
    parts = (sr.image,) if sr.alpha is None else (sr.image, sr.alpha)
    with streams.computing(), torch.no_grad():  # inference mode's tensors could not be written to later
        return tuple(_coded(part, dtype) for part, dtype in zip(parts, dtypes, strict=True))


def _coded(image: Tensor, dtype: torch.dtype) -> Tensor:
    """Float32 as samples of a type, in memory of its own: integers are rounded and clipped."""
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
