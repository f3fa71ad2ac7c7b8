"""Draws a preview as one picture: the whole frame with a mark, the panels in rows, and sentences below."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

from vsr.models.archs.resample import resize
from vsr.report.compare.still import PANELS_IN_A_ROW, enlarged, in_rows
from vsr.report.letters import labelled, text_mask

Region = tuple[int, int, int, int]
"""Left, top, width and height in pixels of the result as it is shown."""
TALLEST = 540
"""Rows of the whole frame."""
WIDEST = 4000
"""Columns of the picture, up to which panels are put beside each other."""
LEAST_WIDTH = 800
"""Columns of the picture."""
PANEL = 400
"""Pixels of the longer side of a panel, up to which pixels are drawn larger."""
LARGEST_ZOOM = 8
_GAP = 6
_LINE = 2  # pixels of the mark, each of white and of black


def drawn(
    whole: Tensor,
    details: Sequence[Tensor],
    labels: Sequence[str],
    *,
    title: str,
    mark: tuple[float, float, float, float],
    pixel: Fraction,
    zoom: tuple[int, int],
    notes: Sequence[str],
) -> Tensor:
    """Return the picture, `(3, H, W)` uint8.

    Args:
        whole: The whole frame, `(3, H, W)` uint8.
        details: The region of each panel, `(3, H, W)` uint8 of one size.
        labels: One for each panel.
        title: Label of the whole frame.
        mark: Left, top, width and height of the region as shares of the frame.
        pixel: Width of the whole frame's pixels divided by their height.
        zoom: Rows and columns that show a pixel of a panel.
        notes: Sentences below the panels.
    """
    panels = [labelled(enlarged(d, zoom), label) for d, label in zip(details, labels, strict=True)]
    columns = max(1, min(PANELS_IN_A_ROW, WIDEST // panels[0].shape[-1]))
    rows = in_rows(panels, columns=min(columns, len(panels)) if columns < PANELS_IN_A_ROW else None)
    width = max(LEAST_WIDTH, rows.shape[-1])
    frame = labelled(marked(_fitted(whole, pixel, width), mark), title)
    parts = [frame, rows, *(_written(line, width) for line in lines_of(notes, width))]
    return _stacked(parts, width)


def zoom_for(height: int, width: int, shape: tuple[int, int]) -> tuple[int, int]:
    """Return how many rows and columns show a pixel of a detail.

    Args:
        height: Of the detail in pixels.
        width: Of the detail in pixels.
        shape: Rows and columns of one pixel, as `screen.zoom_of` gives them.
    """
    down, across = (1, 1) if shape[0] == shape[1] else shape
    times = max(1, min(LARGEST_ZOOM, PANEL // max(height * down, width * across)))
    return down * times, across * times


def marked(image: Tensor, mark: tuple[float, float, float, float]) -> Tensor:
    """Return an image with a frame of black and white around a part, whose place is given as shares."""
    image = image.clone()
    height, width = image.shape[-2:]
    left, top = int(mark[0] * width), int(mark[1] * height)
    right, bottom = left + max(1, int(mark[2] * width)), top + max(1, int(mark[3] * height))
    for grown, value in ((2 * _LINE, 0), (_LINE, 255)):
        ring = torch.zeros(height, width, dtype=torch.bool)
        ring[max(0, top - grown) : bottom + grown, max(0, left - grown) : right + grown] = True
        inner = grown - _LINE
        ring[max(0, top - inner) : bottom + inner, max(0, left - inner) : right + inner] = False
        image[:, ring] = value
    return image


def _fitted(image: Tensor, pixel: Fraction, width: int) -> Tensor:
    """Resize the whole frame to its shape on a screen, no wider than the picture and no higher than
    `TALLEST`.
    """
    height, columns = image.shape[-2:]
    shape = columns * float(pixel) / height
    rows = max(1, min(TALLEST, round(width / shape)))
    size = rows, max(1, min(width, round(rows * shape)))
    made = resize(image[None].to(torch.float32) / 255, height=size[0], width=size[1])[0]
    return (made.clamp(0, 1) * 255).round().to(torch.uint8)


def lines_of(notes: Sequence[str], width: int) -> list[str]:
    """Break sentences into lines of at most `width` pixels, between words."""
    lines: list[str] = []
    for note in notes:
        line = ""
        for word in note.split():
            longer = f"{line} {word}".strip()
            if line and text_mask(longer, width=10 * width).shape[-1] > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines


def _written(text: str, width: int) -> Tensor:
    """Return a line of black text on white, `(3, H, width)` uint8."""
    mask = text_mask(text, width=width)
    line = torch.full((3, mask.shape[0], width), 255, dtype=torch.uint8)
    line[:, :, : mask.shape[1]] = ((1 - mask) * 255).round().to(torch.uint8)
    return line


def _stacked(parts: Sequence[Tensor], width: int) -> Tensor:
    height = sum(part.shape[-2] + _GAP for part in parts) - _GAP
    canvas = torch.full((3, height, width), 255, dtype=torch.uint8)
    top = 0
    for part in parts:
        canvas[:, top : top + part.shape[-2], : part.shape[-1]] = part
        top += part.shape[-2] + _GAP
    return canvas
