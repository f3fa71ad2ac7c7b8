"""Chooses the pixel format of an encoder that keeps the most of a source."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from vsr.color.spec import PixelLayout

LayoutOf = Callable[[str], PixelLayout]
"""Returns the layout of a format, given FFmpeg's name."""


def nearest(
    wanted: PixelLayout, formats: Iterable[str], layout_of: LayoutOf, *, width: int, height: int, even: bool
) -> str | None:
    """Return the format that loses least of `wanted`, then the one that adds least, then the first.

    Args:
        wanted: Layout of the source.
        formats: FFmpeg's names in order of preference.
        layout_of: Returns the layout of a name.
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
        even: Whether the size must be a multiple of the chroma subsampling (H.264 and H.265 crop in chroma
            samples).

    Returns:
        FFmpeg's name, or None where no format fits the size.
    """
    fitting = [name for name in formats if not even or divides(layout_of(name), width, height)]
    return min(fitting, key=lambda name: _cost(wanted, layout_of(name)), default=None)


def divides(layout: PixelLayout, width: int, height: int) -> bool:
    """Return whether width and height are multiples of the chroma subsampling."""
    across, down = layout.chroma_shift
    return width % (1 << across) == 0 and height % (1 << down) == 0


def losses(wanted: PixelLayout, given: PixelLayout) -> list[str]:
    """Return a phrase for each property of `wanted` that `given` cannot store; empty if nothing is lost."""
    said = []
    if wanted.alpha and not given.alpha:
        said.append("transparency")
    if given.bit_depth < wanted.bit_depth:
        said.append(f"{wanted.bit_depth} bits (becomes {given.bit_depth})")
    if _chroma_lost(wanted, given):
        said.append(f"{subsampling(wanted)} chroma (becomes {subsampling(given)})")
    if wanted.family == "rgb" and given.family != "rgb":
        said.append("R'G'B' samples (become Y'CbCr)")
    return said


def loss(wanted: PixelLayout, given: PixelLayout) -> tuple[int, ...]:
    """Return how much of `wanted` is lost in `given`, the gravest first, for comparisons."""
    return (
        int(wanted.alpha and not given.alpha),
        _chroma_lost(wanted, given),
        max(0, wanted.bit_depth - given.bit_depth),
        int(_color_family(wanted) != _color_family(given)),
    )


def subsampling(layout: PixelLayout) -> str:
    """Return the chroma subsampling in the usual notation, such as "4:2:0"."""
    names = {
        (1, 1): "4:2:0",
        (1, 0): "4:2:2",
        (0, 0): "4:4:4",
        (0, 1): "4:4:0",
        (2, 0): "4:1:1",
        (2, 2): "4:1:0",
    }
    return names.get(layout.chroma_shift, str(layout.chroma_shift))


def _chroma_lost(wanted: PixelLayout, given: PixelLayout) -> int:
    if wanted.family == "gray":
        return 0
    if given.family == "gray":
        return 9
    return sum(max(0, g - w) for w, g in zip(wanted.chroma_shift, given.chroma_shift, strict=True))


def _cost(wanted: PixelLayout, given: PixelLayout) -> tuple[int, ...]:
    """Return the losses, the gravest first, then what is added needlessly."""
    extra_chroma = sum(max(0, w - g) for w, g in zip(wanted.chroma_shift, given.chroma_shift, strict=True))
    return (
        *loss(wanted, given),
        int(given.alpha and not wanted.alpha),
        max(0, given.bit_depth - wanted.bit_depth),
        int(wanted.family != given.family),
        -sum(given.chroma_shift) if wanted.family == "gray" else extra_chroma,
    )


def _color_family(layout: PixelLayout) -> str:
    """Return "rgb" or "yuv". Grey counts as Y'CbCr with neutral chroma, as its luma samples are the same."""
    return "rgb" if layout.family == "rgb" else "yuv"
