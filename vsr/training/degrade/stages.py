"""Degradation steps before the video codecs.

All parameters are drawn first from a `random.Random`, as a `Chain` of steps for each frame; only noise values
come from a `torch.Generator`. Parameters can therefore drift slowly through a clip, and frames whose steps
have the same sizes are computed as one batch.
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
from vsr.training.degrade.blur_kernels import (
    FrameGroup,
    draw_kernels,
    draw_parameter,
    draw_sincs,
    draw_size,
    stack,
    walk,
)
from vsr.training.degrade.degradation import (
    Blur,
    Degradation,
    Final,
    Halo,
    Jpeg,
    JpegMode,
    Mode,
    Noise,
    Resize,
)

STEPS = {
    **KERNEL_STEPS,
    "resize": 0.015,
    "resize_lr": 0.03,
    "sigma_noise": 0.1,
    "poisson": 0.005,
    "quality": 3.0,
}
"""Largest change of each parameter from frame to frame at a drift of 1, in the unit of its setting, as in
RealBasicVSR (Chan et al., arXiv 2111.12704). `resize_lr` is for factors on the LR side."""


@dataclass(frozen=True, slots=True, eq=False)
class BlurStep:
    """Blur of one frame."""

    kernel: Tensor
    """`(k, k)` float32 on the CPU."""


@dataclass(frozen=True, slots=True)
class ResizeStep:
    """Resizing of one frame."""

    size: tuple[int, int]
    """Height and width in pixels."""
    mode: Mode
    antialias: bool


@dataclass(frozen=True, slots=True)
class NoiseStep:
    """Noise on one frame."""

    kind: Literal["gaussian", "poisson"]
    level: float
    """8-bit code values, or the factor of Poisson noise."""
    grey: bool


@dataclass(frozen=True, slots=True)
class JpegStep:
    """JPEG compression of one frame."""

    quality: float
    mode: JpegMode


Step = BlurStep | ResizeStep | NoiseStep | JpegStep
Chain = tuple[Step, ...]
"""All steps of one frame, in order."""
Column = Sequence[Step]
"""One step of all frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Height and width in pixels of the input and of the output."""

    hr: tuple[int, int]
    lr: tuple[int, int]


def draw_chains(degradation: Degradation, sizes: Sizes, group: FrameGroup, rng: random.Random) -> list[Chain]:
    """Draw the steps of each frame, from HR to LR size.
    Args:
        degradation: Ranges of the random values.
        sizes: Sizes of HR and LR.
        group: Number of frames, and whether they form a clip. Unrelated images have their own kernels, noise
            and JPEG quality, but the same kinds of steps and sizes, so that they form one batch.
        rng: Source of all random values.
    """
    columns: list[Column] = []
    for order in degradation.orders:
        columns += _blur(order.blur, group, rng)
        columns += _resize(order.resize, sizes, group, rng)
        columns += _noise(order.noise, group, rng)
        columns += _jpeg(order.jpeg, group, rng)
    last: list[Column] = [columns.pop()] if columns and isinstance(columns[-1][0], JpegStep) else []
    final = _final(degradation.final, sizes, group, rng)
    jpeg_first = bool(last) and rng.random() < degradation.final.after_jpeg
    columns += last + final if jpeg_first else final + last
    return list(zip(*columns, strict=True))


def _blur(blur: Blur | None, group: FrameGroup, rng: random.Random) -> list[Column]:
    if blur is None or rng.random() >= blur.probability:
        return []
    return [[BlurStep(kernel) for kernel in draw_kernels(blur, group, rng)]]


def _resize(resize: Resize | None, sizes: Sizes, group: FrameGroup, rng: random.Random) -> list[Column]:
    if resize is None:
        return []
    mode = rng.choice(resize.modes)
    base = sizes.lr if resize.of == "lr" else sizes.hr
    step = STEPS["resize_lr" if resize.of == "lr" else "resize"]
    factors = _factors(resize, step, group, rng)
    return [[ResizeStep(_scaled(base, factor), mode, resize.antialias) for factor in factors]]


def _factors(resize: Resize, step: float, group: FrameGroup, rng: random.Random) -> list[float]:
    """Return factors that drift through a clip; unrelated images have the same factor."""
    kind = rng.choices(("up", "down", "keep"), (resize.up, resize.down, 1 - resize.up - resize.down))[0]
    low, high = resize.factor
    start = {"up": rng.uniform(1, high), "down": rng.uniform(low, 1), "keep": 1.0}[kind]
    return walk(start, resize.factor, step, group, rng)


def _scaled(size: tuple[int, int], factor: float) -> tuple[int, int]:
    return max(1, int(size[0] * factor)), max(1, int(size[1] * factor))


def _noise(noise: Noise | None, group: FrameGroup, rng: random.Random) -> list[Column]:
    if noise is None or rng.random() >= noise.probability:
        return []
    if rng.random() < noise.gaussian:
        kind: Literal["gaussian", "poisson"] = "gaussian"
        levels = draw_parameter(noise.sigma, STEPS["sigma_noise"], group, rng)
    else:
        kind, levels = "poisson", draw_parameter(noise.poisson, STEPS["poisson"], group, rng)
    greys = _flags(noise.grey, group, rng)
    return [[NoiseStep(kind, level, grey) for level, grey in zip(levels, greys, strict=True)]]


def _flags(share: float, group: FrameGroup, rng: random.Random) -> list[bool]:
    """Draw a flag for each unrelated image, or one for all frames of a clip."""
    if group.drift is None:
        return [rng.random() < share for _ in range(group.count)]
    return [rng.random() < share] * group.count


def _jpeg(jpeg: Jpeg | None, group: FrameGroup, rng: random.Random) -> list[Column]:
    if jpeg is None or rng.random() >= jpeg.probability:
        return []
    return [
        [
            JpegStep(quality, jpeg.mode)
            for quality in draw_parameter(jpeg.quality, STEPS["quality"], group, rng)
        ]
    ]


def _final(final: Final, sizes: Sizes, group: FrameGroup, rng: random.Random) -> list[Column]:
    columns: list[Column] = [[ResizeStep(sizes.lr, rng.choice(final.modes), final.antialias)] * group.count]
    if rng.random() < final.sinc:
        columns.append([BlurStep(kernel) for kernel in _final_sincs(final, group, rng)])
    return columns + _halo(final.halo, group, rng)


def _halo(halo: Halo | None, group: FrameGroup, rng: random.Random) -> list[Column]:
    if halo is None or rng.random() >= halo.probability:
        return []
    sigma, weight = rng.uniform(*halo.sigma), rng.uniform(*halo.weight)
    return [[BlurStep(sharpening_kernel(sigma, weight))] * group.count]


def sharpening_kernel(sigma: float, weight: float) -> Tensor:
    """Return unsharp masking as one kernel: `image + weight * (image - blurred)`; it sums to 1.

    Args:
        sigma: Standard deviation of the blur, in pixels.
        weight: Factor on the difference.

    Returns:
        `(k, k)` float32 with k odd, three standard deviations to each side.
    """
    reach = math.ceil(3 * sigma)
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma).square())
    kernel = -weight * torch.outer(line, line) / line.sum().square()
    kernel[reach, reach] += 1 + weight
    return kernel


def _final_sincs(final: Final, group: FrameGroup, rng: random.Random) -> Tensor:
    cutoff = (math.pi / 3, math.pi)
    if group.drift is not None:
        return draw_sincs(draw_size(final.sizes, rng), cutoff, group, rng)
    one = FrameGroup(1, 0.0)
    return stack([draw_sincs(draw_size(final.sizes, rng), cutoff, one, rng)[0] for _ in range(group.count)])


def apply_chains(images: Tensor, chains: Sequence[Chain], generator: torch.Generator) -> Tensor:
    """Apply its chain to each frame.

    Args:
        images: `(N, 3, H, W)` float32 in [0, 1], on any device.
        chains: One for each frame; all have the same output size.
        generator: Source of the noise, on the images' device.

    Returns:
        `(N, 3, h, w)` float32, nominally [0, 1], on the same device.
    """
    results: dict[int, Tensor] = {}
    for members in _alike(chains):
        batch = images[members]
        for steps in zip(*(chains[i] for i in members), strict=True):
            batch = _APPLY[type(steps[0])](batch, steps, generator)
        results.update(zip(members, batch, strict=True))
    return torch.stack([results[i] for i in range(len(images))])


def _alike(chains: Sequence[Chain]) -> list[list[int]]:
    """Group the numbers of the frames that can be computed together."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, chain in enumerate(chains):
        groups.setdefault(tuple(_geometry(step) for step in chain), []).append(i)
    return list(groups.values())


