"""Colour conversion on the CPU in one pass, with the code of `vsr.kernels.color`."""

from __future__ import annotations

import importlib
import importlib.util
import platform
from functools import cache, lru_cache
from typing import Any

import torch
from torch import Tensor

from vsr.color.chroma import SITES, Site
from vsr.color.codes import LUMA_WEIGHTS, ROUND, codes_of
from vsr.color.spec import ColorSpec, PixelLayout

_NARROWEST = 16
"""Least samples in a row of chroma."""
_SITES: tuple[Site, ...] = ("first", "middle")
"""Horizontal positions of chroma that are supported."""
_KEPT = 16
"""Conversions whose compiled code is kept; a video needs two."""


@cache
def available() -> bool:
    """Return whether `vsr.kernels` and `llvmlite` are installed, and the CPU has fused multiply-add, as torch
    uses.
    """
    try:
        importlib.import_module("vsr.kernels.color")
    except ImportError:  # the folder may be missing
        return False
    if importlib.util.find_spec("llvmlite") is None:
        return False
    if platform.machine() in ("aarch64", "arm64"):  # all of them have it
        return True
    from llvmlite import binding  # imported late: it takes 0.1 s

    return bool(binding.get_host_cpu_features().get("fma"))


def can_convert(luma: Tensor, color: ColorSpec, layout: PixelLayout) -> bool:
    """Return whether `to_rgb` and `to_planes` take images like this: Y'CbCr on the host, with a common chroma
    siting.

    Args:
        luma: `(H, W)`, the luma plane or a channel of R'G'B'.
    """
    across, down = layout.chroma_shift
    if luma.device.type != "cpu" or layout.family != "yuv" or max(across, down) > 1:
        return False
    horizontal, vertical = _sites(color, layout)
    usual = horizontal in _SITES and (vertical == "middle" or not down)
    return usual and luma.shape[1] + across >> across >= _NARROWEST and luma.stride(1) == 1 and available()


def to_rgb(planes: tuple[Tensor, ...], image: Tensor, color: ColorSpec, layout: PixelLayout) -> None:
    """Fill `image`, `(3, H, W)`, float32, contiguous, from planes that `can_convert` takes."""
    from vsr.kernels.color import rgb

    adjacent = [_adjacent(plane) for plane in planes]  # keeps copies alive during the call
    lines = [(plane.data_ptr(), plane.stride(0) * plane.itemsize) for plane in adjacent]
    height, width = planes[0].shape
    scratch, pitch = _scratch(rgb.SCRATCH_ROWS, width)
    _function(rgb.NAME, color, layout)(
        *(number for line in lines for number in line),
        width,
        height,
        image.data_ptr(),
        scratch.data_ptr(),
        pitch,
    )


def to_planes(image: Tensor, planes: tuple[Tensor, ...], color: ColorSpec, layout: PixelLayout) -> None:
    """Fill contiguous planes from `image`, `(3, H, W)`, float32, which `can_convert` accepts."""
    from vsr.kernels.color import planes as code

    _, height, width = image.shape
    scratch, pitch = _scratch(code.SCRATCH_ROWS, width)
    channel, line = (image.itemsize * image.stride(n) for n in range(2))
    addresses = (plane.data_ptr() for plane in planes)
    _function(code.NAME, color, layout)(
        image.data_ptr(), channel, line, width, height, *addresses, scratch.data_ptr(), pitch
    )


def _adjacent(plane: Tensor) -> Tensor:
    """Return a plane with adjacent samples in a row; rows may be padded, as those of decoders are."""
    return plane if plane.stride(1) == 1 else plane.contiguous()


def _sites(color: ColorSpec, layout: PixelLayout) -> tuple[Site, Site]:
    return SITES[color.chroma_location] if layout.chroma_shift != (0, 0) else ("first", "middle")


def _scratch(rows: int, width: int) -> tuple[Tensor, int]:
    from vsr.kernels.color.rows import pitch

    return torch.empty(rows * pitch(width), dtype=torch.float32), pitch(width)


def _function(name: str, color: ColorSpec, layout: PixelLayout) -> Any:
    from vsr.kernels.color.rows import YuvFormat

    fmt = YuvFormat(
        LUMA_WEIGHTS[color.matrix],
        codes_of(color.range, layout.bit_depth),
        layout.chroma_shift,
        _sites(color, layout)[0],
        ROUND,
    )
    library, arguments = _compiled(name, fmt)
    return library.function(name, arguments)


@lru_cache(maxsize=_KEPT)
def _compiled(name: str, fmt: Any) -> tuple[Any, int]:
    from llvmlite import ir

    from vsr.kernels.color import planes, rgb
    from vsr.kernels.llvm import Library

    direction = {part.NAME: part for part in (planes, rgb)}[name]
    module = ir.Module(name)
    direction.emit(module, fmt)
    return Library(module), len(direction.ARGUMENTS)
