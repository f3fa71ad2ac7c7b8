"""Data augmentation: photographs are rotated and downscaled before clips are cut from them."""

from __future__ import annotations

import math
import random

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.training.degrade.degradation import Augmentation

_SHARP_FROM = 0.6
"""Ratio of the new side to the old from which a rotation uses bicubic interpolation. Below it, the reduction
hides the difference, and bilinear takes half the time."""


def augmented(image: Tensor, vary: Augmentation, *, side: int, rng: random.Random) -> Tensor:
    """Cut a random square from a photograph, rotated and downscaled as far as the photograph is large enough.

    Args:
        image: `(3, H, W)` uint8, on the CPU.
        vary: Ranges of the random values.
        side: Side of the square in pixels, at most H and W.
        rng: Source of all random values.

    Returns:
        `(3, side, side)` uint8; no pixel of it lies outside the photograph.
    """
    least = min(image.shape[1:])
    low = max(vary.reduction[0], side / least)
    reduction = rng.uniform(low, max(vary.reduction[1], low))
    limit = min(math.radians(vary.rotation), _room_to_turn(least * reduction / side))
    angle = rng.uniform(-limit, limit)
    before = min(least, round(side / reduction))
    window = _window(image, min(least, math.ceil(before * _reach(angle))), rng)
    sharp = reduction >= _SHARP_FROM
    square = _turned(window, angle, before, sharp=sharp) if angle else window[:, :before, :before]
    if before != side:
        square = F.interpolate(square[None], size=(side, side), mode="bicubic", antialias=True)[0]
    order = rng.sample(range(3), 3) if rng.random() < vary.channels else [0, 1, 2]
    return square[order]


def _reach(angle: float) -> float:
    """Return the side of the upright square around a rotated one, as a
    multiple of its side; up to 45 degrees."""
    return math.cos(angle) + math.sin(abs(angle))


def _room_to_turn(room: float) -> float:
    """Return the largest angle in radians, up to 45 degrees, whose `_reach` is at most `room`."""
    return (
        max(0.0, math.asin(min(1.0, room / math.sqrt(2))) - math.pi / 4)
        if room < math.sqrt(2)
        else math.pi / 4
    )


def _window(image: Tensor, side: int, rng: random.Random) -> Tensor:
    y, x = (rng.randint(0, length - side) for length in image.shape[1:])
    return image[:, y : y + side, x : x + side]


def _turned(window: Tensor, angle: float, side: int, *, sharp: bool) -> Tensor:
    """Return the rotated square with `side` pixels at the centre of a square window."""
    share = side / window.shape[-1]
    cos, sin = math.cos(angle) * share, math.sin(angle) * share
    grid = F.affine_grid(
        torch.tensor([[[cos, -sin, 0.0], [sin, cos, 0.0]]]), [1, 3, side, side], align_corners=False
    )
    mode = "bicubic" if sharp else "bilinear"
    found = F.grid_sample(
        window[None].float(), grid, mode=mode, padding_mode="border", align_corners=False
    )  # at the edge, some taps of the filter can lie a pixel outside
    return found[0].round_().clamp_(0, 255).to(torch.uint8)
