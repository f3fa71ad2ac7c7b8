"""The metrics are those of the papers' formulas, according to manual calculation or independent code."""

from __future__ import annotations

import math

import pytest
import torch

from vsr.metrics import (
    flicker,
    grid,
    luma_studio,
    overlap,
    psnr,
    psnr_chroma,
    psnr_y,
    ssim_y,
    temporal_difference,
)


def noise(seed, *size):
    return torch.rand(size, generator=torch.Generator().manual_seed(seed))


def flat(red, green, blue):
    return torch.tensor([red, green, blue], dtype=torch.float32).view(3, 1, 1).expand(3, 16, 16)


# MATLAB: rgb2ycbcr([1 1 1; 0 0 0; 1 0 0; 0 1 0; 0 0 1]) * 255, first column.
@pytest.mark.parametrize(
    ("rgb", "luma"),
    [
        ((1, 1, 1), 235),
        ((0, 0, 0), 16),
        ((1, 0, 0), 81.481),
        ((0, 1, 0), 144.553),
        ((0, 0, 1), 40.966),
    ],
)
def test_luma_equals_that_of_matlab(rgb, luma):
    assert luma_studio(flat(*rgb))[0, 0, 0].item() == pytest.approx(luma, abs=1e-6)


def test_luma_keeps_batch_dimensions():
    assert luma_studio(noise(0, 2, 5, 3, 4, 6)).shape == (2, 5, 1, 4, 6)


def test_psnr_of_a_known_error():
    # An error of one code value of 255 everywhere: 20 lg 255. In luma,
    # grey changes by 219/255 of a code value.
    a, b = flat(0.5, 0.5, 0.5), flat(0.5, 0.5, 0.5) + 1 / 255
    assert psnr(a, b, border=0) == pytest.approx(20 * math.log10(255), abs=1e-4)
    assert psnr_y(a, b, border=0) == pytest.approx(20 * math.log10(255 * 255 / 219), abs=1e-4)


def test_psnr_of_chroma_compares_cb_and_cr_by_bt601_and_ignores_luma():
    a = noise(0, 3, 20, 20) * 0.5
    assert psnr_chroma(a, a + 0.25, border=2) > 120  # rows of the matrix have sum 0 up to five digits
    blue = torch.tensor([0, 0, 0.1]).view(3, 1, 1)
    expected = 10 * math.log10(255**2 / ((11.2**2 + 1.8214**2) / 2))
    assert psnr_chroma(a, a + blue, border=2) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("scale", "side"), [(2, 300), (4, 300), (4, 128)])
def test_a_grid_is_detected_at_its_scale(scale, side):
    hr = noise(0, 3, side, side)
    board = torch.zeros(side, side)
    board[::scale, ::scale] = 1
    # Noise hides a faint grid; a strong one is detected, and without one there is none.
    assert grid([hr + 0.4 * board], [hr], scale=scale) > 4
    assert abs(grid([hr + 0.01 * noise(1, 3, side, side)], [hr], scale=scale)) < 0.5
    odd = torch.zeros(side, side)
    odd[::5, ::5] = 1  # a period of five pixels, which no pixel shuffle by two or four has
    assert grid([hr + 0.4 * odd], [hr], scale=scale) < 2


def test_a_grid_requires_a_minimum_size_and_constant_images_have_none():
    assert grid([noise(0, 3, 63, 80)], [noise(0, 3, 63, 80)], scale=2) is None
    flat_one = torch.full((3, 64, 64), 0.5)
    assert grid([flat_one], [flat_one], scale=2) == 0


def test_equal_images_have_an_infinite_psnr():
    a = noise(1, 3, 20, 20)
    assert psnr(a, a.clone(), border=2) == psnr_y(a, a.clone(), border=2) == math.inf
    assert ssim_y(a, a.clone(), border=2) == pytest.approx(1)


def test_the_border_is_ignored():
    a = noise(2, 3, 24, 24)
    b = a.clone()
    b[:, :4] = 0
    b[..., -4:] = 1
    assert psnr(a, b, border=4) == math.inf
    assert psnr(a, b, border=3) < 30
    assert ssim_y(a, b, border=4) == pytest.approx(1)


def test_ssim_equals_that_of_kornia_over_the_valid_region():
    from kornia.metrics import ssim

    a = noise(3, 2, 3, 40, 33)
    b = (a + 0.3 * noise(4, 2, 3, 40, 33)).clamp(0, 1)
    x, y = luma_studio(a), luma_studio(b)
    expected = ssim(x, y, window_size=11, max_val=255.0, padding="valid").mean().item()
    assert ssim_y(a, b, border=0) == pytest.approx(expected, abs=1e-7)
    assert expected < 0.99


