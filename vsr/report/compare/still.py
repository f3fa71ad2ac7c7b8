"""A labelled image: the square of a frame where the panels differ most, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.media.png import png_bytes
from vsr.report.letters import labelled

DETAIL = 200
"""Largest side of the square, in pixels of the panels."""
ZOOM = 2
"""Side of the square that shows a pixel, so that the viewer's smoothing is not visible."""
PANELS_IN_A_ROW = 5
_GAP = 6  # pixels between the panels
_STEPS = 8  # positions tried along the side of a square


def png(images: Sequence[Tensor], labels: Sequence[str], zoom: tuple[int, int] = (ZOOM, ZOOM)) -> bytes:
    """Draw the detail of all panels in one image.

    Args:
        images: One for each panel, `(3, H, W)` uint8 R'G'B', all of one size.
        labels: Written into the panels.
        zoom: Rows and columns that show a pixel.
    """
    return png_bytes(in_rows(labelled_details(images, labels, zoom)))


def labelled_details(
    images: Sequence[Tensor], labels: Sequence[str], zoom: tuple[int, int] = (ZOOM, ZOOM)
) -> list[Tensor]:
    """Return the square of each panel where they differ most, enlarged and with its label; see `png`."""
    top, left, side = where_they_differ(images)
    details = [image[:, top : top + side, left : left + side] for image in images]
    return [labelled(enlarged(d, zoom), label) for d, label in zip(details, labels, strict=True)]


def where_they_differ(images: Sequence[Tensor]) -> tuple[int, int, int]:
    """Return top, left and side of the square with the largest mean square difference between two panels.

    Of several pairs the sum counts, so that a panel that is worse everywhere does not decide alone. Equal
    panels give the square with the largest variation.
    """
    height, width = images[0].shape[-2:]
    side = min(DETAIL, height, width)
    floats = [image.to(torch.float32) for image in images]
    difference = torch.zeros(height, width)
    for a, b in combinations(floats, 2):
        square = (a - b).square().mean(0)
        difference += square / square.mean().clamp(min=1e-6)
    if not difference.any():
        difference = (floats[0].mean(0) - floats[0].mean()).square()
    step = max(1, side // _STEPS)
    means = F.avg_pool2d(difference[None, None], side, stride=step)[0, 0]
    best = int(means.argmax())
    return best // means.shape[1] * step, best % means.shape[1] * step, side


def enlarged(image: Tensor, zoom: tuple[int, int] = (ZOOM, ZOOM)) -> Tensor:
    """Show each pixel as a block of as many rows and columns as `zoom` says."""
    return image.repeat_interleave(zoom[1], -1).repeat_interleave(zoom[0], -2)


def in_rows(panels: Sequence[Tensor], *, columns: int | None = None) -> Tensor:
    """Join uint8 images of one size in rows with white gaps; without `columns`, in equal rows of at most
    `PANELS_IN_A_ROW`.
    """
    rows = -(-len(panels) // (columns or min(PANELS_IN_A_ROW, len(panels))))
    columns = columns or -(-len(panels) // rows)
    height, width = panels[0].shape[-2:]
    canvas = torch.full(
        (3, rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP), 255, dtype=torch.uint8
    )
    for i, panel in enumerate(panels):
        top, left = i // columns * (height + _GAP), i % columns * (width + _GAP)
        canvas[:, top : top + height, left : left + width] = panel
    return canvas
