"""Stages of degradation before any video codec.

All is drawn first, as a `Chain` of steps for each picture, from a `random.Random`; only noise is left to a
`torch.Generator`. So parameters can move slowly through a clip, and pictures whose steps have the same sizes
are computed as one batch.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from vsr.training.degrade import operations as op
from vsr.training.degrade.blur_kernels import STEPS as KERNEL_STEPS
from vsr.training.degrade.blur_kernels import Pace, draw_kernels, draw_sincs, draw_size, numbers, stack, walk
from vsr.training.degrade.degradation import Blur, Degradation, Final, Jpeg, JpegMode, Mode, Noise, Resize

STEPS = {
    **KERNEL_STEPS,
    "resize": 0.015,
    "resize_lr": 0.03,
    "sigma_noise": 0.1,
    "poisson": 0.005,
    "quality": 3.0,
}
"""Largest step of each parameter from picture to picture at a drift of 1, in the units of its setting: those
of RealBasicVSR (Chan et al., arXiv 2111.12704). `resize_lr` is for factors of the LR side."""


@dataclass(frozen=True, slots=True, eq=False)
class Blurring:
    """One picture is filtered."""

    kernel: Tensor
    """`(k, k)` float32 on the host."""


@dataclass(frozen=True, slots=True)
class Resizing:
    """One picture changes its size."""

    size: tuple[int, int]
    """Height and width in pixels."""
    mode: Mode
    antialias: bool


@dataclass(frozen=True, slots=True)
class Noising:
    """One picture gets noise."""

    kind: Literal["gaussian", "poisson"]
    level: float
    """In codes of 8 bits, or the factor of Poisson noise."""
    grey: bool


@dataclass(frozen=True, slots=True)
class Jpegging:
    """One picture is coded."""

    quality: float
    mode: JpegMode


Step = Blurring | Resizing | Noising | Jpegging
Chain = tuple[Step, ...]
"""What one picture goes through, in order."""
Column = Sequence[Step]
"""One step of all pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Height and width in pixels of what comes in and what shall come out."""

    hr: tuple[int, int]
    lr: tuple[int, int]


def draw_chains(degradation: Degradation, sizes: Sizes, pace: Pace, rng: random.Random) -> list[Chain]:
    """Draw what each picture goes through, from HR to LR size.

    Args:
        degradation: What to draw from.
        sizes: Of HR and LR pictures.
        pace: Number of pictures, and whether they are a clip. Unrelated pictures have their own kernels,
            noise and JPEG quality, but share the kinds of steps and the sizes, so that they are one batch.
        rng: All that is drawn is drawn from it.
    """
    columns: list[Column] = []
    for order in degradation.orders:
        columns += _blur(order.blur, pace, rng)
        columns += _resize(order.resize, sizes, pace, rng)
        columns += _noise(order.noise, pace, rng)
        columns += _jpeg(order.jpeg, pace, rng)
    last: list[Column] = [columns.pop()] if columns and isinstance(columns[-1][0], Jpegging) else []
    final = _final(degradation.final, sizes, pace, rng)
    late = bool(last) and rng.random() < degradation.final.after_jpeg
    columns += last + final if late else final + last
    return list(zip(*columns, strict=True))


def _blur(blur: Blur | None, pace: Pace, rng: random.Random) -> list[Column]:
    if blur is None or rng.random() >= blur.probability:
        return []
    return [[Blurring(kernel) for kernel in draw_kernels(blur, pace, rng)]]


def _resize(resize: Resize | None, sizes: Sizes, pace: Pace, rng: random.Random) -> list[Column]:
    if resize is None:
        return []
    mode = rng.choice(resize.modes)
    base = sizes.lr if resize.of == "lr" else sizes.hr
    step = STEPS["resize_lr" if resize.of == "lr" else "resize"]
    factors = _factors(resize, step, pace, rng)
    return [[Resizing(_scaled(base, factor), mode, resize.antialias) for factor in factors]]


def _factors(resize: Resize, step: float, pace: Pace, rng: random.Random) -> list[float]:
    """Of a clip, drifting; the same for unrelated pictures."""
    kind = rng.choices(("up", "down", "keep"), (resize.up, resize.down, 1 - resize.up - resize.down))[0]
    low, high = resize.factor
    start = {"up": rng.uniform(1, high), "down": rng.uniform(low, 1), "keep": 1.0}[kind]
    return walk(start, resize.factor, step, pace, rng)


def _scaled(size: tuple[int, int], factor: float) -> tuple[int, int]:
    return max(1, int(size[0] * factor)), max(1, int(size[1] * factor))


def _noise(noise: Noise | None, pace: Pace, rng: random.Random) -> list[Column]:
    if noise is None or rng.random() >= noise.probability:
        return []
    if rng.random() < noise.gaussian:
        kind: Literal["gaussian", "poisson"] = "gaussian"
        levels = numbers(noise.sigma, STEPS["sigma_noise"], pace, rng)
    else:
        kind, levels = "poisson", numbers(noise.poisson, STEPS["poisson"], pace, rng)
    greys = _flags(noise.grey, pace, rng)
    return [[Noising(kind, level, grey) for level, grey in zip(levels, greys, strict=True)]]


def _flags(share: float, pace: Pace, rng: random.Random) -> list[bool]:
    """Alike in a clip."""
    if pace.drift is None:
        return [rng.random() < share for _ in range(pace.count)]
    return [rng.random() < share] * pace.count


def _jpeg(jpeg: Jpeg | None, pace: Pace, rng: random.Random) -> list[Column]:
    if jpeg is None or rng.random() >= jpeg.probability:
        return []
    return [[Jpegging(quality, jpeg.mode) for quality in numbers(jpeg.quality, STEPS["quality"], pace, rng)]]


def _final(final: Final, sizes: Sizes, pace: Pace, rng: random.Random) -> list[Column]:
    columns: list[Column] = [[Resizing(sizes.lr, rng.choice(final.modes), final.antialias)] * pace.count]
    if rng.random() < final.sinc:
        columns.append([Blurring(kernel) for kernel in _final_sincs(final, pace, rng)])
    return columns


def _final_sincs(final: Final, pace: Pace, rng: random.Random) -> Tensor:
    cutoff = (math.pi / 3, math.pi)
    if pace.drift is not None:
        return draw_sincs(draw_size(final.sizes, rng), cutoff, pace, rng)
    one = Pace(1, 0.0)
    return stack([draw_sincs(draw_size(final.sizes, rng), cutoff, one, rng)[0] for _ in range(pace.count)])


def carry_out(images: Tensor, chains: Sequence[Chain], generator: torch.Generator) -> Tensor:
    """Send each picture through its chain.

    Args:
        images: `(N, 3, H, W)` float32 in [0, 1], on any device.
        chains: One for each picture; all end at one size.
        generator: Of the noise, on the pictures' device.

    Returns:
        `(N, 3, h, w)` float32, nominally [0, 1], on the same device.
    """
    results: dict[int, Tensor] = {}
    for members in _alike(chains):
        batch = images[members]
        for steps in zip(*(chains[i] for i in members), strict=True):
            batch = _CARRY[type(steps[0])](batch, steps, generator)
        results.update(zip(members, batch, strict=True))
    return torch.stack([results[i] for i in range(len(images))])


def _alike(chains: Sequence[Chain]) -> list[list[int]]:
    """Numbers of the pictures that can be computed together."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, chain in enumerate(chains):
        groups.setdefault(tuple(_geometry(step) for step in chain), []).append(i)
    return list(groups.values())


