"""Spans for 8-bit integers: found without any picture of anybody's, and the same each time."""

from __future__ import annotations

import torch
from torch import nn

from vsr.engine.backends.calibration import pictures, ranges


def test_the_pictures_are_pictures_and_the_same_each_time() -> None:
    made = pictures()
    assert made.shape == (8, 3, 160, 160)
    assert made.min() >= 0
    assert made.max() <= 1
    assert torch.equal(made, pictures())


def test_they_fall_off_with_frequency_and_have_little_colour_as_photographs_do() -> None:
    made = pictures()
    spectrum = torch.fft.rfft2(made.mean(1) - made.mean((1, 2, 3))[:, None, None]).abs().mean(0)
    assert spectrum[1:5, 1:5].mean() > 10 * spectrum[40:80, 40:80].mean()
    assert made.mean(1).std() > 1.5 * (made - made.mean(1, keepdim=True)).std()


def test_there_is_one_span_for_each_convolution_and_it_follows_the_weights() -> None:
    first, second = nn.Conv2d(3, 2, 1, bias=False), nn.Conv2d(2, 3, 1, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[-4.0, 0, 0], [0, 0, 0]])[..., None, None])
    spans = ranges(nn.Sequential(first, nn.ReLU(), second))
    red = pictures()[:, 0].max()
    assert len(spans) == 2
    assert 0.9 * red < spans[0] <= 1
    assert (
        spans[1] < 0.0011
    )  # 0, or the least span that is given; the ReLU leaves nothing of what is negative
    spans = ranges(nn.Sequential(first, nn.PReLU(init=1.0), second))
    assert 3.5 < spans[1] <= 4


def test_outliers_do_not_decide() -> None:
    class Spike(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = x.clone()
            out[0, 0, 0, 0] = 1000.0
            return out

    assert ranges(nn.Sequential(Spike(), nn.Conv2d(3, 3, 1)))[0] <= 1
