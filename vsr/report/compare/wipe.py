"""An animation for a README: a line wipes over the same detail of one panel after the other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vsr.report.compare.coding import animated_webp
from vsr.report.compare.still import ZOOM, labelled_details

STEPS = 18
"""Images of one wipe."""
REST = 8
"""Images for which a panel stands still."""
MILLISECONDS = 50
"""Duration of an image."""
QUALITY = 90
"""WebP's quality: at 90 the difference between a network and bicubic is many times larger than the
coding's."""
_LINE = 2  # pixels on each side of the wiping edge


def webp(images: Sequence[Tensor], labels: Sequence[str], zoom: tuple[int, int] = (ZOOM, ZOOM)) -> bytes:
    """Animate the square where the panels differ most.

    Args:
        images: One for each panel, `(3, H, W)` uint8 R'G'B', all of one size.
        labels: Written into the panels.
        zoom: Rows and columns that show a pixel.
    """
    return animated(labelled_details(images, labels, zoom))


def animated(drawn: Sequence[Tensor]) -> bytes:
    """Animate labelled panels `(3, H, W)` uint8 of one size."""
    shown = []
    for before, after in zip(drawn, [*drawn[1:], drawn[0]], strict=True):
        shown += [before] * REST
        shown += [wiped(before, after, step / (STEPS + 1)) for step in range(1, STEPS + 1)]
    return animated_webp(shown, milliseconds=MILLISECONDS, quality=QUALITY)


def wiped(before: Tensor, after: Tensor, share: float) -> Tensor:
    """Return `after` in the left `share` of the width, `before` in the rest, and a white line between."""
    width = before.shape[-1]
    edge = round(width * share)
    joined = torch.cat([after[..., :edge], before[..., edge:]], -1)
    joined[..., max(0, edge - _LINE) : edge + _LINE] = 255
    return joined
