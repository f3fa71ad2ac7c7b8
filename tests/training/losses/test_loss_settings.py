"""The losses are those of the papers, according to manual calculation and plain loops over the batch."""

from __future__ import annotations

import math

import pytest
import torch

from vsr.training.losses.loss_settings import (
    ADVERSARIAL,
    PIXEL,
    SIGMOID_EPSILON,
    chroma,
    discriminator_losses,
    generator_loss,
    grid,
    needs_real,
    tone,
)

CLOSE = {"rel": 1e-5, "abs": 1e-6}
"""Tolerance of fp32 sums of a few dozen numbers, compared with double precision."""


def noise(seed, *size):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("l1", (0.5 + 0.25 + 0 + 1) / 4),
        ("mse", (0.25 + 0.0625 + 0 + 1) / 4),
        ("charbonnier", sum(math.sqrt(d * d + 1e-6) for d in (0.5, 0.25, 0, 1)) / 4),
    ],
)
def test_pixel_losses_of_known_differences(kind, expected):
    sr = torch.tensor([0.5, 0.75, 0.25, 0.0])
    hr = torch.tensor([1.0, 0.5, 0.25, 1.0])
    assert PIXEL[kind](sr, hr).item() == pytest.approx(expected, **CLOSE)


@pytest.mark.parametrize("kind", PIXEL)
def test_pixel_losses_of_bf16_are_computed_in_fp32(kind):
    sr, hr = noise(0, 2, 3, 8, 8).bfloat16(), noise(1, 2, 3, 8, 8)
    assert PIXEL[kind](sr, hr).dtype == torch.float32
    assert torch.equal(PIXEL[kind](sr, hr), PIXEL[kind](sr.float(), hr))


def test_the_charbonnier_gradient_is_finite_for_equal_images():
    sr = torch.zeros(3, requires_grad=True)
    PIXEL["charbonnier"](sr, torch.zeros(3)).backward()
    assert sr.grad is not None
    assert torch.equal(sr.grad, torch.zeros(3))


# With logits of 0 a discriminator cannot decide, and every cross entropy is ln 2.
@pytest.mark.parametrize(
    ("kind", "generator", "real", "fake"),
    [
        ("vanilla", math.log(2), math.log(2), math.log(2)),
        ("relativistic", math.log(2), math.log(2) / 2, math.log(2) / 2),
        ("relativistic-sigmoid", 2 * math.log(2), math.log(2), math.log(2)),
        ("lsgan", 1, 1, 0),
        ("hinge", 0, 1, 1),
    ],
)
def test_losses_of_an_undecided_discriminator(kind, generator, real, fake):
    zero = torch.zeros(4, 1)
    assert generator_loss(kind, zero, zero).item() == pytest.approx(generator, **CLOSE)
    assert [v.item() for v in discriminator_losses(kind, zero, zero)] == pytest.approx([real, fake], **CLOSE)


def cross_entropy(logit, label):
    return -math.log(sigmoid(logit) if label else 1 - sigmoid(logit))


def relativistic_by_loop(real, fake):
    """Compute ESRGAN's equations 1 and 2 for each image: generator, discriminator on real, on fake."""
    real_mean, fake_mean = sum(real) / len(real), sum(fake) / len(fake)
    generator = on_real = on_fake = 0.0
    for r, f in zip(real, fake, strict=True):
        generator += cross_entropy(r - fake_mean, 0) + cross_entropy(f - real_mean, 1)
        on_real += cross_entropy(r - fake_mean, 1)
        on_fake += cross_entropy(f - real_mean, 0)
    return [total / len(real) for total in (generator, on_real, on_fake)]


def plain_by_loop(kind, real, fake):
    terms = {
        "vanilla": lambda r, f: (cross_entropy(f, 1), cross_entropy(r, 1), cross_entropy(f, 0)),
        "lsgan": lambda r, f: ((f - 1) ** 2, (r - 1) ** 2, f**2),
        "hinge": lambda r, f: (-f, max(0, 1 - r), max(0, 1 + f)),
    }[kind]
    totals = [0.0, 0.0, 0.0]
    for r, f in zip(real, fake, strict=True):
        totals = [a + b for a, b in zip(totals, terms(r, f), strict=True)]
    return [total / len(real) for total in totals]


