"""Degradation stages: parameters follow their table and drift slowly, and steps are applied as drawn."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.training.degrade.test_degradation import shipped
from tests.training.photographs import photograph
from vsr.training.degrade import operations as op
from vsr.training.degrade.blur_kernels import FrameGroup
from vsr.training.degrade.degradation import (
    Blur,
    Degradation,
    Final,
    Halo,
    Jpeg,
    KernelShares,
    Noise,
    Order,
    Resize,
)
from vsr.training.degrade.stages import (
    STEPS,
    BlurStep,
    Chain,
    JpegStep,
    NoiseStep,
    ResizeStep,
    Sizes,
    apply_chains,
    draw_chains,
    sharpening_kernel,
)

SIZES = Sizes(hr=(96, 80), lr=(48, 40))
ANISO = KernelShares(iso=0, aniso=1, generalised_iso=0, generalised_aniso=0, plateau_iso=0, plateau_aniso=0)
FULL = Order(
    blur=Blur(sinc=0.0, shares=ANISO, sigma=(0.5, 3.0)),
    resize=Resize(up=0.5, down=0.5),
    noise=Noise(gaussian=1.0, grey=0.0),
    jpeg=Jpeg(quality=(30, 95)),
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(degradation: Degradation, seed: int, frames: int = 8) -> list[Chain]:
    return draw_chains(degradation, SIZES, FrameGroup(frames, degradation.drift), random.Random(seed))


def kinds(chain: Chain) -> list[type]:
    return [type(step) for step in chain]


def steps_between(values: Sequence[float]) -> list[float]:
    return [abs(b - a) for a, b in itertools.pairwise(values)]


def images(number: int) -> Tensor:
    return torch.stack([photograph(i, 96)[:, :, :80] for i in range(number)]) / 255


@pytest.mark.parametrize("name", ["mild", "real-esrgan", "worn"])
@pytest.mark.parametrize("drift", [0.0, 1.0, None])
def test_every_chain_ends_at_lr_size(name: str, drift: float | None) -> None:
    for seed in range(6):
        chains = draw_chains(shipped(name), SIZES, FrameGroup(3, drift), random.Random(seed))
        lr = apply_chains(images(3), chains, generator())
        assert lr.shape == (3, 3, 48, 40)
        assert lr.isfinite().all()


@pytest.mark.parametrize("seed", range(5))
def test_without_drift_all_frames_of_a_clip_have_the_same_parameters(seed: int) -> None:
    chains = draw(Degradation(orders=(FULL,)), seed)
    for column in zip(*chains, strict=True):
        for step in column:
            if isinstance(step, BlurStep):
                assert torch.equal(step.kernel, column[0].kernel)  # type: ignore[union-attr]
            else:
                assert step == column[0]


@pytest.mark.parametrize("seed", range(5))
def test_with_drift_parameters_of_consecutive_frames_differ_a_little(seed: int) -> None:
    chains = draw(Degradation(orders=(FULL,), drift=1.0), seed, frames=12)
    assert kinds(chains[0]) == [BlurStep, ResizeStep, NoiseStep, ResizeStep, JpegStep]
    kernels, resizes, noises, _, jpegs = zip(*chains, strict=True)
    kernel_steps = [
        float((b.kernel - a.kernel).abs().sum())  # type: ignore[union-attr]
        for a, b in itertools.pairwise(kernels)
    ]
    # Kernels have sum 1; sigma changes by at most 0.02 of at least 0.5, the angle by a tenth of pi.
    assert 0 < max(kernel_steps) < 0.5
    levels = steps_between([step.level for step in noises])  # type: ignore[union-attr]
    assert 0 < max(levels) <= STEPS["sigma_noise"] + 1e-9
    qualities = steps_between([step.quality for step in jpegs])  # type: ignore[union-attr]
    assert 0 < max(qualities) <= STEPS["quality"] + 1e-9
    sides = steps_between([step.size[0] for step in resizes])  # type: ignore[union-attr]
    assert 0 < max(sides) <= STEPS["resize"] * 96 + 1  # sizes are rounded to pixels


def test_unrelated_images_have_common_sizes_but_different_strengths() -> None:
    chains = draw_chains(Degradation(orders=(FULL,)), SIZES, FrameGroup(16, None), random.Random(3))
    _, resizes, noises, _, jpegs = zip(*chains, strict=True)
    assert len(set(resizes)) == 1
    assert len({step.level for step in noises}) == 16  # type: ignore[union-attr]
    assert len({step.quality for step in jpegs}) == 16  # type: ignore[union-attr]


def test_the_last_jpeg_precedes_the_final_resize_with_the_requested_probability() -> None:
    degradation = Degradation(orders=(FULL, Order(jpeg=Jpeg())), final=Final(sinc=0.8, after_jpeg=0.5))
    ends = [kinds(draw(degradation, seed, 1)[0])[4:] for seed in range(600)]
    late = [end for end in ends if end[0] is JpegStep]
    # 5 standard deviations of a frequency in 600 draws: 0.1 for a half, 0.08 for 0.8
    assert len(late) / 600 == pytest.approx(0.5, abs=0.1)
    assert sum(BlurStep in end for end in ends) / 600 == pytest.approx(0.8, abs=0.08)
    allowed = [
        [JpegStep, ResizeStep],
        [JpegStep, ResizeStep, BlurStep],
        [ResizeStep, JpegStep],
        [ResizeStep, BlurStep, JpegStep],
    ]
    assert all(end in allowed for end in ends)


def test_halos_follow_the_final_resize_with_the_requested_probability() -> None:
    degradation = Degradation(final=Final(halo=Halo(probability=0.25)))
    found = [kinds(draw(degradation, seed, 1)[0]) for seed in range(600)]
    assert all(one in ([ResizeStep], [ResizeStep, BlurStep]) for one in found)
    # 5 standard deviations of a frequency in 600 draws
    assert sum(BlurStep in one for one in found) / 600 == pytest.approx(0.25, abs=0.09)


def test_a_halo_overshoots_beside_an_edge_and_keeps_flat_colours() -> None:
    edge = torch.cat([torch.full((1, 1, 40, 20), 0.3), torch.full((1, 1, 40, 20), 0.7)], -1)
    sharp = op.blur(edge, sharpening_kernel(1.0, 0.8)[None])[0, 0, 20]
    # an ideal edge and the blurred one differ by almost half of the step beside it (erf)
    assert float(sharp[19]) == pytest.approx(0.3 - 0.8 * 0.4 * 0.31, abs=0.02)
    assert float(sharp[20]) == pytest.approx(0.7 + 0.8 * 0.4 * 0.31, abs=0.02)
    torch.testing.assert_close(sharp[[2, 37]], torch.tensor([0.3, 0.7]))


def test_steps_and_factors_have_the_requested_probabilities() -> None:
    resize = Resize(up=0.2, down=0.7, factor=(0.5, 1.5))
    order = Order(resize=resize, noise=Noise(probability=0.3, gaussian=0.25, grey=0.5))
    drawn = [draw(Degradation(orders=(order,)), seed, 1)[0] for seed in range(800)]
    noises = [step for chain in drawn for step in chain if isinstance(step, NoiseStep)]
    heights = [chain[0].size[0] for chain in drawn]  # type: ignore[union-attr]
    # 5 standard deviations of a frequency in 800 draws: at most 0.09; of 240 draws 0.16
    assert len(noises) / 800 == pytest.approx(0.3, abs=0.09)
    assert sum(n.kind == "gaussian" for n in noises) / len(noises) == pytest.approx(0.25, abs=0.16)
    assert sum(n.grey for n in noises) / len(noises) == pytest.approx(0.5, abs=0.16)
    assert sum(h > 96 for h in heights) / 800 == pytest.approx(0.2, abs=0.09)
    assert sum(h < 96 for h in heights) / 800 == pytest.approx(0.7, abs=0.09)
    assert 48 <= min(heights) <= max(heights) <= 144


def test_a_factor_on_the_lr_side_multiplies_the_lr_side() -> None:
    order = Order(resize=Resize(up=0.0, down=0.0, of="lr"))
    assert draw(Degradation(orders=(order,)), 0, 1)[0][0].size == SIZES.lr  # type: ignore[union-attr]


def test_images_are_degraded_equally_alone_and_in_a_batch() -> None:
    order = replace(FULL, noise=None)
    chains = draw(Degradation(orders=(order,)), 1, 3)
    together = apply_chains(images(3), chains, generator())
    alone = [apply_chains(images(3)[i : i + 1], chains[i : i + 1], generator())[0] for i in range(3)]
    # A batch can sum in another order, which can change a rounding of JPEG; this is rare and small.
    assert (together - torch.stack(alone)).abs().mean() < 1e-4


def test_a_chain_applies_its_steps_in_order() -> None:
    kernel = torch.full((3, 3), 1 / 9)
    chain: Chain = (
        BlurStep(kernel),
        NoiseStep("gaussian", 5.0, False),
        ResizeStep((48, 40), "area", False),
        JpegStep(60.0, "real"),
    )
    expected = op.blur(images(1), kernel[None])
    expected = op.gaussian_noise(expected, [5.0], [False], generator(2))
    expected = op.resize(expected, (48, 40), "area", antialias=False)
    expected = op.jpeg(expected, [60.0], "real")
    assert torch.equal(apply_chains(images(1), [chain], generator(2)), expected)


def test_images_of_different_sizes_are_returned_in_their_order() -> None:
    sizes = [(60, 50), (48, 40), (60, 50)]
    chains: list[Chain] = [
        (ResizeStep(size, "bilinear", True), ResizeStep((48, 40), "bilinear", True)) for size in sizes
    ]
    flat = torch.tensor([0.2, 0.5, 0.8])[:, None, None, None].expand(3, 3, 96, 80)
    found = apply_chains(flat, chains, generator()).mean((1, 2, 3))
    torch.testing.assert_close(found, torch.tensor([0.2, 0.5, 0.8]))
