"""The temporal loss compares the same content at any position, and the second crop follows the pan."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F

from tests.training.photographs import pan
from vsr.training.degrade.clips import reduce
from vsr.training.losses.loss_settings import CHARBONNIER_EPSILON
from vsr.training.losses.temporal import consistency, consistency_on_device, follow

AT_EQUALITY = pytest.approx(CHARBONNIER_EPSILON, rel=1e-5)


def noise(seed, *size):
    return torch.rand(size, generator=torch.Generator().manual_seed(seed))


def window(image, corner, side):
    y, x = corner
    return image[:, y : y + side, x : x + side]


def pair(shifts, side=24):
    """Cut windows of one image: content at p in the first is at p + shift in the second."""
    image = noise(1, 3, 64, 64)
    a = [window(image, (20, 20), side) for _ in shifts]
    b = [window(image, (20 - down, 20 - right), side) for down, right in shifts]
    return torch.stack(a), torch.stack(b), torch.tensor(shifts)


@pytest.mark.parametrize("shift", [(0, 0), (3, 0), (0, -5), (7, 2), (-7, 20), (-3, -4)])
def test_the_same_content_has_no_distance_except_epsilon(shift):
    a, b, shifts = pair([shift])
    assert consistency(a, b, shifts).item() == AT_EQUALITY
    if shift != (0, 0):
        assert consistency(a, b, -shifts).item() > 0.1
        assert consistency(a, b, torch.zeros_like(shifts)).item() > 0.1


def test_each_image_of_a_batch_has_its_own_shift():
    a, b, shifts = pair([(0, 0), (2, -3), (-6, 1)])
    assert consistency(a, b, shifts).item() == AT_EQUALITY
    assert consistency(a, b, shifts.flip(0)).item() > 0.05


def test_a_known_difference_counts_equally_in_small_and_large_overlaps():
    a, b, shifts = pair([(0, 0), (20, 0)])
    b[1] += 0.5
    expected = (CHARBONNIER_EPSILON + (0.25 + CHARBONNIER_EPSILON**2) ** 0.5) / 2
    assert consistency(a, b, shifts).item() == pytest.approx(expected, rel=1e-5)


def test_the_loss_equals_a_loop_over_pixels():
    a, b = noise(2, 1, 1, 5, 6), noise(3, 1, 1, 5, 6)
    down, right = 2, -3
    terms = [
        ((a[0, 0, y, x] - b[0, 0, y + down, x + right]) ** 2 + 1e-6).sqrt()
        for y in range(5)
        for x in range(6)
        if 0 <= y + down < 5 and 0 <= x + right < 6
    ]
    assert len(terms) == 3 * 3
    found = consistency(a, b, torch.tensor([[down, right]]))
    assert found.item() == pytest.approx(torch.stack(terms).mean().item(), rel=1e-5)


def test_only_the_overlap_of_both_images_gets_a_gradient():
    a, b = noise(4, 1, 3, 8, 8).requires_grad_(), noise(5, 1, 3, 8, 8).requires_grad_()
    consistency(a, b, torch.tensor([[2, -3]])).backward()
    in_a, in_b = (t.grad.abs().sum((0, 1)) > 0 for t in (a, b))
    expected_a, expected_b = torch.zeros(2, 8, 8, dtype=torch.bool)
    expected_a[:6, 3:] = True
    expected_b[2:, :5] = True
    assert torch.equal(in_a, expected_a)
    assert torch.equal(in_b, expected_b)


def test_the_border_of_both_images_is_ignored():
    a, b, shifts = pair([(3, -2)])
    for picture in (a, b):
        picture[..., :4, :] = 0
        picture[..., -4:] = 1
    assert consistency(a, b, shifts, border=4).item() == AT_EQUALITY
    assert consistency(a, b, shifts, border=3).item() > 0.01


def test_the_loss_of_bf16_images_is_fp32():
    a, b = noise(6, 2, 3, 8, 8).bfloat16(), noise(7, 2, 3, 8, 8).bfloat16()
    found = consistency(a, b, torch.zeros(2, 2, dtype=torch.int64))
    assert found.dtype == torch.float32


def test_images_that_cannot_be_compared_are_rejected():
    a, b, shifts = pair([(0, 0), (1, 1)])
    for wrong in ((a, b[:, :, :-1], shifts), (a, b, shifts[:1]), (a, b, shifts[0])):
        with pytest.raises(ValueError, match="do not match"):
            consistency(*wrong)
    with pytest.raises(ValueError, match="leaves nothing of 24x24"):
        consistency(a, b, torch.tensor([[0, 0], [24, 0]]))


@pytest.mark.parametrize("scale", [2, 4])
def test_following_a_pan_gives_the_shift_at_which_hr_crops_match(scale):
    rng, image = random.Random(0), (255 * noise(8, 3, 160, 160)).byte()
    for _ in range(50):
        speed = rng.randint(-4, 4), rng.randint(-4, 4)
        clip = pan(image, 96, 5, (32, 32), speed)
        first, second = rng.sample(range(5), 2)
        travel = tuple(s * (second - first) for s in speed)
        side, patch = 96 // scale, 32 // scale
        corner = rng.randint(0, side - patch), rng.randint(0, side - patch)
        view = follow(corner, travel, size=(side, side), patch=patch, scale=scale)
        crops = [
            window(clip[frame], (y * scale, x * scale), patch * scale)[None] / 255
            for frame, (y, x) in ((first, corner), (second, view.corner))
        ]
        assert crops[1].shape == crops[0].shape
        assert consistency(*crops, torch.tensor([view.shift])).item() == AT_EQUALITY


def test_inside_the_image_the_pan_is_followed_to_half_an_lr_pixel():
    for travel in range(-20, 21):
        view = follow((30, 30), (travel, -travel), size=(90, 90), patch=20, scale=4)
        assert max(abs(move) for move in view.shift) <= 2
        assert view.shift == (-travel - 4 * (view.corner[0] - 30), travel - 4 * (view.corner[1] - 30))


def test_at_the_border_the_crop_stays_inside_and_the_shift_is_adjusted():
    view = follow((0, 70), (9, -9), size=(90, 90), patch=20, scale=2)
    assert view.corner == (0, 70)
    assert view.shift == (-9, 9)


def test_a_network_that_is_stable_under_shifts_has_a_lower_loss():
    """Compare nearest-neighbour interpolation, which follows the LR grid, with bicubic, which hardly does."""
    smooth = F.interpolate(noise(9, 1, 3, 20, 20), size=(160, 160), mode="bicubic", antialias=True)[0]
    clip = pan((255 * smooth.clamp(0, 1)).byte(), 120, 2, (10, 10), (3, 2))
    lr = reduce(clip, 4) / 255
    view = follow((8, 8), (3, 2), size=(30, 30), patch=16, scale=4)
    crops = [window(lr[0], (8, 8), 16)[None], window(lr[1], view.corner, 16)[None]]
    losses = {}
    for mode in ("nearest", "bicubic"):
        sr = [F.interpolate(crop, scale_factor=4, mode=mode) for crop in crops]
        losses[mode] = consistency(*sr, torch.tensor([view.shift]), border=8).item()
    assert losses["bicubic"] < losses["nearest"] / 2


@pytest.mark.parametrize("shift", [(0, 0), (3, -5), (-4, 1), (15, 15), (-1, -15)])
def test_the_loss_on_the_device_and_its_gradients_are_the_same(shift: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    found = []
    for compared in (consistency, consistency_on_device):
        generator.manual_seed(1)
        a, b = (torch.rand(3, 3, 16, 16, generator=generator, requires_grad=True) for _ in range(2))
        loss = compared(a, b, torch.tensor([shift, (1, 2), (0, -7)]))
        loss.backward()
        found.append((loss.detach(), a.grad, b.grad))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-8)  # type: ignore[arg-type]
