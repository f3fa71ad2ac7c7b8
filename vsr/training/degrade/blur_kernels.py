"""Blur kernels: Gaussians, generalised Gaussians, plateaus and sinc filters, and their random parameters.

The formulas of generalised Gaussians and plateaus are by Liu et al. (arXiv 2002.07024). BSRGAN (2103.14006)
and Real-ESRGAN (2107.10833, sections 3.1 and 3.3) use them; the ranges here are those of Real-ESRGAN.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from vsr.training.degrade.degradation import Blur, Range2

STEPS = {
    "sigma": 0.02,
    "rotation": 0.31416,
    "beta_generalised": 0.05,
    "beta_plateau": 0.1,
    "cutoff": 0.0628,
}
"""Largest change of each parameter from frame to frame at a drift of 1,
as in RealBasicVSR (arXiv 2111.12704)."""
WIDE = 13
"""Side in pixels from which a sinc kernel is large enough for a lower cutoff."""


@dataclass(frozen=True, slots=True)
class FrameGroup:
    """Number of frames that are drawn together, and how much their parameters differ."""

    count: int
    """Number of frames."""
    drift: float | None
    """For a clip, the largest change from frame to frame, in units of `STEPS`; None for unrelated images."""


def draw_parameter(limits: Range2, step: float, group: FrameGroup, rng: random.Random) -> list[float]:
    """Draw a parameter for each frame, uniformly in `limits`; for a clip, a random walk inside the limits."""
    if group.drift is None:
        return [rng.uniform(*limits) for _ in range(group.count)]
    return walk(rng.uniform(*limits), limits, step, group, rng)


def walk(start: float, limits: Range2, step: float, group: FrameGroup, rng: random.Random) -> list[float]:
    """Return a random walk from `start` with uniform steps of at most `step * drift`, clamped to `limits`."""
    reach = step * (group.drift or 0)
    values = [start]
    for _ in range(group.count - 1):
        values.append(min(max(values[-1] + rng.uniform(-reach, reach), limits[0]), limits[1]))
    return values


def draw_kernel(blur: Blur, rng: random.Random) -> Tensor:
    """Draw one kernel: `(k, k)` float32, sum 1, on the CPU."""
    return draw_kernels(blur, FrameGroup(1, 0.0), rng)[0]


def draw_kernels(blur: Blur, group: FrameGroup, rng: random.Random) -> Tensor:
    """Draw a kernel for each frame.

    Returns:
        `(N, k, k)` float32 on the CPU, each with sum 1. Kernels of
        unrelated images are centred in the largest k.
    """
    if group.drift is None:
        return stack([draw_kernel(blur, rng) for _ in range(group.count)])
    size = draw_size(blur.sizes, rng)
    if rng.random() < blur.sinc:
        limits = (math.pi / 3 if size < WIDE else math.pi / 5, math.pi)
        return draw_sincs(size, limits, group, rng)
    names = [f.name for f in fields(blur.shares)]
    name = rng.choices(names, [getattr(blur.shares, n) for n in names])[0]
    form, _, shape = name.rpartition("_")
    widths = [
        draw_parameter(blur.sigma, STEPS["sigma"], group, rng) for _ in range(2 if shape == "aniso" else 1)
    ]
    angles = (
        draw_parameter(blur.rotation, STEPS["rotation"], group, rng)
        if shape == "aniso"
        else [0.0] * group.count
    )
    distance = distances(size, widths[0], widths[-1], angles)
    return normalised(_PROFILES[form](distance, _betas(form, blur, group, rng)))


def draw_sincs(size: int, cutoff: Range2, group: FrameGroup, rng: random.Random) -> Tensor:
    """Draw sinc kernels `(N, size, size)` with cutoffs from a uniform distribution, in radians a pixel."""
    return sinc(size, draw_parameter(cutoff, STEPS["cutoff"], group, rng))


def draw_size(sizes: tuple[int, int], rng: random.Random) -> int:
    """Draw an odd side length."""
    return rng.randrange(sizes[0], sizes[1] + 1, 2)


def _betas(form: str, blur: Blur, group: FrameGroup, rng: random.Random) -> Tensor:
    """Draw exponents `(N, 1, 1)`, below or above 1 with equal probability; 1 for a plain Gaussian."""
    if not form:
        return torch.ones(1, 1, 1)
    name = f"beta_{form}"
    low, high = getattr(blur, name)
    below = low < 1 and (high <= 1 or rng.random() < 0.5)
    limits = (low, min(1.0, high)) if below else (max(1.0, low), high)
    return torch.tensor(draw_parameter(limits, STEPS[name], group, rng))[:, None, None]


def distances(
    size: int, sigma_x: Sequence[float], sigma_y: Sequence[float], rotation: Sequence[float]
) -> Tensor:
    """Return the squared Mahalanobis distance from the centre, `(N, size, size)` float32.

    It is x' S^-1 x with S = R diag(sigma_x^2, sigma_y^2) R', where R rotates by
    `rotation`, counter-clockwise in (x, y).
    """
    y, x = _grid(size)
    angle = torch.tensor(rotation)[:, None, None]
    across, along = angle.cos() * x + angle.sin() * y, angle.cos() * y - angle.sin() * x
    widths = torch.tensor([list(sigma_x), list(sigma_y)])[:, :, None, None]
    return (across / widths[0]).square() + (along / widths[1]).square()


def generalised(distance: Tensor, beta: Tensor) -> Tensor:
    """Return exp(-d^beta / 2), not normalised; a Gaussian for beta = 1."""
    return torch.exp(-0.5 * distance.pow(beta))


def plateau(distance: Tensor, beta: Tensor) -> Tensor:
    """Return 1 / (1 + d^beta), not normalised."""
    return 1 / (1 + distance.pow(beta))


_PROFILES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "": generalised,
    "generalised": generalised,
    "plateau": plateau,
}
"""Maps the first word of a kernel's name to its profile."""


def sinc(size: int, cutoff: Sequence[float]) -> Tensor:
    """Return circular low-pass filters w J1(w r) / (2 pi r): `(N, size, size)` float32, each with sum 1.

    Args:
        size: Odd side in pixels.
        cutoff: Cutoffs w in radians a pixel, up to pi. The value at the centre is the limit w^2 / (4 pi).
    """
    y, x = _grid(size)
    radius, middle = torch.hypot(x, y), (x == 0) & (y == 0)
    w = torch.tensor(cutoff)[:, None, None]
    rings = w * torch.special.bessel_j1(w * radius) / (2 * math.pi * radius.clamp(min=1))
    return normalised(torch.where(middle, w.square() / (4 * math.pi), rings))


def normalised(kernels: Tensor) -> Tensor:
    """Scale each kernel to sum 1."""
    return kernels / kernels.sum((-2, -1), keepdim=True)


def stack(kernels: Sequence[Tensor]) -> Tensor:
    """Pad odd kernels `(k, k)` to the size of the largest, centred: `(N, k, k)`."""
    side = max(kernel.shape[-1] for kernel in kernels)
    padded = []
    for kernel in kernels:
        margin = (side - kernel.shape[-1]) // 2
        padded.append(torch.nn.functional.pad(kernel, (margin,) * 4))
    return torch.stack(padded)


def _grid(size: int) -> tuple[Tensor, Tensor]:
    """Return the distances y and x from the centre, `(size, size)` each."""
    axis = torch.arange(size, dtype=torch.float32) - size // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return y, x