def by_loop(kind, real, fake):
    r, f = real.flatten().tolist(), fake.flatten().tolist()
    if not kind.startswith("relativistic"):
        return plain_by_loop(kind, r, f)
    found = relativistic_by_loop(r, f)
    return found if kind == "relativistic-sigmoid" else [value / 2 for value in found]


@pytest.mark.parametrize("shape", [(5, 1), (2, 1, 6, 7)], ids=["one a picture", "a map"])
@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_adversarial_losses_are_those_of_a_loop_over_the_batch(kind, shape):
    real, fake = 2 * noise(2, *shape) + 1, 2 * noise(3, *shape)
    found = [generator_loss(kind, real, fake), *discriminator_losses(kind, real, fake)]
    assert [v.item() for v in found] == pytest.approx(by_loop(kind, real, fake), **CLOSE)


def test_relativistic_losses_by_hand():
    # Means are 2 and -1. The real logits 1 and 3 lie 2 and 4 above fake's mean; fake's lie at -3 and -3.
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([-1.0, -1.0])
    two, four, three = (math.log1p(math.exp(-x)) for x in (2, 4, 3))
    losses = discriminator_losses("relativistic", real, fake)
    assert losses.real.item() == pytest.approx((two + four) / 4, **CLOSE)
    assert losses.fake.item() == pytest.approx(three / 2, **CLOSE)
    expected = ((two + 2 + four + 4) / 2 + three + 3) / 2  # softplus(x) = softplus(-x) + x
    assert generator_loss("relativistic", real, fake).item() == pytest.approx(expected, **CLOSE)


def leaves(*size):
    return noise(4, *size).requires_grad_(), noise(5, *size).requires_grad_()


@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_the_generator_gives_no_gradient_to_the_real_logits(kind):
    real, fake = leaves(6, 1)
    generator_loss(kind, real, fake).backward()
    assert real.grad is None
    assert fake.grad is not None
    assert fake.grad.abs().sum() > 0


def test_relativistic_means_are_constants_for_the_discriminator_but_not_for_the_generator():
    real, fake = leaves(6, 1)
    losses = discriminator_losses("relativistic", real, fake)
    assert torch.autograd.grad(losses.real, fake, allow_unused=True, retain_graph=True) == (None,)
    assert torch.autograd.grad(losses.fake, real, allow_unused=True) == (None,)
    # d/df of (softplus(r - mean f) + softplus(-(f - mean r))) / 2,
    # with a constant r: f appears in both terms.
    (found,) = torch.autograd.grad(generator_loss("relativistic", real, fake), fake)
    n = len(fake)
    expected = -(torch.sigmoid(real - fake.mean()).mean() + torch.sigmoid(-(fake - real.mean()))) / (2 * n)
    torch.testing.assert_close(found, expected)


def test_separate_backward_passes_equal_one_for_the_detached_kinds():
    for kind in ("vanilla", "relativistic", "lsgan", "hinge"):
        real, fake = leaves(6, 1)
        whole = discriminator_losses(kind, real, fake)
        once = torch.autograd.grad(whole.real + whole.fake, (real, fake))
        losses = discriminator_losses(kind, real, fake)
        losses.real.backward()
        losses.fake.backward()
        torch.testing.assert_close((real.grad, fake.grad), once)


def test_the_sigmoid_kind_has_gradients_through_both_means():
    real, fake = leaves(6, 1)
    losses = discriminator_losses("relativistic-sigmoid", real, fake)
    (through,) = torch.autograd.grad(losses.real, fake)
    assert through.abs().sum() > 0


def test_the_loss_of_a_certain_discriminator_is_clamped_to_a_finite_value():
    # A logit of 100 is a probability of 1 in fp32, whose logarithm would be infinite without the clamp.
    real, fake = torch.full((3, 1), 50.0), torch.full((3, 1), -50.0)
    clamped = 2 * -math.log(SIGMOID_EPSILON)
    # In fp32, 1 - 1e-7 is 1 - 1.19e-7: ln differs by 0.18.
    assert generator_loss("relativistic-sigmoid", real, fake).item() == pytest.approx(clamped, abs=0.2)
    assert generator_loss("relativistic", real, fake).item() == pytest.approx(100, **CLOSE)


