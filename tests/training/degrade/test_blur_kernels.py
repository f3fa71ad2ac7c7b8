"""Blur kernels: their formulas, their symmetries, and their random parameters."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import fields

import pytest
import torch
from torch import Tensor

from vsr.training.degrade.blur_kernels import (
    FrameGroup,
    distances,
    draw_kernel,
    draw_kernels,
    draw_parameter,
    draw_size,
    generalised,
    normalised,
    plateau,
    sinc,
    stack,
    walk,
)
from vsr.training.degrade.degradation import Blur, KernelShares

SHAPES = [f.name for f in fields(KernelShares)]
ONE = torch.ones(1, 1, 1)


def only(shape: str, sinc_share: float = 0.0, **settings: tuple[float, float]) -> Blur:
    shares = KernelShares(**{name: float(name == shape) for name in SHAPES})
    return Blur(sinc=sinc_share, shares=shares, **settings)


def gaussian(size: int, sigma_x: float, sigma_y: float, angle: float) -> Tensor:
    return normalised(generalised(distances(size, [sigma_x], [sigma_y], [angle]), ONE))[0]


@pytest.mark.parametrize("shape", [*SHAPES, "sinc"])
def test_a_kernel_sums_to_one_is_odd_and_point_symmetric(shape: str) -> None:
    blur = only("iso", sinc_share=1.0) if shape == "sinc" else only(shape)
    for seed in range(20):
        kernel = draw_kernel(blur, random.Random(seed))
        assert len(kernel) in range(7, 22, 2)
        assert float(kernel.sum()) == pytest.approx(1, abs=1e-5)
        # float32: exp and sums of up to 441 numbers below 1
        torch.testing.assert_close(kernel, kernel.flip(0, 1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [name for name in SHAPES if name.endswith("_iso") or name == "iso"])
def test_isotropic_kernels_are_symmetric(shape: str) -> None:
    kernel = draw_kernel(only(shape), random.Random(3))
    torch.testing.assert_close(kernel, kernel.T, rtol=0, atol=1e-6)


def test_a_rotation_by_90_degrees_transposes_an_anisotropic_kernel() -> None:
    lying = gaussian(15, 3.0, 1.0, 0.0)
    torch.testing.assert_close(gaussian(15, 3.0, 1.0, math.pi / 2), lying.T, rtol=0, atol=1e-6)
    assert (lying - lying.T).abs().max() > 0.01


def test_a_gaussian_without_rotation_is_the_product_of_two() -> None:
    x = torch.arange(-10, 11, dtype=torch.float64)
    lines = [torch.exp(-0.5 * (x / sigma).square()) for sigma in (1.0, 2.5)]
    expected = torch.outer(lines[0] / lines[0].sum(), lines[1] / lines[1].sum())
    torch.testing.assert_close(gaussian(21, 2.5, 1.0, 0.0), expected.float(), rtol=0, atol=1e-6)


def test_a_rotated_gaussian_is_widest_along_its_angle() -> None:
    kernel = gaussian(21, 3.0, 1.0, math.pi / 4)  # 45 degrees from x towards y
    assert float(kernel[13, 13]) > 10 * float(kernel[13, 7])


def test_profiles_are_the_published_formulas() -> None:
    d, beta = distances(9, [1.7], [1.7], [0.0]), torch.tensor(0.6)[None, None, None]
    r2 = (2**2 + 3**2) / 1.7**2
    assert float(generalised(d, beta)[0, 4 + 2, 4 - 3]) == pytest.approx(math.exp(-0.5 * r2**0.6), rel=1e-5)
    assert float(plateau(d, beta)[0, 4 + 2, 4 - 3]) == pytest.approx(1 / (1 + r2**0.6), rel=1e-5)
    torch.testing.assert_close(generalised(d, ONE), torch.exp(-0.5 * d))


def bessel_j1(x: float) -> float:
    """Compute Bessel's integral by the trapezoidal rule, which is exact
    up to rounding for a periodic function."""
    return sum(math.cos(t - x * math.sin(t)) for t in (math.pi * (i + 0.5) / 200 for i in range(200))) / 200


def test_sinc_is_the_published_formula() -> None:
    w = 1.9
    raw = {
        (y, x): w * bessel_j1(w * math.hypot(y, x)) / (2 * math.pi * math.hypot(y, x))
        for y in range(-4, 5)
        for x in range(-4, 5)
        if (y, x) != (0, 0)
    }
    total = sum(raw.values()) + w * w / (4 * math.pi)
    kernel = sinc(9, [w])[0]
    assert float(kernel[4, 4]) == pytest.approx(w * w / (4 * math.pi) / total, rel=1e-5)
    assert float(kernel[4 + 3, 4 + 1]) == pytest.approx(raw[3, 1] / total, rel=1e-4)


@pytest.mark.parametrize("cutoff", [math.pi / 3, math.pi / 2, 0.75 * math.pi])
def test_a_sinc_kernel_passes_below_its_cutoff_and_stops_above(cutoff: float) -> None:
    padded = torch.zeros(256, 256)
    padded[:21, :21] = sinc(21, [cutoff])[0]
    response = torch.fft.fft2(padded).abs()[0, :129]  # along one axis, up to pi
    frequency = torch.linspace(0, math.pi, 129)
    # 21 pixels cannot cut sharply: the window blurs the edge over about 2 pi / 21 = 0.3, with 20 % of ripple.
    assert response[frequency < cutoff - 0.35].min() > 0.8
    assert response[frequency > cutoff + 0.35].max() < 0.2


def test_kernels_are_drawn_in_their_proportions() -> None:
    rng = random.Random(0)
    rings = sum(float(draw_kernel(Blur(), rng).min()) < 0 for _ in range(2000)) / 2000
    # Only sinc kernels have negative lobes. 0.034 is 5 standard deviations for a probability of 0.1.
    assert rings == pytest.approx(0.1, abs=0.034)


def test_betas_are_below_and_above_one_equally_often() -> None:
    blur = only("generalised_iso", sigma=(2.0, 2.0))
    peaks = [draw_kernel(blur, random.Random(seed)) for seed in range(600)]
    # At one sigma, exp(-1/2) of the peak remains for any beta; further out, lower betas are larger.
    heavy = sum(
        float(k[mid, mid + 3] / k[mid, mid]) > math.exp(-0.5 * 2.25) for k in peaks if (mid := len(k) // 2)
    )
    assert heavy / 600 == pytest.approx(0.5, abs=0.1)  # 5 standard deviations


def test_drifting_parameters_change_slowly_within_their_limits() -> None:
    group = FrameGroup(200, 2.0)
    values = walk(0.9, (0.5, 1.0), 0.02, group, random.Random(1))
    steps = [abs(b - a) for a, b in itertools.pairwise(values)]
    assert 0 < max(steps) <= 0.04 + 1e-12
    assert 0.5 <= min(values) <= max(values) <= 1.0
    assert len(set(draw_parameter((1, 2), 0.1, FrameGroup(5, 0.0), random.Random(0)))) == 1


def test_kernels_of_a_clip_drift_and_those_of_unrelated_images_differ() -> None:
    blur = only("aniso", sigma=(1.0, 2.0))
    clip = draw_kernels(blur, FrameGroup(6, 1.0), random.Random(2))
    apart = draw_kernels(blur, FrameGroup(6, None), random.Random(2))
    neighbours = (clip[1:] - clip[:-1]).abs().amax((1, 2))
    assert neighbours.min() > 0
    assert neighbours.max() < 0.2 * clip.max()
    assert (apart[1:] - apart[:-1]).abs().amax((1, 2)).max() > neighbours.max()
    still = draw_kernels(blur, FrameGroup(6, 0.0), random.Random(2))
    assert torch.equal(still, still[:1].expand_as(still))


def test_kernels_of_different_sizes_have_a_common_centre() -> None:
    small, large = torch.zeros(3, 3), torch.zeros(7, 7)
    small[1, 1] = large[3, 3] = 1
    assert torch.equal(stack([small, large])[0], large)


def test_sizes_are_odd_and_reach_both_limits() -> None:
    rng = random.Random(0)
    assert {draw_size((7, 21), rng) for _ in range(300)} == set(range(7, 22, 2))


def test_the_same_seed_gives_the_same_kernel() -> None:
    assert torch.equal(draw_kernel(Blur(), random.Random(7)), draw_kernel(Blur(), random.Random(7)))


def test_bessel_agrees_with_scipy() -> None:
    special = pytest.importorskip("scipy.special")
    x = torch.linspace(0, 60, 500)
    torch.testing.assert_close(
        torch.special.bessel_j1(x), torch.from_numpy(special.j1(x.numpy())), rtol=0, atol=1e-5
    )
