"""A loss for stability in time. Here are the loss, and where in a known pan the second view of a crop lies.

What a flickering network costs at validation is `metrics.flicker`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vsr.metrics import overlap
from vsr.training.losses.loss_settings import CHARBONNIER_EPSILON, charbonnier


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A crop of the second picture."""

    corner: tuple[int, int]
    """LR pixels from the top and from the left."""
    shift: tuple[int, int]
    """HR pixels, down and right, by which content lies further in this crop than in the first."""


def consistency(sr_a: Tensor, sr_b: Tensor, shift: Tensor, *, border: int = 0) -> Tensor:
    """How far apart two SR pictures of one content are, after alignment, where both show it.

    Args:
        sr_a: `(N, 3, H, W)`, [0, 1], any float dtype; the gradient goes to both.
        sr_b: The same shape and device.
        shift: `(N, 2)`, integers, HR pixels down and right: what is at (y, x) in a is at (y, x) + shift in b.
        border: HR pixels left out at each side of both pictures: there the network saw its padding, in
            different places of the content.

    Returns:
        fp32, no dimensions: the mean over pictures of each one's Charbonnier distance, so that small overlaps
        count as much as large ones. At equality it is `losses.CHARBONNIER_EPSILON`, 1e-3.

    Raises:
        ValueError: The shapes differ, or a shift leaves nothing to compare.
    """
    if sr_a.shape != sr_b.shape or shift.shape != (len(sr_a), 2):
        shapes = f"{tuple(sr_a.shape)}, {tuple(sr_b.shape)} and shifts {tuple(shift.shape)}"
        raise ValueError(f"pictures of {shapes} do not go together; (N, 3, H, W) twice and (N, 2) needed")
    if border:
        sr_a, sr_b = (sr[..., border:-border, border:-border] for sr in (sr_a, sr_b))
    moves = [(int(down), int(right)) for down, right in shift.tolist()]  # waits for the device, once a batch
    terms = [charbonnier(*overlap(a, b, move)) for a, b, move in zip(sr_a, sr_b, moves, strict=True)]
    return torch.stack(terms).mean()


def consistency_on_device(sr_a: Tensor, sr_b: Tensor, shift: Tensor) -> Tensor:
    """`consistency` without a border and without the host, which a recorded step needs.

    The same number but for rounding. A shift that leaves nothing counts as no difference.
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
    """Where in a later picture of a pan a crop shows nearly what it shows here.

    It follows the pan to the nearest LR pixel, as far as the picture goes. What is left, a part of an LR
    pixel, moves the content against the LR grid: only a network that is steady under that passes the loss.

    Args:
        corner: Of the crop in this picture: LR pixels from the top and from the left.
        travel: HR pixels, down and right, by which the window moved between the pictures, see `degrade.pan`;
            the content moved the other way.
        size: Height and width of the LR pictures.
        patch: Side of the crop in LR pixels, at most that of the pictures.
        scale: HR side over LR side.
    """
    rows, columns = (
        _follow_axis(*axis, patch=patch, scale=scale) for axis in zip(corner, travel, size, strict=True)
    )
    return View(corner=(rows[0], columns[0]), shift=(rows[1], columns[1]))


def _follow_axis(corner: int, travel: int, side: int, *, patch: int, scale: int) -> tuple[int, int]:
    """Corner and shift along one axis."""
    there = min(max(corner - round(travel / scale), 0), side - patch)
    return there, -travel - (there - corner) * scale
