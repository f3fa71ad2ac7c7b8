"""Blur kernels: Gaussians, generalised Gaussians, plateaus and sinc filters, and how they are drawn for a
clip.

Formulas: generalised Gaussian and plateau by Liu et al. (arXiv 2002.07024), as BSRGAN (2103.14006) and
Real-ESRGAN (2107.10833, sections 3.1 and 3.3) use them, with the latter's ranges.
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
"""Largest step of each parameter from picture to picture at a drift of 1: RealBasicVSR's (arXiv
2111.12704)."""
WIDE = 13
"""Pixels: from this side on a sinc kernel can hold the rings of a lower cutoff."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How the parameters of pictures that are drawn together belong together."""

    count: int
    """Pictures."""
    drift: float | None
    """Those of a clip move by at most so many steps from one to the next; None for unrelated pictures."""


def numbers(limits: Range2, step: float, pace: Pace, rng: random.Random) -> list[float]:
    """Draw a parameter of each picture, evenly in `limits`; in a clip a slow random walk that stays
    inside."""
    if pace.drift is None:
        return [rng.uniform(*limits) for _ in range(pace.count)]
    return walk(rng.uniform(*limits), limits, step, pace, rng)


def walk(start: float, limits: Range2, step: float, pace: Pace, rng: random.Random) -> list[float]:
    """A random walk from `start` with even steps of at most `step * drift`, held inside `limits`."""
    reach = step * (pace.drift or 0)
    values = [start]
    for _ in range(pace.count - 1):
        values.append(min(max(values[-1] + rng.uniform(-reach, reach), limits[0]), limits[1]))
    return values


def draw_kernel(blur: Blur, rng: random.Random) -> Tensor:
    """Draw one kernel: `(k, k)` float32, sum 1, on the CPU."""
    return draw_kernels(blur, Pace(1, 0.0), rng)[0]


def draw_kernels(blur: Blur, pace: Pace, rng: random.Random) -> Tensor:
    """Draw a kernel for each picture.

    Returns:
        `(N, k, k)` float32 on the CPU, each of sum 1; those of unrelated pictures lie in the middle of the
        largest k.
    """
    if pace.drift is None:
        return stack([draw_kernel(blur, rng) for _ in range(pace.count)])
    size = draw_size(blur.sizes, rng)
    if rng.random() < blur.sinc:
        limits = (math.pi / 3 if size < WIDE else math.pi / 5, math.pi)
        return draw_sincs(size, limits, pace, rng)
    names = [f.name for f in fields(blur.shares)]
    name = rng.choices(names, [getattr(blur.shares, n) for n in names])[0]
    form, _, shape = name.rpartition("_")
    widths = [numbers(blur.sigma, STEPS["sigma"], pace, rng) for _ in range(2 if shape == "aniso" else 1)]
    angles = numbers(blur.rotation, STEPS["rotation"], pace, rng) if shape == "aniso" else [0.0] * pace.count
    distance = distances(size, widths[0], widths[-1], angles)
    return normalised(_PROFILES[form](distance, _betas(form, blur, pace, rng)))


def draw_sincs(size: int, cutoff: Range2, pace: Pace, rng: random.Random) -> Tensor:
    """Draw sinc kernels `(N, size, size)` of even odds for each cutoff, in radians a pixel."""
    return sinc(size, numbers(cutoff, STEPS["cutoff"], pace, rng))


def draw_size(sizes: tuple[int, int], rng: random.Random) -> int:
    """Draw an odd side."""
    return rng.randrange(sizes[0], sizes[1] + 1, 2)


def _betas(form: str, blur: Blur, pace: Pace, rng: random.Random) -> Tensor:
    """Exponents `(N, 1, 1)`: below and above 1 with equal odds; 1 for a plain Gaussian."""
    if not form:
        return torch.ones(1, 1, 1)
    name = f"beta_{form}"
    low, high = getattr(blur, name)
    below = low < 1 and (high <= 1 or rng.random() < 0.5)
    limits = (low, min(1.0, high)) if below else (max(1.0, low), high)
    return torch.tensor(numbers(limits, STEPS[name], pace, rng))[:, None, None]


def distances(
    size: int, sigma_x: Sequence[float], sigma_y: Sequence[float], rotation: Sequence[float]
) -> Tensor:
    """Squared distance from the middle in widths of rotated axes: `(N, size, size)` float32.

    It is x' S^-1 x with S = R diag(sigma_x^2, sigma_y^2) R'; R turns by `rotation`, counter-clockwise in (x,
    y).
    """
    y, x = _grid(size)
    angle = torch.tensor(rotation)[:, None, None]
    across, along = angle.cos() * x + angle.sin() * y, angle.cos() * y - angle.sin() * x
    widths = torch.tensor([list(sigma_x), list(sigma_y)])[:, :, None, None]
    return (across / widths[0]).square() + (along / widths[1]).square()


def generalised(distance: Tensor, beta: Tensor) -> Tensor:
    """exp(-d^beta / 2), not normalised; a Gaussian for beta = 1."""
    return torch.exp(-0.5 * distance.pow(beta))


def plateau(distance: Tensor, beta: Tensor) -> Tensor:
    """1 / (1 + d^beta), not normalised."""
    return 1 / (1 + distance.pow(beta))


_PROFILES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "": generalised,
    "generalised": generalised,
    "plateau": plateau,
}
"""First word of a kernel's name to its profile."""


def sinc(size: int, cutoff: Sequence[float]) -> Tensor:
    """Circular low-pass filters w J1(w r) / (2 pi r): `(N, size, size)` float32, each of sum 1.

    Args:
        size: Odd side in pixels.
        cutoff: w in radians a pixel, up to pi. The middle is the limit w^2 / (4 pi).
    """
    y, x = _grid(size)
    radius, middle = torch.hypot(x, y), (x == 0) & (y == 0)
    w = torch.tensor(cutoff)[:, None, None]
    rings = w * torch.special.bessel_j1(w * radius) / (2 * math.pi * radius.clamp(min=1))
    return normalised(torch.where(middle, w.square() / (4 * math.pi), rings))


def normalised(kernels: Tensor) -> Tensor:
    """Each of sum 1."""
    return kernels / kernels.sum((-2, -1), keepdim=True)


def stack(kernels: Sequence[Tensor]) -> Tensor:
    """Odd kernels `(k, k)` of several sizes in the middle of the largest: `(N, k, k)`."""
    side = max(kernel.shape[-1] for kernel in kernels)
    padded = []
    for kernel in kernels:
        margin = (side - kernel.shape[-1]) // 2
        padded.append(torch.nn.functional.pad(kernel, (margin,) * 4))
    return torch.stack(padded)


def _grid(size: int) -> tuple[Tensor, Tensor]:
    """Distances y and x from the middle, `(size, size)` each."""
    axis = torch.arange(size, dtype=torch.float32) - size // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return y, x
