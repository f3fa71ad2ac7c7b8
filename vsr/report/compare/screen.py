"""Frames as a player shows them on an sRGB screen: turned, without hidden borders, HDR tone-mapped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from vsr.color.spec import ColorSpec, Transfer
from vsr.color.tone_mapping import PEAK, WHITE, differs_on_screen, is_hdr, on_screen
from vsr.frame import Crop, VideoInfo
from vsr.media.metadata.orientation import turn_of

_SQUARE = Fraction(1, 50)
"""A pixel whose sides differ by less is shown as a square."""
_ZOOMS = ((2, 2), (2, 3), (3, 2), (3, 4), (4, 3), (2, 4), (4, 2))
"""Rows and columns of the screen for a pixel, the small ones first."""


def as_shown(image: Tensor, info: VideoInfo) -> Tensor:
    """Return an image `(C, H, W)` of a stored frame turned, mirrored and without the borders that the
    container hides.
    """
    top, bottom, left, right = _shown_part(info)
    image = image[:, top:bottom, left:right]
    turn = turn_of(info.display_matrix)
    image = image.transpose(1, 2) if turn.transposed else image
    axes = [axis for axis, wanted in ((2, turn.mirrored), (1, turn.flipped)) if wanted]
    return (image.flip(axes) if axes else image).contiguous()


def shown_size(info: VideoInfo) -> tuple[int, int]:
    """Return height and width of what `as_shown` returns."""
    top, bottom, left, right = _shown_part(info)
    height, width = bottom - top, right - left
    return (width, height) if turn_of(info.display_matrix).transposed else (height, width)


def pixel_of(info: VideoInfo) -> Fraction:
    """Return the width of a shown pixel divided by its height."""
    pixel = info.sample_aspect_ratio or Fraction(1)
    if turn_of(info.display_matrix).transposed:
        pixel = 1 / pixel
    return Fraction(1) if abs(pixel - 1) < _SQUARE else pixel


def zoom_of(pixel: Fraction) -> tuple[int, int]:
    """Return how many rows and columns a still image has for each pixel: about the pixel's shape, so that
    the pixels stay exact.
    """
    return min(_ZOOMS, key=lambda zoom: abs(zoom[1] / zoom[0] / float(pixel) - 1))


def _shown_part(info: VideoInfo) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of the part of a stored frame that a player shows."""
    crop = info.crop or Crop()
    top, left = round(crop.top), round(crop.left)
    return top, info.height - round(crop.bottom), left, info.width - round(crop.right)


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """How images of a comparison are shown; of several HDR videos all by one curve, which tells them apart
    only where they differ.
    """

    peak: float
    """cd/m2 of the brightest highlights of all HDR videos."""

    @classmethod
    def of(cls, infos: Sequence[VideoInfo]) -> Screen:
        """Return the screen for some videos: the highest stated peak counts."""
        stated = [peak for info in infos if is_hdr(info.color) and (peak := _peak_of(info))]
        return cls(peak=max(stated, default=PEAK))

    def shown(self, image: Tensor, color: ColorSpec) -> Tensor:
        """Convert `(3, H, W)` R'G'B' in [0, 1] to that of an sRGB screen."""
        with torch.no_grad():
            return on_screen(image, color, peak=self.peak)

    def notes(
        self, labels: Sequence[str], infos: Sequence[VideoInfo], *, measured: bool = False
    ) -> list[str]:
        """Return a sentence for each kind of video that is not shown as it is coded; `measured` says that
        there are figures.
        """
        kinds: dict[str, list[str]] = {}
        for label, info in zip(labels, infos, strict=True):
            if differs_on_screen(info.color):
                kinds.setdefault(self._how(info.color), []).append(label)
        figures = "; all figures are those of the coded R'G'B'" if measured else ""
        return [f"{', '.join(names)}: {how}{figures}." for how, names in kinds.items()]

    def _how(self, color: ColorSpec) -> str:
        if not is_hdr(color):
            return f"shown in sRGB; colours of {color.primaries.name} outside BT.709 are clipped"
        peak = PEAK if color.transfer is Transfer.HLG else self.peak
        return (
            f"HDR ({color.transfer.name}), shown tone-mapped to sRGB by the curve of BT.2390, from {peak:g}"
            f" cd/m2 and with white at {WHITE:g} cd/m2"
        )


def _peak_of(info: VideoInfo) -> float | None:
    """Return the brightest light in cd/m2 that a video states; None if it states none that is possible."""
    light = info.content_light.max_cll if info.content_light is not None else 0
    display = info.mastering_display.max_luminance if info.mastering_display is not None else 0
    stated = float(light or display)
    return stated if WHITE <= stated <= 10_000 else None
