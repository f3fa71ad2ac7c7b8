"""Crops of clips: chooses their positions for a step and cuts them on
the CPU; `device_buffer` cuts on a GPU."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vsr.training.degrade.clips import Clip
from vsr.training.losses.temporal import follow
from vsr.training.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The crops of a step: float32, nominally [0, 1], channels_last."""

    lr: Tensor
    """`(N, 3, patch, patch)`."""
    hr: Tensor
    """`(N, 3, patch * scale, patch * scale)`: the target, sharpened if the recipe asks for it."""
    plain: Tensor
    """The target without sharpening, as a discriminator sees it; the same
    tensor as `hr` if nothing is sharpened."""
    shift: Tensor | None = None
    """`(N / 2, 2)` int64: crops 2i and 2i + 1 show the same content in two frames of a clip. The values are
    the offset of the content in the second crop from that in the first, in HR pixels down and right."""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors of the batch; one that serves two purposes is returned once."""
        plain = () if self.plain is self.hr else (self.plain,)
        return (self.lr, self.hr, *plain, *(() if self.shift is None else (self.shift,)))

    @property
    def kind(self) -> Hashable:
        """A key that is equal for batches that the same recorded step can take."""
        return tuple((tuple(t.shape), t.dtype) for t in self.tensors), self.plain is self.hr

    def batch(self, tensors: Sequence[Tensor]) -> Batch:
        """Return a batch of this kind made of other `tensors`."""
        lr, hr, *others = tensors
        plain = hr if self.plain is self.hr else others.pop(0)
        return Batch(lr=lr, hr=hr, plain=plain, shift=others[0] if others else None)

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return self.batch([t.to(device, non_blocking=True) for t in self.tensors])


@dataclass(frozen=True, slots=True)
class Place:
    """Position of a crop."""

    clip: int
    """Number of the clip."""
    frame: int
    """Number of the frame in the clip."""
    corner: tuple[int, int]
    """LR pixels from the top and from the left."""
    turn: int
    """Number of the square's symmetry, 0 to 7, that is applied to the crop."""


@dataclass(frozen=True, slots=True)
class Draw:
    """The crops that a step takes."""

    places: list[Place]
    shifts: list[tuple[int, int]] | None
    """Offsets of the pairs, see `Batch.shift`."""

    def part(self, crops: slice) -> Draw:
        """Return some of the crops; both numbers are even if there are pairs."""
        pairs = slice(crops.start // 2, crops.stop // 2)
        return Draw(self.places[crops], None if self.shifts is None else self.shifts[pairs])


def draw(clips: Sequence[Clip], recipe: Recipe, rng: random.Random) -> Draw:
    """Draw the positions of a step's crops, each with a random rotation or reflection."""
    numbers = range(len(clips))
    if recipe.losses.temporal:
        pairs = [_draw_pair(clips, rng.choice(numbers), recipe, rng) for _ in range(recipe.batch // 2)]
        return Draw([place for pair, _ in pairs for place in pair], [shift for _, shift in pairs])
    return Draw([_draw_one(clips, rng.choice(numbers), recipe, rng) for _ in range(recipe.batch)], None)


def _draw_one(clips: Sequence[Clip], number: int, recipe: Recipe, rng: random.Random) -> Place:
    clip = clips[number]
    return Place(number, rng.randrange(len(clip.lr)), _corner(clip, recipe, rng), rng.randrange(8))


def _draw_pair(
    clips: Sequence[Clip], number: int, recipe: Recipe, rng: random.Random
) -> tuple[list[Place], tuple[int, int]]:
    """Draw the same content in two frames of a clip, and return its offset between the two crops.

    If the motion of a clip is unknown, both crops come from the same frame, so nothing is compared over time.
    """
    clip = clips[number]
    corner, turn = _corner(clip, recipe, rng), rng.randrange(8)
    if clip.shift is None or len(clip.lr) < 2:
        place = Place(number, rng.randrange(len(clip.lr)), corner, turn)
        return [place, place], (0, 0)
    first, second = rng.sample(range(len(clip.lr)), 2)
    apart = clip.chosen[second] - clip.chosen[first]
    travel = (clip.shift[0] * apart, clip.shift[1] * apart)
    height, width = clip.lr.shape[-2:]
    view = follow(corner, travel, size=(height, width), patch=recipe.patch, scale=recipe.scale)
    places = [Place(number, first, corner, turn), Place(number, second, view.corner, turn)]
    return places, turned(view.shift, turn)


def _corner(clip: Clip, recipe: Recipe, rng: random.Random) -> tuple[int, int]:
    height, width = clip.lr.shape[-2:]
    return rng.randint(0, height - recipe.patch), rng.randint(0, width - recipe.patch)


def draw_batch(clips: Sequence[Clip], recipe: Recipe, rng: random.Random) -> Batch:
    """Draw crops of the clips and cut them on the CPU."""
    return cut(clips, draw(clips, recipe, rng), recipe)


def cut(clips: Sequence[Clip], drawn: Draw, recipe: Recipe) -> Batch:
    """Cut drawn crops on the CPU."""
    crops = [_crop(clips[place.clip], place, recipe) for place in drawn.places]
    lr = _stacked([crop[0] for crop in crops])
    hr = _stacked([crop[1] for crop in crops]).div_(255)
    sharpened = any(clips[place.clip].plain is not clips[place.clip].hr for place in drawn.places)
    plain = _stacked([crop[2] for crop in crops]).div_(255) if sharpened else hr
    shift = None if drawn.shifts is None else torch.tensor(drawn.shifts)
    return Batch(lr=lr, hr=hr, plain=plain, shift=shift)


def _crop(clip: Clip, place: Place, recipe: Recipe) -> tuple[Tensor, Tensor, Tensor]:
    """Return LR, target and target without sharpening of one crop."""
    (y, x), patch, scale = place.corner, recipe.patch, recipe.scale
    large = (slice(None), slice(scale * y, scale * (y + patch)), slice(scale * x, scale * (x + patch)))
    lr = clip.lr[place.frame, :, y : y + patch, x : x + patch]
    hr, plain = (images[place.frame][large] for images in (clip.hr, clip.plain))
    return turn(lr, place.turn), turn(hr, place.turn), turn(plain, place.turn)


def _stacked(crops: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(crops)).float().contiguous(memory_format=torch.channels_last)


def turn(crop: Tensor, number: int) -> Tensor:
    """Apply one of the eight symmetries of the square to `(C, H, W)`."""
    crop = crop.rot90(number % 4, (1, 2))
    return crop.flip(2) if number >= 4 else crop


def turned(vector: tuple[int, int], number: int) -> tuple[int, int]:
    """Return a (down, right) vector after the symmetry with this number was applied to its crop."""
    down, right = vector
    for _ in range(number % 4):
        down, right = -right, down  # rot90 moves (y, x) to (W - 1 - x, y)
    return (down, -right) if number >= 4 else (down, right)
