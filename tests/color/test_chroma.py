"""Downsampling undoes upsampling exactly, detail does not alias, and each siting has its position."""

from __future__ import annotations

import math

import pytest
import torch

from vsr.color.chroma import SITES, chroma_size, downsample, rows_reached, upsample
from vsr.color.spec import ChromaLocation

SHIFTS = [(1, 1), (1, 0), (0, 1), (2, 0), (2, 2)]
CO_SITED, CENTRED = ChromaLocation.LEFT, ChromaLocation.CENTER
POSITION = {
    ChromaLocation.LEFT: (0, 0.5),
    ChromaLocation.CENTER: (0.5, 0.5),
    ChromaLocation.TOPLEFT: (0, 0),
    ChromaLocation.TOP: (0.5, 0),
    ChromaLocation.BOTTOMLEFT: (0, 1),
    ChromaLocation.BOTTOM: (0.5, 1),
}
"""Position to the right of and below the first luma sample of a pair, in luma samples (H.273, figure 1)."""


def noise(*size):
    return torch.rand(size, dtype=torch.float64, generator=torch.Generator().manual_seed(7)) - 0.5


def wave(frequency, count):
    """Return cosine and sine of `frequency` periods per sample, `(2, count)`."""
    angle = 2 * math.pi * frequency * torch.arange(count, dtype=torch.float64)
    return torch.stack((torch.cos(angle), torch.sin(angle)))


def gain(frequency, location):
    """Return the amplitude of a wave after downsampling by 2, averaged over both phases."""
    samples = downsample(wave(frequency, 2048), (1, 0), location)[:, 20:-20]
    return samples.square().sum(0).mean().sqrt().item()


@pytest.mark.parametrize(("size", "shift", "expected"), [((5, 7), (1, 1), (3, 4)), ((5, 7), (2, 0), (5, 2))])
def test_odd_sizes_are_rounded_up(size, shift, expected):
    assert chroma_size(*size, shift) == expected


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("location", SITES)
def test_downsampling_undoes_upsampling_of_any_content(location, shift):
    for height in (*range(1, 9), 17):
        for width in (*range(1, 9), 30):
            chroma = noise(2, *chroma_size(height, width, shift))
            full = upsample(chroma, height=height, width=width, shift=shift, location=location)
            assert full.shape == (2, height, width)
            returned = downsample(full, shift, location)
            assert torch.allclose(returned, chroma, rtol=0, atol=1e-12), (height, width)


@pytest.mark.parametrize("location", SITES)
def test_chroma_without_subsampling_is_not_changed(location):
    chroma = noise(2, 5, 6)
    assert torch.equal(upsample(chroma, height=5, width=6, shift=(0, 0), location=location), chroma)
    assert torch.equal(downsample(chroma, (0, 0), location), chroma)


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("location", SITES)
def test_a_ramp_is_not_shifted(location, shift):
    """The value of a linear image is the position of a sample, so both directions must keep it."""
    height, width = 48, 64
    rows, columns = torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64)
    full = 100 * rows.view(-1, 1) + columns
    small_height, small_width = chroma_size(height, width, shift)
    step_x, step_y = 1 << shift[0], 1 << shift[1]
    right, down = POSITION[location]
    at_x = step_x * columns[:small_width] + right * (step_x - 1)
    at_y = step_y * rows[:small_height] + down * (step_y - 1)
    small = 100 * at_y.view(-1, 1) + at_x

    inner = (slice(3, -3), slice(3, -3))
    assert torch.allclose(downsample(full, shift, location)[inner], small[inner], rtol=0, atol=1e-9)
    inner = (slice(12, -12), slice(12, -12))
    shown = upsample(small, height=height, width=width, shift=shift, location=location)
    assert torch.allclose(shown[inner], full[inner], rtol=0, atol=1e-9)


def test_bottom_siting_is_top_siting_flipped():
    full = noise(2, 12, 8)
    bottom = downsample(full, (1, 1), ChromaLocation.BOTTOMLEFT)
    assert torch.equal(bottom, downsample(full.flip(-2), (1, 1), ChromaLocation.TOPLEFT).flip(-2))


@pytest.mark.parametrize("location", [CO_SITED, CENTRED])
def test_detail_above_the_limit_of_chroma_is_removed_instead_of_aliased(location):
    # A half-band filter with an interpolating partner must have a gain of 1 at the new limit, 0.25 periods
    # per sample, so its roll-off begins there. Dropping every other sample would have 1 everywhere.
    assert gain(0.5, location) < 1e-9
    assert gain(0.45, location) < 0.2
    assert gain(0.4, location) < 0.35
    assert gain(0.35, location) < 0.5
    assert gain(0.30, location) < 0.8


@pytest.mark.parametrize("location", [CO_SITED, CENTRED])
def test_detail_below_the_limit_of_chroma_is_kept(location):
    assert gain(0, location) == pytest.approx(1, abs=1e-12)
    for frequency in (0.02, 0.05, 0.1):
        assert gain(frequency, location) == pytest.approx(1, abs=0.05)
    assert max(gain(frequency / 100, location) for frequency in range(51)) < 1.1


@pytest.mark.parametrize("location", SITES)
def test_neither_direction_amplifies_noise(location):
    """An exact inverse could amplify; the energy of white noise per pixel shows that this one does not."""
    chroma = noise(1, 200, 200)
    full = upsample(chroma, height=400, width=400, shift=(1, 1), location=location)
    assert full.std() < 1.1 * chroma.std()
    assert downsample(noise(1, 400, 400), (1, 1), location).std() < chroma.std()


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("location", SITES)
def test_a_row_depends_on_no_more_rows_of_chroma_than_rows_reached(location, shift):
    reach = rows_reached(shift)
    height = 64
    middle = chroma_size(height, 8, shift)[0] // 2
    chroma = torch.zeros(1, *chroma_size(height, 8, shift), dtype=torch.float64)
    chroma[:, middle] = 1
    shown = upsample(chroma, height=height, width=8, shift=shift, location=location)
    touched = {int(row) >> shift[1] for row in shown.abs().sum((0, 2)).nonzero()}
    assert touched <= set(range(middle - reach, middle + reach + 1))


def test_the_input_is_not_changed():
    for location in SITES:
        full, chroma = noise(1, 9, 9), noise(1, 5, 5)
        kept = full.clone(), chroma.clone()
        downsample(full, (1, 1), location)
        upsample(chroma, height=9, width=9, shift=(1, 1), location=location)
        assert torch.equal(full, kept[0])
        assert torch.equal(chroma, kept[1])
