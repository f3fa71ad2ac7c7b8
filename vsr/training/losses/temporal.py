"""The temporal loss, and the position of a crop's content in another frame of a known pan.

`metrics.flicker` measures the flicker of a network in validation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vsr.metrics import overlap
from vsr.training.losses.loss_settings import CHARBONNIER_EPSILON, charbonnier


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Position of a crop in the second frame."""

    corner: tuple[int, int]
    """LR pixels from the top and from the left."""
    shift: tuple[int, int]
    """Offset of the content in this crop from that in the first crop, in HR pixels down and right."""


def consistency(sr_a: Tensor, sr_b: Tensor, shift: Tensor, *, border: int = 0) -> Tensor:
    """Return the difference between two SR images of the same content, after alignment, where both show it.

    Args:
        sr_a: `(N, 3, H, W)`, [0, 1], any float dtype; both images get a gradient.
        sr_b: The same shape and device.
        shift: `(N, 2)`, integers, HR pixels down and right: content at (y, x) in a is at (y, x) + shift in b.
        border: HR pixels to ignore at each side of both images, where the network saw its padding.

    Returns:
        Scalar, fp32: the mean of the images' Charbonnier distances, so that small and large overlaps have the
        same weight. For equal images it is `loss_settings.CHARBONNIER_EPSILON`, 1e-3.

    Raises:
        ValueError: The shapes differ, or a shift leaves nothing to compare.
    """
    if sr_a.shape != sr_b.shape or shift.shape != (len(sr_a), 2):
        shapes = f"{tuple(sr_a.shape)}, {tuple(sr_b.shape)} and shifts {tuple(shift.shape)}"
        raise ValueError(f"images of {shapes} do not match. Give (N, 3, H, W) twice and (N, 2)")
    if border:
        sr_a, sr_b = (sr[..., border:-border, border:-border] for sr in (sr_a, sr_b))
    moves = [(int(down), int(right)) for down, right in shift.tolist()]  # synchronises, once a batch
    terms = [charbonnier(*overlap(a, b, move)) for a, b, move in zip(sr_a, sr_b, moves, strict=True)]
    return torch.stack(terms).mean()


def consistency_on_device(sr_a: Tensor, sr_b: Tensor, shift: Tensor) -> Tensor:
    """Compute `consistency` without a border and without synchronisation, as a recorded step requires.

    The result differs only by rounding. A shift that leaves nothing to compare counts as no difference.
    """
    height, width = sr_a.shape[-2:]
    down, right = shift[:, 0, None], shift[:, 1, None]
    rows = torch.arange(height, device=shift.device) + down
    columns = torch.arange(width, device=shift.device) + right
    shown = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
    places = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None]
    moved = sr_b.float().flatten(2).gather(2, places.flatten(1)[:, None].expand(-1, sr_b.shape[1], -1))
    distance = ((sr_a.float() - moved.view_as(sr_a)).square() + CHARBONNIER_EPSILON**2).sqrt()
    counted = distance.masked_fill(~shown[:, None], 0.0).sum((1, 2, 3))
    return (counted / (shown.sum((1, 2)) * sr_a.shape[1]).clamp(min=1)).mean()


def follow(
    corner: tuple[int, int], travel: tuple[int, int], *, size: tuple[int, int], patch: int, scale: int
) -> View:
    """Find the crop of a later frame of a pan that shows almost the same content.

    The crop follows the pan to the nearest LR pixel, within the frame. The remaining
    fraction of an LR pixel moves the content relative to the LR grid, and the loss is low
    only if the network's output is stable under it.

    Args:
        corner: Position of the crop in this frame: LR pixels from the top and from the left.
        travel: HR pixels, down and right, that the window moved between the frames, see `clips.pan`; the
            content moved in the opposite direction.
        size: Height and width of the LR frames.
        patch: Side of the crop in LR pixels, at most that of the frames.
        scale: HR side / LR side.
    """
    rows, columns = (
        _follow_axis(*axis, patch=patch, scale=scale) for axis in zip(corner, travel, size, strict=True)
    )
    return View(corner=(rows[0], columns[0]), shift=(rows[1], columns[1]))


def _follow_axis(corner: int, travel: int, side: int, *, patch: int, scale: int) -> tuple[int, int]:
    """Return corner and shift along one axis."""
    there = min(max(corner - round(travel / scale), 0), side - patch)
    return there, -travel - (there - corner) * scale
