"""Figures of each frame of a comparison, and their totals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.metrics import luma_studio, psnr_y, ssim_y

Distance = Callable[[Tensor, Tensor], float]
"""Compares images `(1, 3, H, W)` uint8 with their originals; 0 is equal."""

HIGHEST = 99.0
"""Upper limit of PSNR in dB, which stands for equal images: a plot has no place for infinity."""
_CELL = 16  # pixels; colours of cells of this size belong to the light of a scene, not to its detail
_STILL = 2.0
"""A pixel that changes by less than these 8-bit levels from frame to frame is still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A figure that is drawn as a plot."""

    name: str
    unit: str
    better: str
    """`higher`, `lower`, or empty if neither is better by itself."""
    meaning: str


WITH_REFERENCE = (
    Score(
        name="PSNR",
        unit="dB",
        better="higher",
        meaning="Y of BT.601 in limited range, as in papers; whole frame",
    ),
    Score(
        name="SSIM", unit="", better="higher", meaning="of the same Y, Gaussian window of 11x11, sigma 1.5"
    ),
)
LPIPS = Score(
    name="LPIPS",
    unit="",
    better="lower",
    meaning="distance of the features of a network that was trained to see (Zhang et al., 2018)",
)
WITHOUT_REFERENCE = (
    Score(
        name="Sharpness",
        unit="levels",
        better="",
        meaning="mean absolute Laplacian of Y in 8-bit levels; noise and halos raise it as well",
    ),
    Score(
        name="Flicker",
        unit="levels",
        better="lower",
        meaning="mean change of Y from frame to frame where the reference (or first panel) changes by less"
        " than 2 levels",
    ),
    Score(
        name="Colour drift",
        unit="levels",
        better="lower",
        meaning="mean difference of the colours of 16x16 cells from those of the reference (or first panel)",
    ),
)


def scores_for(*, reference: bool, lpips: bool = False) -> tuple[Score, ...]:
    """Return the figures of a comparison in the order of the plots."""
    against = (*WITH_REFERENCE, *([LPIPS] if lpips else [])) if reference else ()
    return (*against, *WITHOUT_REFERENCE)


class Measuring:
    """Measures frame after frame, and remembers the frame before."""

    def __init__(self, *, reference: int | None, lpips: Distance | None = None) -> None:
        """Begin before the first frame.

        Args:
            reference: Index of the original.
            lpips: Computes LPIPS of images against the original.
        """
        self._reference = reference
        self._lpips = lpips
        self._before: list[Tensor] | None = None

    def frame(self, images: Sequence[Tensor]) -> dict[str, list[float | None]]:
        """Measure the panels of one moment.

        Args:
            images: One for each panel, `(3, H, W)` uint8 R'G'B', all of one size.

        Returns:
            For each score, the figure of each panel; None where there is none: the reference beside itself,
            flicker in the first frame or where nothing is still.
        """
        floats = [image.to(torch.float32) / 255 for image in images]
        luma = [luma_studio(image)[0].to(torch.float32) for image in floats]
        found: dict[str, list[float | None]] = {}
        if self._reference is not None:
            found |= self._against(floats, self._reference)
            if self._lpips is not None:
                found[LPIPS.name] = _distances(images, self._reference, self._lpips)
        found["Sharpness"] = [_sharpness(y) for y in luma]
        found["Flicker"] = self._flicker(luma)
        found["Colour drift"] = _drifts(floats, self._reference or 0)
        self._before = luma
        return found

    def _against(self, images: Sequence[Tensor], reference: int) -> dict[str, list[float | None]]:
        hr = images[reference]
        others = [None if i == reference else image for i, image in enumerate(images)]
        small = min(hr.shape[-2:]) < 11  # the window of SSIM does not fit
        return {
            "PSNR": [None if sr is None else min(psnr_y(sr, hr, border=0), HIGHEST) for sr in others],
            "SSIM": [None if sr is None or small else ssim_y(sr, hr, border=0) for sr in others],
        }

    def _flicker(self, luma: Sequence[Tensor]) -> list[float | None]:
        if self._before is None:
            return [None] * len(luma)
        changes = [(now - before).abs() for now, before in zip(luma, self._before, strict=True)]
        still = changes[self._reference or 0] < _STILL
        if not still.any():
            return [None] * len(luma)
        return [change[still].mean().item() for change in changes]


def _distances(images: Sequence[Tensor], reference: int, distance: Distance) -> list[float | None]:
    hr = images[reference][None]
    return [None if i == reference else distance(image[None], hr) for i, image in enumerate(images)]


def _sharpness(luma: Tensor) -> float | None:
    if min(luma.shape) < 3:
        return None
    inner = luma[1:-1, 1:-1]
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    return (4 * inner - around).abs().mean().item()


def _drifts(images: Sequence[Tensor], against: int) -> list[float | None]:
    cells = [F.avg_pool2d(image[None], _CELL, ceil_mode=True) for image in images]
    return [
        None if i == against else 255 * (own - cells[against]).abs().mean().item()
        for i, own in enumerate(cells)
    ]


def total(figures: Sequence[float | None]) -> float | None:
    """Return the mean of a score over the frames that have one; PSNR is averaged in dB, as in papers."""
    known = [figure for figure in figures if figure is not None and not math.isnan(figure)]
    return sum(known) / len(known) if known else None
