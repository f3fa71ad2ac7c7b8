"""Spans for 8-bit integers: found without any picture of anybody's, and the same each time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vsr.engine.backends import calibration
from vsr.engine.backends.calibration import pictures, ranges
from vsr.kernels.conv_graph import IMAGE, ConvGraph, GraphBuilder


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


def graph(slope: float) -> ConvGraph:
    """Two convolutions: the first gives -4 times red, which a slope of 0 takes away."""
    first, second = nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(2, 3, 3, padding=1)
    with torch.no_grad():
        nn.init.zeros_(first.weight)
        nn.init.zeros_(first.bias)
        first.weight[0, 0, 1, 1] = -4.0
    builder = GraphBuilder()
    builder.add(second, builder.add(first, IMAGE, slopes=slope))
    return builder.build()


def test_there_is_one_span_for_each_convolution_and_it_follows_the_weights() -> None:
    spans = ranges(graph(slope=0.0))
    red = pictures()[:, 0].max()
    assert len(spans) == 2
    assert 0.9 * red < spans[0] <= 1
    assert spans[1] < 0.0011  # the least span that is given: nothing is left of what is negative
    assert 3.5 < ranges(graph(slope=1.0))[1] <= 4


def test_outliers_do_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    spiked = pictures()
    spiked[0, 0, 0, 0] = 1000.0
    monkeypatch.setattr(calibration, "pictures", lambda: spiked)
    assert ranges(graph(slope=1.0))[0] <= 1
