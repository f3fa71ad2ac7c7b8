"""Clips on the GPU that trains, and batches cut there.

Crops have the bits of `crops.cut`: LR pictures are float16 and HR pictures uint8, as clips are. A recorded
step can cut for itself: the clips stay where they are in memory, and new ones are written over the oldest.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vsr.training.batches.crops import Batch, Draw, turn
from vsr.training.degrade.clips import Clip
from vsr.training.recipe import Recipe


class Shelf:
    """Room for as many clips as a pool holds, all of one shape."""

    def __init__(self, clip: Clip, recipe: Recipe, device: torch.device) -> None:
        """Make room for clips like this one."""
        self._recipe = recipe
        self._shape = _shape(clip)
        self._put = 0
        count = recipe.pool.clips
        self._lr = torch.empty((count, *clip.lr.shape), dtype=clip.lr.dtype, device=device)
        self._hr = torch.empty((count, *clip.hr.shape), dtype=clip.hr.dtype, device=device)
        self._plain = self._hr if clip.plain is clip.hr else torch.empty_like(self._hr)
        self._lr_steps = _steps(recipe.patch, self._lr).to(device)
        self._hr_steps = _steps(recipe.patch * recipe.scale, self._hr).to(device)
        # Not the number 255: a card multiplies by its reciprocal, which is not the same division.
        self._white = torch.tensor(255.0, device=device)

    def takes(self, clip: Clip) -> bool:
        """Whether it is of the same shape."""
        return _shape(clip) == self._shape

    def put(self, clip: Clip) -> None:
        """Write a clip over the oldest; the copy does not wait where the clip's memory is pinned."""
        place = self._put % self._recipe.pool.clips
        self._lr[place].copy_(clip.lr, non_blocking=True)
        self._hr[place].copy_(clip.hr, non_blocking=True)
        if self._plain is not self._hr:
            self._plain[place].copy_(clip.plain, non_blocking=True)
        self._put += 1

    def rows(self, drawn: Draw) -> Tensor:
        """The table of a draw from a full shelf: `(N, 5)` int64, on the host; the oldest clip is number 0.

        Columns: where in memory the LR crop begins, and the HR crop, its turn, and its pair's shift.
        """
        shifts = drawn.shifts or [(0, 0)] * len(drawn.places)
        table = []
        for i, place in enumerate(drawn.places):
            picture = (self._put + place.clip) % self._recipe.pool.clips * self._lr.shape[1] + place.frame
            shift = shifts[i // 2] if drawn.shifts else (0, 0)
            table.append([*self._starts(picture, place.corner), place.turn, *shift])
        return torch.tensor(table)

    def _starts(self, picture: int, corner: tuple[int, int]) -> tuple[int, int]:
        (height, width), (y, x), scale = self._lr.shape[-2:], corner, self._recipe.scale
        lr = (3 * picture * height + y) * width + x
        return lr, (3 * picture * scale * height + scale * y) * scale * width + scale * x

    def cut(self, rows: Tensor) -> Batch:
        """The crops of a table on the device: a few kernels, none of which waits."""
        lr = _gathered(self._lr, rows[:, 0], rows[:, 2], self._lr_steps).float()
        large = rows[:, 1], rows[:, 2], self._hr_steps
        hr = _gathered(self._hr, *large).float() / self._white
        plain = hr if self._plain is self._hr else _gathered(self._plain, *large).float() / self._white
        return Batch(
            lr=lr, hr=hr, plain=plain, shift=rows[0::2, 3:] if self._recipe.losses.temporal else None
        )


@dataclass(frozen=True, slots=True)
class Cut:
    """The crops of a step that are still on a shelf; stands where a `Batch` may, see there."""

    shelf: Shelf
    rows: Tensor

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (self.rows,)

    @property
    def kind(self) -> Hashable:
        return id(self.shelf), tuple(self.rows.shape)

    def batch(self, tensors: Sequence[Tensor]) -> Batch:
        return self.shelf.cut(tensors[0])


def room(clip: Clip, recipe: Recipe) -> int:
    """Bytes that a shelf takes of a device."""
    tensors = [clip.lr, clip.hr] if clip.plain is clip.hr else [clip.lr, clip.hr, clip.plain]
    return recipe.pool.clips * sum(t.numel() * t.element_size() for t in tensors)


def _shape(clip: Clip) -> Hashable:
    return tuple(clip.lr.shape), tuple(clip.hr.shape), clip.plain is clip.hr


def _steps(side: int, images: Tensor) -> Tensor:
    """How far in memory each sample of a crop is from its corner, by turn: `(8, side * side * 3)` int64."""
    height, width = images.shape[-2:]
    corner = torch.arange(side)[:, None] * width + torch.arange(side)
    turns = torch.stack([turn(corner[None], number)[0] for number in range(8)])
    return (turns[..., None] + torch.arange(3) * height * width).flatten(1)


def _gathered(images: Tensor, starts: Tensor, turns: Tensor, steps: Tensor) -> Tensor:
    """Square crops `(N, 3, side, side)`, channels_last, in the pictures' dtype."""
    side = round((steps.shape[1] / 3) ** 0.5)
    found = torch.take(images, starts[:, None] + steps[turns])
    return found.view(-1, side, side, 3).permute(0, 3, 1, 2)
