"""LR clips: aligned with their HR, really coded, and neither tinted nor shifted by it."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from tests.train.photographs import X264, photograph
from vsr.color.spec import Matrix
from vsr.train import degrade
from vsr.train.degrade import (
    MATRICES,
    Coding,
    color_of,
    draw_coding,
    draw_pan,
    make_clip,
    pan,
    reduce,
    transcode,
)
from vsr.train.recipe import CodecRange, Degradation

CODINGS = [
    Coding(encoder=encoder, quality=quality, preset=preset, matrix=matrix)
    for encoder, quality, preset in (
        ("libx264", 16, "veryfast"),
        ("libx265", 18, "ultrafast"),
        ("libvpx-vp9", 20, "6"),
        ("mpeg4", 2, ""),
    )
    for matrix in MATRICES
]


def smooth_clip(side: int = 96, frames: int = 3) -> Tensor:
    """A soft, saturated picture that moves: 4:2:0 takes little from it."""
    generator = torch.Generator().manual_seed(5)
    soft = F.interpolate(
        torch.rand(1, 3, 4, 4, generator=generator), size=(side + 8, side + 8), mode="bicubic"
    )
    image = soft[0].clamp(0, 1).mul(255).round().to(torch.uint8)
    return pan(image, side, frames, (0, 0), (2, 1))


def mean_error(coding: Coding) -> Tensor:
    """Of R, G and B, in codes of 8 bits."""
    clean = smooth_clip()
    return (transcode(clean, coding) * 255 - clean.float()).mean((0, 2, 3))


@pytest.mark.parametrize("coding", CODINGS, ids=lambda c: f"{c.encoder}-{c.matrix.name}")
def test_a_coded_clip_has_the_colour_of_the_clean_one(coding: Coding) -> None:
    # coding noise has hardly any mean: measured up to 0.5 codes; a wrong matrix 3 and more, see below
    assert mean_error(coding).abs().max() < 1.0


@pytest.mark.parametrize(("written", "read"), [MATRICES, MATRICES[::-1]])
def test_a_clip_read_by_the_wrong_matrix_would_be_found(
    written: Matrix, read: Matrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = color_of(read)
    monkeypatch.setattr(degrade, "color_of", lambda _: wrong)
    assert mean_error(Coding(encoder="mpeg4", quality=2, preset="", matrix=written)).abs().max() > 2.0


@pytest.mark.parametrize("coding", CODINGS[::2], ids=lambda c: c.encoder)
def test_pictures_come_back_in_order(coding: Coding) -> None:
    clip = torch.stack(
        [torch.full((3, 64, 96), value, dtype=torch.uint8) for value in (40, 90, 140, 190, 240)]
    )
    found = transcode(clip, coding).mean((1, 2, 3)) * 255
    torch.testing.assert_close(found, torch.tensor([40.0, 90, 140, 190, 240]), rtol=0, atol=2.0)


def test_stronger_compression_loses_more() -> None:
    clip = reduce(pan(photograph(1, side=136), 128, 3, (0, 0), (3, 1)), 2)
    codings = [
        Coding(encoder="libx264", quality=q, preset="medium", matrix=Matrix.BT709) for q in (16, 26, 36)
    ]
    errors = [float((transcode(clip, c) * 255 - clip).square().mean()) for c in codings]
    assert errors == sorted(errors)
    assert errors[-1] > 2 * errors[0]


@pytest.mark.parametrize("scale", [2, 4])
def test_reduction_is_pils_bicubic(scale: int) -> None:
    image = photograph(2, side=96)
    ours = reduce(image[None], scale)[0].permute(1, 2, 0).numpy().astype(int)
    size = (96 // scale, 96 // scale)
    theirs = Image.fromarray(image.permute(1, 2, 0).numpy()).resize(size, Image.Resampling.BICUBIC)
    # both work in 8-bit steps with fixed-point weights: one code of rounding
    assert abs(ours - np.asarray(theirs).astype(int)).max() <= 1


def test_lr_and_hr_of_a_clip_show_the_same_place() -> None:
    degradation = Degradation(frames=4, size=64, speed=3, clean=0.0, codecs=(X264,))
    clip = make_clip(photograph(3, side=80), degradation, 2, 2, random.Random(0))
    assert clip.hr.shape == (2, 3, 64, 64)
    assert clip.lr.shape == (2, 3, 32, 32)
    lr, hr = clip.lr.float(), F.avg_pool2d(clip.hr.float() / 255, 2)

    def mismatch(shift: tuple[int, int]) -> float:
        return float((lr - hr.roll(shift, (2, 3)))[..., 2:-2, 2:-2].square().mean())

    assert all(mismatch((0, 0)) < mismatch(shift) for shift in ((0, 1), (0, -1), (1, 0), (-1, 0)))


def test_a_pan_moves_evenly_and_stays_inside() -> None:
    ramp = torch.arange(100).repeat(3, 100, 1).to(torch.uint8)  # value = column
    degradation = Degradation(frames=5, size=64, speed=4, codecs=(X264,))
    speeds = set()
    for seed in range(40):
        columns = draw_pan(ramp, degradation, random.Random(seed))[:, 0, 0, 0].int()
        steps = columns.diff()
        assert (steps == steps[0]).all()
        speeds.add(int(steps[0]))
    assert speeds >= {-4, 0, 4}


def test_a_picture_without_room_stands_still() -> None:
    image = photograph(4, side=64)
    degradation = Degradation(frames=5, size=64, speed=4, codecs=(X264,))
    clip = draw_pan(image, degradation, random.Random(1))
    assert all(torch.equal(frame, image) for frame in clip)


def test_shares_are_kept() -> None:
    rare = CodecRange(encoder="mpeg4", share=0.25, quality=(2, 4), presets=("",))
    degradation = Degradation(clean=0.2, codecs=(X264, rare))
    rng = random.Random(0)
    drawn = [draw_coding(degradation, rng) for _ in range(4000)]
    clean = sum(coding is None for coding in drawn) / len(drawn)
    mpeg4 = sum(coding is not None and coding.encoder == "mpeg4" for coding in drawn) / len(drawn)
    # 5 standard deviations of a share p of 4000 draws: 5 sqrt(p (1 - p) / 4000) = 0.032
    assert clean == pytest.approx(0.2, abs=0.032)
    assert mpeg4 == pytest.approx(0.8 * 0.25 / 1.25, abs=0.032)
    assert {c.quality for c in drawn if c and c.encoder == "mpeg4"} == {2, 3, 4}
