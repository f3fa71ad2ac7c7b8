"""Clips in the memory of the GPU that trains, and batches that are cut there.

The crops equal those of `crops.cut` to the bit. LR frames are float16 and HR frames uint8, as in
clips. A recorded step (a CUDA graph) can do the cutting, because the clips stay at the same
address and new ones overwrite the oldest.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vsr.training.batches.crops import Batch, Draw, turn
from vsr.training.degrade.clips import Clip
from vsr.training.recipe import Recipe


class ClipBuffer:
    """A buffer on the GPU for as many clips as a pool holds, all of one shape."""

    def __init__(self, clip: Clip, recipe: Recipe, device: torch.device) -> None:
        """Allocate the buffer for clips of the shape of this one."""
        self._recipe = recipe
        self._shape = _shape(clip)
        self._added = 0
        count = recipe.pool.clips
        self._lr = torch.empty((count, *clip.lr.shape), dtype=clip.lr.dtype, device=device)
        self._hr = torch.empty((count, *clip.hr.shape), dtype=clip.hr.dtype, device=device)
        self._plain = self._hr if clip.plain is clip.hr else torch.empty_like(self._hr)
        self._lr_steps = _steps(recipe.patch, self._lr).to(device)
        self._hr_steps = _steps(recipe.patch * recipe.scale, self._hr).to(device)
        # A tensor, since a GPU divides by the number 255 through its reciprocal, which rounds differently.
        self._white = torch.tensor(255.0, device=device)

    def fits(self, clip: Clip) -> bool:
        """Return whether a clip has the buffer's shape."""
        return _shape(clip) == self._shape

    def add(self, clip: Clip) -> None:
        """Overwrite the oldest clip; the copy is asynchronous if the clip's memory is pinned."""
        place = self._added % self._recipe.pool.clips
        self._lr[place].copy_(clip.lr, non_blocking=True)
        self._hr[place].copy_(clip.hr, non_blocking=True)
        if self._plain is not self._hr:
            self._plain[place].copy_(clip.plain, non_blocking=True)
        self._added += 1

    def rows(self, drawn: Draw) -> Tensor:
        """Return the table of a draw from a full buffer: `(N, 5)` int64,
        on the CPU; the oldest clip is number 0.

        The columns are the start of the LR crop in memory, the start of the HR crop, the symmetry, and the
        two components of the pair's offset.
        """
        shifts = drawn.shifts or [(0, 0)] * len(drawn.places)
        table = []
        for i, place in enumerate(drawn.places):
            frame_number = (self._added + place.clip) % self._recipe.pool.clips * self._lr.shape[
                1
            ] + place.frame
            shift = shifts[i // 2] if drawn.shifts else (0, 0)
            table.append([*self._starts(frame_number, place.corner), place.turn, *shift])
        return torch.tensor(table)

    def _starts(self, frame_number: int, corner: tuple[int, int]) -> tuple[int, int]:
        (height, width), (y, x), scale = self._lr.shape[-2:], corner, self._recipe.scale
        lr = (3 * frame_number * height + y) * width + x
        return lr, (3 * frame_number * scale * height + scale * y) * scale * width + scale * x

    def cut(self, rows: Tensor) -> Batch:
        """Cut the crops of a table on the GPU, with a few kernels and without synchronisation."""
        lr = _gathered(self._lr, rows[:, 0], rows[:, 2], self._lr_steps).float()
        large = rows[:, 1], rows[:, 2], self._hr_steps
        hr = _gathered(self._hr, *large).float() / self._white
        plain = hr if self._plain is self._hr else _gathered(self._plain, *large).float() / self._white
        return Batch(
            lr=lr, hr=hr, plain=plain, shift=rows[0::2, 3:] if self._recipe.losses.temporal else None
        )


@dataclass(frozen=True, slots=True)
class BufferedBatch:
    """The crops of a step that are not cut yet; it has the interface of `Batch`."""

    buffer: ClipBuffer
    rows: Tensor

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (self.rows,)

    @property
    def kind(self) -> Hashable:
        return id(self.buffer), tuple(self.rows.shape)

    def batch(self, tensors: Sequence[Tensor]) -> Batch:
        return self.buffer.cut(tensors[0])


def buffer_bytes(clip: Clip, recipe: Recipe) -> int:
    """Return the bytes of GPU memory that a buffer for clips like this one needs."""
    tensors = [clip.lr, clip.hr] if clip.plain is clip.hr else [clip.lr, clip.hr, clip.plain]
    return recipe.pool.clips * sum(t.numel() * t.element_size() for t in tensors)


def _shape(clip: Clip) -> Hashable:
    return tuple(clip.lr.shape), tuple(clip.hr.shape), clip.plain is clip.hr


def _steps(side: int, images: Tensor) -> Tensor:
    """Return the offset in memory of each sample of a crop from the corner, by
    symmetry: `(8, side * side * 3)` int64."""
    height, width = images.shape[-2:]
    corner = torch.arange(side)[:, None] * width + torch.arange(side)
    turns = torch.stack([turn(corner[None], number)[0] for number in range(8)])
    return (turns[..., None] + torch.arange(3) * height * width).flatten(1)


def _gathered(images: Tensor, starts: Tensor, turns: Tensor, steps: Tensor) -> Tensor:
    """Gather square crops `(N, 3, side, side)`, channels_last, in the dtype of the images."""
    side = round((steps.shape[1] / 3) ** 0.5)
    found = torch.take(images, starts[:, None] + steps[turns])
    return found.view(-1, side, side, 3).permute(0, 3, 1, 2)
