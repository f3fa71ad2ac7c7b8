"""Which pictures a card's own kernels convert, and their start."""

from __future__ import annotations

import ctypes
import logging
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from vsr.color.chroma import SITES, chroma_size
from vsr.color.codes import LUMA_WEIGHTS, ROUND, codes_of
from vsr.color.spec import ColorSpec, Matrix, PixelLayout
from vsr.kernels import nvrtc

logger = logging.getLogger(__name__)

Entry = Literal["to_rgb", "to_planes"]

SWITCH = "VSR_CARD_COLOR"
"""Variable of the environment that must be 1: these kernels have not run on a card yet; torch has."""
THREADS = 256
_OPTIONS = ("--fmad=false",)
_OLDEST = 7
"""Major compute capability: Volta."""
_FAMILIES = {"yuv": 0, "rgb": 1, "gray": 2}
_SITES = {"first": 1, "middle": 2, "last": 3}
_WHOLE = 0


@dataclass(frozen=True, slots=True)
class Form:
    """What a kernel is compiled for."""

    family: int
    wide: bool
    """Whether codes have 16 bits."""
    across: int
    down: int
    """Where chroma sits horizontally and vertically."""


def can_convert(plane: Tensor, color: ColorSpec, layout: PixelLayout) -> bool:
    """Whether `to_rgb` or `to_planes` takes pictures like this: on a card, chroma of half the size at least,
    where the environment says so.

    Args:
        plane: `(H, W)`, luma or a channel.
    """
    if not plane.is_cuda or os.environ.get(SWITCH) != "1":
        return False
    if max(layout.chroma_shift) > 1 or not nvrtc.available():
        return False
    form = form_of(color, layout)
    entries: tuple[Entry, ...] = ("to_rgb", "to_planes")
    return all(_kernel(entry, form, plane.device) is not None for entry in entries)


def to_rgb(planes: tuple[Tensor, ...], image: Tensor, color: ColorSpec, layout: PixelLayout) -> None:
    """Fill `image`, `(3, H, W)`, float32, from planes that `can_convert` takes, on the current stream."""
    start("to_rgb", form_of(color, layout), image, _to_rgb_job(planes, image, color, layout))


def to_planes(image: Tensor, planes: tuple[Tensor, ...], color: ColorSpec, layout: PixelLayout) -> None:
    """Fill planes from `image`, `(3, H, W)`, float32, which `can_convert` takes, on the current stream."""
    start("to_planes", form_of(color, layout), image, _to_planes_job(image, planes, color, layout))


def form_of(color: ColorSpec, layout: PixelLayout) -> Form:
    """What both kernels for such pictures are compiled for."""
    sites = SITES.get(color.chroma_location, ("middle", "middle"))  # not asked where nothing is subsampled
    across, down = (
        _SITES[s] if shift else _WHOLE for s, shift in zip(sites, layout.chroma_shift, strict=True)
    )
    return Form(_FAMILIES[layout.family], layout.bit_depth > 8, across, down)


def threads_of(entry: Entry, form: Form, image: Tensor) -> int:
    """One for each pixel, or for each sample of chroma."""
    _, height, width = image.shape
    shift = (int(form.across != _WHOLE), int(form.down != _WHOLE)) if entry == "to_planes" else (0, 0)
    rows, columns = chroma_size(height, width, shift)
    return rows * columns


