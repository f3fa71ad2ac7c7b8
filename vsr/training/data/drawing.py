"""The interface of all datasets: random clips to train on or to validate with.

No file is read here. `datasets` opens the sources, and `image_folder`, `footage` and `pairs` implement them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from vsr.training.degrade.degradation import Augmentation

MIN_LR = 64
"""Smallest side of a clip in LR pixels. libx265 writes outside its memory for smaller frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A clip that was drawn from a dataset."""

    hr: Tensor
    """`(T, 3, H, W)` uint8, R'G'B', full range, on the CPU. H and W are `Geometry.size`; for a smaller video,
    they are the largest multiples of `Geometry.unit`."""
    lr: Tensor | None = None
    """`(T, 3, H / scale, W / scale)` uint8 if the dataset has its own LR frames, otherwise None."""
    shift: tuple[int, int] | None = None
    """HR pixels (down, right) by which the window moves over a photograph from one frame to the next: content
    at `(y, x)` is at `(y - down, x - right)` in the next frame. None for real motion."""
    kind: str = ""
    """Kind of content, named by the dataset (`photo`, `drawing`, `video`); each is validated separately."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Shape of the clips that a dataset draws."""

    size: int
    """Side of an HR frame, a multiple of `unit`."""
    frames: int
    """Frames of a clip."""
    speed: int
    """Highest speed of a pan over a photograph along each axis, in HR pixels a frame."""
    scale: int
    """HR side / LR side."""
    vary: Augmentation | None = None
    """Augmentation of photographs; None in the held-out part."""

    def __post_init__(self) -> None:
        if self.frames < 1 or self.scale < 1 or self.speed < 0:
            raise ValueError(f"{self.frames = } and {self.scale = } must be >= 1, {self.speed = } >= 0")
        if self.size < 1 or self.size % self.unit:
            raise ValueError(f"{self.size = } must be a multiple of {self.unit} (2 x scale)")

    @property
    def unit(self) -> int:
        """Divisor of all HR sides, which makes LR sides even, as 4:2:0 requires."""
        return 2 * self.scale

    @property
    def least(self) -> int:
        """Smallest accepted side of HR frames, for sources smaller than `size`."""
        return min(self.size, MIN_LR * self.scale)


class Dataset(Protocol):
    """A source of clips. `draw` depends on `rng` alone, so that a resumed run sees the same clips."""

    @property
    def name(self) -> str:
        """File or folder and the amount of data in it, for the model card and the log."""
        ...

    @property
    def licences(self) -> str:
        """Licences as the source states them; empty if it states none."""
        ...

    @property
    def pixels(self) -> int:
        """Amount of content, which decides how often one of several datasets is drawn. A photograph counts
        all its pixels. Of a video, the frames of a clip count as one."""
        ...

    @property
    def kinds(self) -> frozenset[str]:
        """The possible values of `Sample.kind`."""
        ...

    def draw(self, rng: random.Random) -> Sample:
        """Draw a clip; all random values come from `rng`.

        Raises:
            InputError: The source can no longer be read.
        """
        ...


@runtime_checkable
class ReadInParts(Protocol):
    """A dataset of which only a part is on this machine at a time."""

    def at(self, number: int, i: int, fresh: int) -> Dataset:
        """Return the part for clip `i` of the `fresh` clips of a round."""
        ...


def part_for(dataset: Dataset, number: int, i: int, fresh: int) -> Dataset:
    """Return the dataset for clip `i` of a round: itself, unless it is read in parts."""
    if isinstance(dataset, Mixture):
        return Mixture(tuple(part_for(part, number, i, fresh) for part in dataset.parts))
    return dataset.at(number, i, fresh) if isinstance(dataset, ReadInParts) else dataset


@dataclass(frozen=True, slots=True)
class Mixture:
    """Several datasets, each drawn in proportion to its `pixels`."""

    parts: tuple[Dataset, ...]

    @property
    def name(self) -> str:
        return "; ".join(part.name for part in self.parts)

    @property
    def licences(self) -> str:
        return "; ".join(dict.fromkeys(part.licences for part in self.parts if part.licences))

    @property
    def pixels(self) -> int:
        return sum(part.pixels for part in self.parts)

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(kind for part in self.parts for kind in part.kinds)

    def draw(self, rng: random.Random) -> Sample:
        return rng.choices(self.parts, [part.pixels for part in self.parts])[0].draw(rng)


@dataclass(frozen=True, slots=True)
class Pan:
    """Start and speed of a window in whole pixels; pairs are (vertical, horizontal)."""

    start: tuple[int, int]
    step: tuple[int, int]

    def times(self, scale: int) -> Pan:
        """Return the same pan over an image `scale` times as large."""
        (y, x), (down, right) = self.start, self.step
        return Pan((y * scale, x * scale), (down * scale, right * scale))


def draw_pan(room: Sequence[int], frames: int, speed: int, rng: random.Random) -> Pan:
    """Draw a pan that stays inside an image.

    Args:
        room: Height and width of the image minus those of the window, in pixels.
        frames: Frames of the clip.
        speed: Highest speed along each axis in pixels a frame.
        rng: Source of all random values.
    """
    starts, steps = [], []
    for free in room:
        limit = min(speed, free // max(1, frames - 1))
        step = rng.randint(-limit, limit)
        travel = step * (frames - 1)
        starts.append(rng.randint(max(0, -travel), free - max(0, travel)))
        steps.append(step)
    return Pan((starts[0], starts[1]), (steps[0], steps[1]))


def cut_pan(image: Tensor, pan: Pan, size: tuple[int, int], frames: int) -> Tensor:
    """Cut the clip that a pan over `image` `(3, H, W)` shows: `(T, 3, *size)`."""
    (y, x), (down, right) = pan.start, pan.step
    corners = [(y + down * i, x + right * i) for i in range(frames)]
    return torch.stack([image[:, top : top + size[0], left : left + size[1]] for top, left in corners])