def _geometry(step: Step) -> tuple[Any, ...]:
    """Return the part of a step that must be equal within a batch."""
    if isinstance(step, ResizeStep):
        return (step,)
    if isinstance(step, BlurStep):
        return (BlurStep, len(step.kernel))
    return (type(step), step.kind if isinstance(step, NoiseStep) else step.mode)


def _do_blur(images: Tensor, steps: Sequence[BlurStep], _: torch.Generator) -> Tensor:
    return op.blur(images, torch.stack([step.kernel for step in steps]))


def _do_resize(images: Tensor, steps: Sequence[ResizeStep], _: torch.Generator) -> Tensor:
    return op.resize(images, steps[0].size, steps[0].mode, antialias=steps[0].antialias)


def _do_noise(images: Tensor, steps: Sequence[NoiseStep], generator: torch.Generator) -> Tensor:
    add = op.gaussian_noise if steps[0].kind == "gaussian" else op.poisson_noise
    return add(images, [step.level for step in steps], [step.grey for step in steps], generator)


def _do_jpeg(images: Tensor, steps: Sequence[JpegStep], _: torch.Generator) -> Tensor:
    return op.jpeg(images, [step.quality for step in steps], steps[0].mode)


_APPLY: dict[type[Step], Callable[[Tensor, Any, torch.Generator], Tensor]] = {
    BlurStep: _do_blur,
    ResizeStep: _do_resize,
    NoiseStep: _do_noise,
    JpegStep: _do_jpeg,
}
"""For each kind of step, the function that applies it to a batch."""
