"""Tables of quantiles have the moments, the values and the independence of Poisson noise."""

from __future__ import annotations

import pytest
import torch

from vsr.training.degrade.photons import ENTRIES, noise_table, photon_noise


@pytest.mark.parametrize("count", [2, 4, 32, 256])
def test_each_code_has_the_mean_and_variance_of_photons(count: int) -> None:
    rates = torch.arange(256, dtype=torch.float64) / 255 * count
    table = noise_table(count).double() * count
    # the share of each number of photons is rounded to 1 / 4096, and a part of both tails is missing
    torch.testing.assert_close(table.square().mean(1), rates, rtol=0.005, atol=0.003)
    torch.testing.assert_close(table.mean(1), torch.zeros(256, dtype=torch.float64), rtol=0, atol=0.005)


def test_the_shares_of_each_number_are_those_of_torch_poisson() -> None:
    code, count, samples = 40, 16, 200_000
    rate = torch.full((samples,), code / 255 * count)
    photons = torch.poisson(rate, generator=torch.Generator().manual_seed(1))
    expected = photons.long().bincount(minlength=12)[:12]
    codes = torch.full((1, 1, 1, samples), float(code))
    noise = photon_noise(codes, torch.tensor([count]), torch.Generator().manual_seed(2))
    found = (noise * count + rate).round().long().flatten().bincount(minlength=12)[:12]
    # both are random: five standard deviations of a difference of counts, and a quantile of either edge
    assert ((found - expected).abs() <= 5 * (2 * expected).sqrt() + 2 * samples / ENTRIES).all()


def test_black_has_no_photons_and_images_have_counts_of_their_own() -> None:
    codes = torch.tensor([0.0, 200.0]).repeat(2, 1, 64, 64)
    noise = photon_noise(codes, torch.tensor([4, 256]), torch.Generator().manual_seed(3))
    assert not noise[..., 0::2].any()
    few, many = noise[0, ..., 1::2].var(), noise[1, ..., 1::2].var()
    assert float(few / many) == pytest.approx(64, rel=0.2)


def test_the_noise_of_neighbours_is_independent() -> None:
    codes = torch.full((1, 1, 256, 256), 120.0)
    noise = photon_noise(codes, torch.tensor([64]), torch.Generator().manual_seed(4))[0, 0]
    pairs = torch.stack([noise[:, :-1].flatten(), noise[:, 1:].flatten()])
    assert abs(float(torch.corrcoef(pairs)[0, 1])) < 5 / 256  # 5 standard deviations for 256^2 samples