@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_logits_of_bf16_are_computed_in_fp32(kind):
    real, fake = noise(6, 4, 1).bfloat16(), noise(7, 4, 1).bfloat16()
    found = [generator_loss(kind, real, fake), *discriminator_losses(kind, real, fake)]
    expected = [
        generator_loss(kind, real.float(), fake.float()),
        *discriminator_losses(kind, real.float(), fake.float()),
    ]
    assert all(f.dtype == torch.float32 and torch.equal(f, e) for f, e in zip(found, expected, strict=True))


@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_real_logits_are_required_only_where_they_are_used(kind):
    fake = noise(8, 4, 1)
    if needs_real(kind):
        with pytest.raises(ValueError, match="Give their logits"):
            generator_loss(kind, None, fake)
    else:
        assert torch.equal(generator_loss(kind, None, fake), generator_loss(kind, noise(9, 4, 1), fake))


def test_logits_of_other_shapes_are_rejected_instead_of_broadcast():
    with pytest.raises(ValueError, match="same shape"):
        generator_loss("relativistic", noise(0, 4, 1), noise(0, 4))
    with pytest.raises(ValueError, match="same shape"):
        discriminator_losses("vanilla", noise(0, 4, 1), noise(0, 3, 1))


def test_the_tone_loss_ignores_detail_and_detects_a_shift_of_colour() -> None:
    hr = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    board = torch.ones(48, 48)
    board[::2, ::2] = board[1::2, 1::2] = -1  # keeps the means of blocks
    assert float(tone(hr + 0.2 * board, hr)) < 1e-6
    assert float(tone(hr + torch.tensor([0.01, 0.0, -0.02]).view(3, 1, 1), hr)) == pytest.approx(
        0.01, rel=1e-4
    )


def test_the_chroma_loss_ignores_luma_and_measures_cb_and_cr() -> None:
    hr = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    assert float(chroma(hr + 0.1, hr)) < 1e-6
    # BT.601: blue that is higher by 0.1 changes Cb by (1 - 0.114) / 1.772 of it, Cr by -0.114 / 1.402.
    blue = torch.tensor([0.0, 0.0, 0.1]).view(3, 1, 1)
    assert float(chroma(hr + blue, hr)) == pytest.approx((0.05 + 0.1 * 0.114 / 1.402) / 2, rel=1e-4)


@pytest.mark.parametrize("scale", [2, 4])
def test_the_grid_loss_detects_only_a_pattern_over_the_positions_of_a_pixel_shuffle(scale: int) -> None:
    hr = torch.rand(2, 3, 16 * scale, 16 * scale, generator=torch.Generator().manual_seed(1))
    place = torch.zeros(16 * scale, 16 * scale)
    place[::scale, ::scale] = 0.1
    share = 1 / scale**2  # one position deviates by 0.1 (1 - share), the others by 0.1 share
    expected = 0.1 * 2 * share * (1 - share)
    assert float(grid(hr + place, hr, scale)) == pytest.approx(expected, rel=1e-4)
    assert float(grid(hr + 0.1, hr, scale)) < 1e-6
    blocks = torch.rand(2, 3, 16, 16).repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    assert float(grid(hr + blocks, hr, scale)) < 1e-6, "the errors are equal within an LR pixel"


def test_a_grid_that_is_inverted_across_the_image_counts_fully() -> None:
    hr = torch.zeros(1, 3, 32, 32)
    board = torch.zeros(32, 32)
    board[::2, ::2] = 0.1
    board[:, 16:] *= -1
    assert float(grid(hr + board, hr, 2)) == pytest.approx(0.1 * 2 / 4 * 3 / 4, rel=1e-4)


def test_the_grid_loss_has_a_gradient_for_images_smaller_than_a_block() -> None:
    sr = torch.rand(1, 3, 8, 8, requires_grad=True)
    grid(sr, torch.zeros(1, 3, 8, 8), 4).backward()
    assert sr.grad is not None
    assert sr.grad.abs().sum() > 0
