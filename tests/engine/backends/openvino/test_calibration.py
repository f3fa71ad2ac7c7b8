"""Ranges for 8-bit integers: measured on synthetic images, the same in each call."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vsr.engine.backends.openvino import calibration
from vsr.engine.backends.openvino.calibration import images, ranges
from vsr.kernels.conv_graph import IMAGE, ConvGraph, GraphBuilder


def test_the_synthetic_images_are_in_range_and_the_same_in_each_call() -> None:
    made = images()
    assert made.shape == (8, 3, 160, 160)
    assert made.min() >= 0
    assert made.max() <= 1
    assert torch.equal(made, images())


def test_the_synthetic_images_have_low_frequencies_and_little_colour_like_photographs() -> None:
    made = images()
    spectrum = torch.fft.rfft2(made.mean(1) - made.mean((1, 2, 3))[:, None, None]).abs().mean(0)
    assert spectrum[1:5, 1:5].mean() > 10 * spectrum[40:80, 40:80].mean()
    assert made.mean(1).std() > 1.5 * (made - made.mean(1, keepdim=True)).std()


def graph(slope: float) -> ConvGraph:
    """Return two convolutions: the first computes -4 times red, which a slope of 0 sets to 0."""
    first, second = nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(2, 3, 3, padding=1)
    with torch.no_grad():
        nn.init.zeros_(first.weight)
        nn.init.zeros_(first.bias)
        first.weight[0, 0, 1, 1] = -4.0
    builder = GraphBuilder()
    builder.add(second, builder.add(first, IMAGE, slopes=slope))
    return builder.build()


def test_each_convolution_has_a_range_that_follows_the_weights() -> None:
    spans = ranges(graph(slope=0.0))
    red = images()[:, 0].max()
    assert len(spans) == 2
    assert 0.9 * red < spans[0] <= 1
    assert spans[1] < 0.0011  # the smallest range that is returned, because all negative values become 0
    assert 3.5 < ranges(graph(slope=1.0))[1] <= 4


def test_outliers_do_not_change_a_range(monkeypatch: pytest.MonkeyPatch) -> None:
    spiked = images()
    spiked[0, 0, 0, 0] = 1000.0
    monkeypatch.setattr(calibration, "images", lambda: spiked)
    assert ranges(graph(slope=1.0))[0] <= 1