def start(entry: Entry, form: Form, image: Tensor, job: ctypes.Structure) -> None:
    """Launch a kernel on the current stream of the image's device."""
    kernel = _kernel(entry, form, image.device)
    assert kernel is not None
    with torch.cuda.device(image.device):
        kernel.launch(-(-threads_of(entry, form, image) // THREADS), job)


@cache
def _kernel(entry: Entry, form: Form, device: torch.device) -> nvrtc.Kernel | None:
    """None where the card is older, or the compiler does not know it: torch does the work then."""
    major, minor = torch.cuda.get_device_capability(device)
    if major < _OLDEST:
        return None
    try:
        with torch.cuda.device(device):
            return nvrtc.load(
                source(),
                defined(form),
                target=f"sm_{major}{minor}",
                threads=THREADS,
                shared=0,
                entry=entry,
                options=_OPTIONS,
            )
    except RuntimeError as error:
        if "out of memory" in str(error):
            raise
        logger.warning("colour is converted by torch: %s", str(error).partition("\n")[0])
        return None


def defined(form: Form) -> list[tuple[str, int]]:
    """What convert.cu wants the host to define."""
    return [
        ("THREADS", THREADS),
        ("FAMILY", form.family),
        ("WIDE", int(form.wide)),
        ("ACROSS", form.across),
        ("DOWN", form.down),
    ]


@cache
def source() -> str:
    """The text of both kernels."""
    return Path(__file__).with_name("convert.cu").read_text(encoding="utf-8")


class _Memory(ctypes.Structure):
    """As in convert.cu, like those below."""

    _fields_ = (
        ("planes", ctypes.c_void_p * 3),
        ("rows", ctypes.c_longlong * 3),
        ("columns", ctypes.c_longlong * 3),
        ("image", ctypes.c_void_p),
        *((name, ctypes.c_longlong) for name in ("channel", "row", "column")),
        *((name, ctypes.c_int) for name in ("height", "width")),
    )


_CHROMA = ("red_gain", "red_offset", "blue_gain", "blue_offset")


class _ToRgb(ctypes.Structure):
    _fields_ = (
        ("memory", _Memory),
        *((name, ctypes.c_float) for name in ("black", "step")),
        *((name, ctypes.c_float) for name in ("green_step", "green_offset", "red_part", "blue_part")),
        *((name, ctypes.c_float) for name in _CHROMA),
    )


class _ToPlanes(ctypes.Structure):
    _fields_ = (
        ("memory", _Memory),
        *((name, ctypes.c_float) for name in ("step", "offset", "largest")),
        *((name, ctypes.c_float) for name in ("red_part", "green_part", "blue_part", "back")),
        *((name, ctypes.c_float) for name in _CHROMA),
    )


def _memory(planes: tuple[Tensor, ...], image: Tensor) -> _Memory:
    three = (planes * 3)[:3]
    addresses = (ctypes.c_void_p * 3)(*(plane.data_ptr() for plane in three))
    rows, columns = ((ctypes.c_longlong * 3)(*(plane.stride(n) for plane in three)) for n in (0, 1))
    return _Memory(addresses, rows, columns, image.data_ptr(), *image.stride(), *image.shape[1:])


def _weights(color: ColorSpec) -> tuple[float, float]:
    return LUMA_WEIGHTS.get(color.matrix, LUMA_WEIGHTS[Matrix.BT709])


def _to_rgb_job(
    planes: tuple[Tensor, ...], image: Tensor, color: ColorSpec, layout: PixelLayout
) -> ctypes.Structure:
    codes = codes_of(color.range, layout.bit_depth)
    kr, kb = _weights(color)
    kg, step = 1 - kr - kb, 1 / codes.luma_step
    green = step / kg, -codes.luma_offset * step / kg, -kr / kg, -kb / kg
    gains = [2 * (1 - weight) / codes.chroma_step for weight in (kr, kb)]
    black = codes.luma_offset / codes.luma_step
    chroma = [number for gain in gains for number in (gain, gain * codes.chroma_offset + black)]
    return _ToRgb(_memory(planes, image), codes.luma_offset, step, *green, *chroma)


def _to_planes_job(
    image: Tensor, planes: tuple[Tensor, ...], color: ColorSpec, layout: PixelLayout
) -> ctypes.Structure:
    codes = codes_of(color.range, layout.bit_depth)
    kr, kb = _weights(color)
    step, offset = codes.luma_step, codes.luma_offset + ROUND
    parts = kr * step, (1 - kr - kb) * step, kb * step, -1 / step
    gains = [codes.chroma_step / (2 * (1 - weight)) for weight in (kr, kb)]
    added = offset / step
    chroma = [number for gain in gains for number in (gain, codes.chroma_offset + gain * added + ROUND)]
    return _ToPlanes(_memory(planes, image), step, offset, codes.peak + ROUND, *parts, *chroma)
