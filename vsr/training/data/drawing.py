"""The interface of all datasets: clips that are drawn, clips that are held out.

No file is read here. `material` opens sources; `data`, `footage` and `pairs` are the sources.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vsr.training.degrade.degradation import Vary

MIN_LR = 64
"""LR pixels: the smallest side of a clip that is used. libx265 writes beyond its memory on less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A clip to train on."""

    hr: Tensor
    """`(T, 3, H, W)` uint8, R'G'B', full range, on the host. H and W are `Geometry.size`, or the largest
    multiples of `Geometry.unit` that a smaller video has."""
    lr: Tensor | None = None
    """`(T, 3, H / scale, W / scale)` uint8 where the source has its own LR pictures, else None."""
    shift: tuple[int, int] | None = None
    """HR pixels (down, right) that the window moves over a still photograph from one picture to the next:
    content at `(y, x)` is at `(y - down, x - right)` in the next picture. None for real motion."""
    kind: str = ""
    """Of material, as its source calls it (`photo`, `drawing`, `video`), so that each is measured apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """The shape of the clips that are drawn."""

    size: int
    """Side of an HR picture, a multiple of `unit`."""
    frames: int
    """Pictures in a clip."""
    speed: int
    """Largest pan over a photograph along each axis, in HR pixels a picture."""
    scale: int
    """HR side over LR side."""
    vary: Vary | None = None
    """How photographs are changed first, but for those held out."""

    def __post_init__(self) -> None:
        if self.frames < 1 or self.scale < 1 or self.speed < 0:
            raise ValueError(f"{self.frames = } and {self.scale = } must be >= 1, {self.speed = } >= 0")
        if self.size < 1 or self.size % self.unit:
            raise ValueError(f"{self.size = } must be a multiple of {self.unit} (2 x scale)")

    @property
    def unit(self) -> int:
        """Sides are multiples of it, so that LR sides are even: 4:2:0 needs that."""
        return 2 * self.scale

    @property
    def least(self) -> int:
        """Smallest side of HR pictures that is accepted where a source has less than `size`."""
        return min(self.size, MIN_LR * self.scale)


class Material(Protocol):
    """A source of clips. What `draw` gives depends on `rng` alone, so that a resumed run sees the same."""

    @property
    def name(self) -> str:
        """For the model card and the log: file or folder, and how much there is of it."""
        ...

    @property
    def licences(self) -> str:
        """As the source states them; empty where it states none."""
        ...

    @property
    def pixels(self) -> int:
        """How much there is to see, which decides how often a source is drawn among several: a photograph
        counts all its pixels; of a video, pictures that are in one clip together count once."""
        ...

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of its samples."""
        ...

    def draw(self, rng: random.Random) -> Sample:
        """Draw a clip; all that is random is drawn from `rng`.

        Raises:
            InputError: the source cannot be read any more.
        """
        ...


@dataclass(frozen=True, slots=True)
class Mixture:
    """Several materials, each drawn in proportion to its `pixels`."""

    parts: tuple[Material, ...]

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
    """A window of even, whole-pixel speed; pairs are (vertical, horizontal)."""

    start: tuple[int, int]
    step: tuple[int, int]

    def times(self, scale: int) -> Pan:
        """The same pan over a picture `scale` times as large."""
        (y, x), (down, right) = self.start, self.step
        return Pan((y * scale, x * scale), (down * scale, right * scale))


def draw_pan(room: Sequence[int], frames: int, speed: int, rng: random.Random) -> Pan:
    """Draw a pan that stays inside a picture.

    Args:
        room: Height and width of the picture less those of the window, in pixels.
        frames: Pictures in the clip.
        speed: Largest step along each axis in pixels.
        rng: All that is drawn is drawn from it.
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
    """The clip that a pan over `image` `(3, H, W)` shows: `(T, 3, *size)`."""
    (y, x), (down, right) = pan.start, pan.step
    corners = [(y + down * i, x + right * i) for i in range(frames)]
    return torch.stack([image[:, top : top + size[0], left : left + size[1]] for top, left in corners])
