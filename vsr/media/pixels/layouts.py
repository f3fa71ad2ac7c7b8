"""Translates FFmpeg's pixel formats to `PixelLayout` and back. Torch is not imported here."""

from __future__ import annotations

from functools import cache

from av import VideoFormat

from vsr.color.spec import Family, PixelLayout
from vsr.errors import InputError

_SUBSAMPLING = {(1, 1): "420", (1, 0): "422", (0, 0): "444", (0, 1): "440", (2, 0): "411", (2, 2): "410"}
"""Maps log2 of the chroma subsampling to the digits in FFmpeg's names."""
_DEPTHS = (8, 9, 10, 12, 14, 16)
"""Bit depths for which FFmpeg has planar formats; not every family has all of them."""
_UNREADABLE = frozenset({"yaf32le", "yaf32be"})
"""FFmpeg 8.1.2's swscale aborts the process on these formats."""


@cache
def layout_of(pixel_format: str) -> PixelLayout:
    """Return the planar layout into which frames of a pixel format are unpacked.

    Packed, semi-planar, palette and bit-packed formats get the planar layout of the same family, subsampling
    and depth (at least 8 bits). A palette becomes R'G'B' with alpha. `repacking_note` describes the few
    formats that lose something.

    Raises:
        InputError: the format is unknown, or its frames are in a device's memory.
    """
    try:
        fmt = VideoFormat(pixel_format, 64, 64)
    except ValueError as error:
        raise InputError(f"unknown pixel format {pixel_format!r}. Use a name that FFmpeg lists") from error
    if pixel_format in _UNREADABLE:
        raise InputError(f"pixel format {pixel_format!r} cannot be read. Convert the video to another format")
    if not fmt.components:
        raise InputError(f"pixel format {pixel_format!r} has no samples in host memory. Decode in software")
    family = _family(fmt)
    shift = _chroma_shift(fmt) if family == "yuv" else (0, 0)
    alpha = fmt.has_palette or any(component.is_alpha for component in fmt.components)
    for depth in _DEPTHS:
        layout = PixelLayout(family=family, bit_depth=depth, chroma_shift=shift, alpha=alpha)
        if depth >= _bits(fmt) and _exists(_name(layout)):
            return layout
    raise InputError(f"pixel format {pixel_format!r} has no planar form. Convert the video to another format")


def planar_format(layout: PixelLayout) -> str:
    """Return FFmpeg's name of the planar, little-endian format that stores `layout`.

    Grey with alpha is an exception: FFmpeg has it only interleaved, as `ya8` and `ya16le`.

    Raises:
        ValueError: FFmpeg has no such format.
    """
    name = _name(layout)
    if not _exists(name):
        raise ValueError(f"FFmpeg has no planar format for {layout}")
    return name


def is_planar_already(pixel_format: str) -> bool:
    """Return whether the decoder's planes can be used as they are. yuvj formats differ only by a range
    tag.
    """
    return pixel_format.replace("yuvj", "yuv") == _name(layout_of(pixel_format))


def repacking_note(pixel_format: str) -> str | None:
    """Return a sentence about a format that integer planes cannot hold exactly, else None."""
    fmt = VideoFormat(pixel_format, 64, 64)
    if _is_float(pixel_format):
        return f"{pixel_format} samples are converted to 16-bit integers; values outside [0, 1] are clipped"
    if max(component.bits for component in fmt.components) > 16:
        return f"{pixel_format} samples are converted to 16 bits"
    if fmt.is_bayer:
        return f"{pixel_format} is raw sensor data; it is demosaiced by FFmpeg"
    if pixel_format.startswith("xyz"):
        return f"{pixel_format} is converted to R'G'B' by FFmpeg; colours outside it are clipped"
    return None


def _family(fmt: VideoFormat) -> Family:
    if fmt.is_rgb or fmt.has_palette or fmt.name.startswith("xyz"):
        return "rgb"
    return "gray" if sum(not component.is_alpha for component in fmt.components) == 1 else "yuv"


def _chroma_shift(fmt: VideoFormat) -> tuple[int, int]:
    chroma = fmt.components[1]
    return (fmt.width // chroma.width).bit_length() - 1, (fmt.height // chroma.height).bit_length() - 1


def _bits(fmt: VideoFormat) -> int:
    if fmt.is_bayer:
        return 16 if "16" in fmt.name else 8  # a component's `bits` is an average here
    return min(16, max(component.bits for component in fmt.components))


def _is_float(pixel_format: str) -> bool:
    return any(mark in pixel_format for mark in ("f16", "f32"))


def _name(layout: PixelLayout) -> str:
    if layout.family == "gray" and layout.alpha:
        return "ya8" if layout.bit_depth == 8 else f"ya{layout.bit_depth}le"
    depth = "" if layout.bit_depth == 8 else f"{layout.bit_depth}le"
    if layout.family == "gray":
        return f"gray{depth}"
    if layout.family == "rgb":
        return f"{'gbrap' if layout.alpha else 'gbrp'}{depth}"
    digits = _SUBSAMPLING.get(layout.chroma_shift, "")
    return f"{'yuva' if layout.alpha else 'yuv'}{digits}p{depth}"


@cache
def _exists(name: str) -> bool:
    try:
        VideoFormat(name, 64, 64)
    except ValueError:
        return False
    return True