def _geometry(step: Step) -> tuple[Any, ...]:
    """What steps must share to be one batch."""
    if isinstance(step, Resizing):
        return (step,)
    if isinstance(step, Blurring):
        return (Blurring, len(step.kernel))
    return (type(step), step.kind if isinstance(step, Noising) else step.mode)


def _do_blur(images: Tensor, steps: Sequence[Blurring], _: torch.Generator) -> Tensor:
    return op.blur(images, torch.stack([step.kernel for step in steps]))


def _do_resize(images: Tensor, steps: Sequence[Resizing], _: torch.Generator) -> Tensor:
    return op.resize(images, steps[0].size, steps[0].mode, antialias=steps[0].antialias)


def _do_noise(images: Tensor, steps: Sequence[Noising], generator: torch.Generator) -> Tensor:
    add = op.gaussian_noise if steps[0].kind == "gaussian" else op.poisson_noise
    return add(images, [step.level for step in steps], [step.grey for step in steps], generator)


def _do_jpeg(images: Tensor, steps: Sequence[Jpegging], _: torch.Generator) -> Tensor:
    return op.jpeg(images, [step.quality for step in steps], steps[0].mode)


_CARRY: dict[type[Step], Callable[[Tensor, Any, torch.Generator], Tensor]] = {
    Blurring: _do_blur,
    Resizing: _do_resize,
    Noising: _do_noise,
    Jpegging: _do_jpeg,
}
"""Kind of step to what carries it out on a batch."""
