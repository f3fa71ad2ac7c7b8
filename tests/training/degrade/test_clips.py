"""LR clips: aligned with HR, reproducible by their seed, and made as their table says."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from tests.training.degrade.test_degradation import shipped
from tests.training.photographs import pan, photograph
from vsr.training.degrade import clips as degrade
from vsr.training.degrade.clips import (
    Clip,
    degrade_batch,
    degrade_clip,
    is_plain,
    pair_clip,
    reduce,
)
from vsr.training.degrade.codec import draw_codings, transcode
from vsr.training.degrade.degradation import (
    Augment,
    CodecRange,
    Degradation,
    Final,
    Jpeg,
    Noise,
    Order,
    Sharpen,
)

X264 = CodecRange(encoder="libx264", quality=(18, 28), presets=("veryfast",))
SETS = ("bicubic", "h264", "mild", "real-esrgan", "video", "worn")


def clip_of(frames: int = 4, side: int = 128, seed: int = 3) -> Tensor:
    return pan(photograph(seed, side=side + 3 * frames), side, frames, (0, 0), (3, 2))


def made(degradation: Degradation, seed: int = 0, *, kept: int = 2, scale: int = 2) -> Clip:
    return degrade_clip(clip_of(), degradation, scale=scale, kept=kept, rng=random.Random(seed))


@pytest.mark.parametrize("scale", [2, 4])
def test_downscaling_equals_pils_bicubic(scale: int) -> None:
    image = photograph(2, side=96)
    ours = reduce(image[None], scale)[0].permute(1, 2, 0).numpy().astype(int)
    size = (96 // scale, 96 // scale)
    theirs = Image.fromarray(image.permute(1, 2, 0).numpy()).resize(size, Image.Resampling.BICUBIC)
    # Both use 8-bit steps with fixed-point weights: one code value of rounding.
    assert abs(ours - np.asarray(theirs).astype(int)).max() <= 1


@pytest.mark.parametrize("name", SETS)
def test_the_same_seed_gives_the_same_clip_to_the_bit(name: str) -> None:
    degradation = shipped(name)
    clips = [made(degradation, seed) for seed in (5, 5, 6)]
    assert torch.equal(clips[0].lr, clips[1].lr)
    assert torch.equal(clips[0].hr, clips[1].hr)
    assert clips[0].chosen == clips[1].chosen
    if name != "bicubic":
        assert not torch.equal(clips[0].lr, clips[2].lr)


@pytest.mark.parametrize("name", SETS)
def test_a_clip_has_the_documented_shapes_and_types(name: str) -> None:
    for seed in range(4):
        clip = made(shipped(name), seed, kept=3)
        assert clip.hr.shape == clip.plain.shape == (3, 3, 128, 128)
        assert clip.lr.shape == (3, 3, 64, 64)
        assert (clip.hr.dtype, clip.lr.dtype) == (torch.uint8, torch.float16)
        assert len(clip.chosen) == 3
        assert list(clip.chosen) == sorted(set(clip.chosen))
        assert clip.lr.min() > -0.3
        assert clip.lr.max() < 1.3


@pytest.mark.parametrize("name", SETS)
def test_lr_and_hr_of_a_clip_are_aligned(name: str) -> None:
    def mismatch(clip: Clip, shift: tuple[int, int]) -> float:
        hr = F.avg_pool2d(clip.hr.float() / 255, 2)
        lr = clip.lr.float()
        lr = lr - lr.mean((2, 3), keepdim=True) + hr.mean((2, 3), keepdim=True)
        return float((lr - hr.roll(shift, (2, 3)))[..., 2:-2, 2:-2].square().mean())

    clips = [made(shipped(name), seed) for seed in range(6)]

    def total(shift: tuple[int, int]) -> float:
        return sum(mismatch(clip, shift) for clip in clips)

    # Resizing twice without antialiasing moves single clips by up to a pixel, but not on average.
    assert all(total((0, 0)) < total(shift) for shift in ((0, 1), (0, -1), (1, 0), (-1, 0)))


def test_a_clean_clip_is_only_downscaled() -> None:
    order = Order(noise=Noise(), jpeg=Jpeg())
    clip = made(Degradation(clean=1.0, orders=(order,), codecs=(X264,), final=Final(modes=("area",))))
    assert torch.equal(clip.lr, (reduce(clip.hr, 2) / 255).half())


def test_clean_clips_in_ycbcr_have_its_rounding_and_full_chroma() -> None:
    clip = made(Degradation(clean=1.0, clean_yuv=1.0))
    reduced = reduce(clip.hr, 2) / 255
    error = (clip.lr.float() - reduced).abs() * 255
    # Half a code value of Y is 255 / 219 / 2 of one in blue, half a
    # code value of Cb is 1.772 * 255 / 224 / 2.
    assert 0 < float(error.max()) < 2.5
    assert float(error.mean()) < 1.0
    degradation = Degradation(clean=0.5, clean_yuv=0.5, codecs=(X264,))
    rng, hr = random.Random(0), clip_of()
    plans = [degrade.draw_plan(hr, degradation, 2, 2, rng) for _ in range(2000)]
    assert not any(plan.stored and plan.codings for plan in plans)
    # 5 standard deviations of a share of 1/4
    assert sum(plan.stored is not None for plan in plans) / 2000 == pytest.approx(0.25, abs=0.05)


def test_soft_chroma_halves_the_resolution_of_chroma_in_lr_and_target() -> None:
    # Halving removes a blue pattern of single pixels, and keeps luma.
    hr = clip_of()
    hr[:, 2, ::2, ::2] //= 2
    clip = degrade_clip(hr, Degradation(clean=1.0, soft_chroma=1.0), scale=2, kept=2, rng=random.Random(1))
    before = hr[list(clip.chosen)]
    luma = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    kept, there = ((x.float() * luma).sum(1) for x in (clip.hr, before))
    inside = (clip.hr > 0).all(1) & (clip.hr < 255).all(1)  # clipping changes luma
    assert (kept - there)[inside].abs().max() < 0.6, "each of R, G and B is rounded"
    blue, was = ((x.float() - (x.float() * luma).sum(1, keepdim=True))[:, 2] for x in (clip.hr, before))
    assert blue.diff(dim=-1).abs().mean() < 0.5 * was.diff(dim=-1).abs().mean()
    assert torch.equal(clip.lr, (reduce(clip.hr, 2) / 255).half())


def test_clean_clips_have_the_requested_probability() -> None:
    degradation = Degradation(clean=0.2, codecs=(X264,))
    rng, hr = random.Random(0), clip_of()
    clean = sum(not degrade.draw_plan(hr, degradation, 2, 2, rng).codings for _ in range(4000)) / 4000
    # 5 standard deviations for a probability p in 4000 draws: 5 sqrt(p (1 - p) / 4000) = 0.032
    assert clean == pytest.approx(0.2, abs=0.032)


def test_without_orders_a_coded_clip_is_downscaled_and_transcoded() -> None:
    degradation = Degradation(clean=0.0, codecs=(X264,))
    rng = random.Random(9)
    rng.random()  # the draw for a clean clip
    expected = transcode(reduce(clip_of(), 2), *draw_codings(degradation, rng))
    clip = made(degradation, 9)
    assert torch.equal(clip.lr, expected[list(clip.chosen)].half())


def test_without_codecs_lr_has_8_bits() -> None:
    lr = made(Degradation(clean=0.0, orders=(Order(noise=Noise()),))).lr.float() * 255
    # float16 has 11 bits, so code values below 256 are exact to an eighth.
    assert (lr - lr.round()).abs().max() <= 0.125


def test_without_codecs_frames_that_are_not_kept_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = degrade.apply_chains
    monkeypatch.setattr(
        degrade, "apply_chains", lambda images, *rest: (seen.append(len(images)), real(images, *rest))[1]
    )
    made(Degradation(clean=0.0, orders=(Order(noise=Noise()),)), kept=2)
    made(Degradation(clean=0.0, orders=(Order(noise=Noise()),), codecs=(X264,)), kept=2)
    assert seen == [2, 4]


def test_the_target_is_sharpened_and_its_original_is_kept() -> None:
    clip = made(Degradation(clean=1.0, usm=Sharpen(size=15, threshold=2.0)))
    assert torch.equal(clip.plain, clip_of()[list(clip.chosen)])

    def edges(x: Tensor) -> float:
        return float(x.float().diff(dim=-1).square().mean())

    assert edges(clip.hr) > 1.1 * edges(clip.plain)
    unsharpened = made(Degradation(clean=1.0))
    assert unsharpened.hr is unsharpened.plain


def test_colours_change_equally_in_lr_and_hr() -> None:
    augment = Augment(probability=1.0, brightness=(0.5, 0.5), saturation=(0.3, 0.3), hue=(0.5, 0.5))
    clip = made(Degradation(clean=1.0, augment=augment))
    before = made(Degradation(clean=1.0))
    assert (clip.hr.float().mean() / before.hr.float().mean()) == pytest.approx(0.5, abs=0.02)
    difference = clip.lr.float().mean((2, 3)) - clip.hr.float().mean((2, 3)) / 255
    assert difference.abs().max() < 0.01
    assert made(Degradation(clean=1.0, augment=replace(augment, probability=0.0))).hr.equal(before.hr)


def test_a_pair_is_not_degraded() -> None:
    hr = clip_of()
    lr = reduce(hr, 2)
    clip = pair_clip(hr, lr, 2, random.Random(1))
    assert torch.equal(clip.hr, hr[list(clip.chosen)])
    assert torch.equal(clip.lr, (lr[list(clip.chosen)] / 255).half())


def test_each_image_of_a_batch_is_degraded_separately() -> None:
    hr = torch.stack([photograph(i, 128) for i in range(4)])
    lr, target = degrade_batch(hr, shipped("real-esrgan"), scale=4, rng=random.Random(1))
    again, _ = degrade_batch(hr, shipped("real-esrgan"), scale=4, rng=random.Random(1))
    assert lr.shape == (4, 3, 32, 32)
    assert (lr.dtype, target.dtype, target.shape) == (torch.uint8, torch.uint8, hr.shape)
    assert torch.equal(lr, again)
    plain, same = degrade_batch(hr, shipped("bicubic"), scale=4, rng=random.Random(1))
    assert torch.equal(plain, reduce(hr, 4))
    assert same is hr


def test_codecs_are_rejected_in_a_batch() -> None:
    with pytest.raises(ValueError, match="Use degrade_clip"):
        degrade_batch(clip_of(), shipped("video"), scale=2, rng=random.Random(0))


@pytest.mark.parametrize(("name", "plain"), [("bicubic", True), ("video", True), ("mild", False)])
def test_plain_downscaling_is_recognised(name: str, plain: bool) -> None:
    assert is_plain(shipped(name)) is plain


@pytest.mark.needs_cuda
def test_a_batch_is_degraded_on_its_device() -> None:
    hr = torch.stack([photograph(i, 128) for i in range(4)]).cuda()
    for name in ("bicubic", "real-esrgan"):
        lr, target = degrade_batch(hr, shipped(name), scale=4, rng=random.Random(1))
        assert lr.is_cuda
        assert target.is_cuda
    clean, _ = degrade_batch(hr, shipped("bicubic"), scale=4, rng=random.Random(1))
    # In float, since the CPU's own filter for 8 bits rounds and clips between rows and columns.
    exact = F.interpolate(hr.cpu() / 255, size=(32, 32), mode="bicubic", antialias=True)
    assert (clean.cpu().int() - degrade.eight_bit(exact).int()).abs().max() <= 1