def test_ssim_of_two_greys_is_the_luminance_term():
    a, b = flat(0.2, 0.2, 0.2), flat(0.8, 0.8, 0.8)
    x, y, c1 = 16 + 0.2 * 219, 16 + 0.8 * 219, 2.55**2
    expected = (2 * x * y + c1) / (x * x + y * y + c1)
    assert ssim_y(a, b, border=0) == pytest.approx(expected, abs=1e-6)


def test_half_precision_images_are_measured_in_full_precision():
    a = noise(5, 3, 64, 64).bfloat16()
    b = noise(6, 3, 64, 64).bfloat16()
    assert psnr_y(a, b, border=0) == psnr_y(a.double(), b.double(), border=0)


def test_images_that_cannot_be_compared_are_rejected():
    with pytest.raises(ValueError, match="same shape"):
        psnr(noise(0, 3, 8, 8), noise(0, 3, 8, 9), border=0)
    with pytest.raises(ValueError, match="leaves"):
        psnr_y(noise(0, 3, 8, 8), noise(0, 3, 8, 8), border=4)
    with pytest.raises(ValueError, match="11 pixels"):
        ssim_y(noise(0, 3, 14, 14), noise(0, 3, 14, 14), border=2)


def panned(speed, *, side=40, frames=4):
    """Move a window over noise by `speed` a frame: `(T, 3, side, side)`."""
    image, (down, right) = noise(7, 3, 90, 90), speed
    corners = [(25 + down * i, 25 + right * i) for i in range(frames)]
    return torch.stack([image[:, y : y + side, x : x + side] for y, x in corners])


@pytest.mark.parametrize("speed", [(0, 0), (3, -2), (-5, 0), (1, 7)])
def test_a_perfect_pan_does_not_flicker(speed):
    hr = panned(speed)
    assert flicker(hr, hr, speed) == 0
    # A constant error is neither flicker nor a temporal difference.
    assert flicker(hr + 0.1, hr, speed) == pytest.approx(0, abs=1e-4)
    assert temporal_difference(hr + 0.1, hr) == pytest.approx(0, abs=1e-4)


def test_flicker_of_a_known_alternation():
    # Values alternate by 4 with each frame, and so do all changes, for any motion.
    hr = panned((2, 3))
    sr = hr + torch.tensor([0, 4, 0, 4]).view(4, 1, 1, 1) / 255
    assert flicker(sr, hr, (2, 3)) == pytest.approx(4, abs=1e-4)
    assert temporal_difference(sr, hr) == pytest.approx(4, abs=1e-4)


def test_flicker_is_the_excess_over_hr_and_negative_for_a_more_stable_clip():
    still = panned((0, 0))
    grain = still + 0.02 * torch.stack([noise(20 + i, 3, 40, 40) for i in range(4)])
    expected = 255 * (grain[1:].double() - grain[:-1].double()).abs().mean().item()
    assert flicker(grain, still, (0, 0)) == pytest.approx(expected)
    assert flicker(still, grain, (0, 0)) == pytest.approx(-expected)
    assert flicker(grain, grain, (0, 0)) == 0


def test_flicker_compensates_the_given_pan_only():
    hr = panned((3, -2))
    grain = hr + 0.02 * torch.stack([noise(30 + i, 3, 40, 40) for i in range(4)])
    # Independent noise of [0, 0.02] changes by a third of 0.02 on average, for any motion.
    assert flicker(grain, hr, (3, -2)) == pytest.approx(255 * 0.02 / 3, rel=0.02)
    # With the wrong motion, HR's own changes dominate.
    assert flicker(grain, hr, (-3, 2)) < 0.3


def test_temporal_difference_detects_static_content_that_should_move():
    hr = panned((4, 4))
    stuck = hr[:1].expand_as(hr)
    expected = 255 * (hr[1:].double() - hr[:-1].double()).abs().mean().item()
    assert temporal_difference(stuck, hr) == pytest.approx(expected)
    assert expected > 50


def test_overlap_returns_the_same_content_of_both():
    image = noise(8, 3, 30, 30)
    a, b = image[:, 10:20, 10:22], image[:, 7:17, 14:26]
    left, right = overlap(a, b, (3, -4))
    assert left.shape == (3, 7, 8)
    assert torch.equal(left, right)
    assert torch.equal(left, image[:, 10:17, 14:22])


def test_clips_that_cannot_be_compared_over_time_are_rejected():
    clip = panned((0, 0))
    for measure in (lambda a, b: flicker(a, b, (0, 0)), temporal_difference):
        with pytest.raises(ValueError, match="two images or more"):
            measure(clip[:1], clip[:1])
        with pytest.raises(ValueError, match="the same shape"):
            measure(clip, clip[..., :-1])
    with pytest.raises(ValueError, match="leaves nothing of 40x40"):
        flicker(clip, clip, (40, 0))
