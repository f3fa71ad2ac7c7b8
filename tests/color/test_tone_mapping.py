"""HDR on an sRGB screen: the standards' values, dark tones as they are, no clipped highlight."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vsr.color.spec import ColorSpec, Primaries, Transfer
from vsr.color.tone_mapping import differs_on_screen, light_of_pq, on_screen, pq_of_light

PQ = ColorSpec(transfer=Transfer.PQ, primaries=Primaries.BT2020)
HLG = ColorSpec(transfer=Transfer.HLG, primaries=Primaries.BT2020)
LEVEL = 1 / 255


def grey(*values: float) -> Tensor:
    return torch.tensor(values)[None, None].expand(3, 1, -1)


@pytest.mark.parametrize(
    ("code", "light"),
    # ITU-R BT.2408-7, table 1, and ST 2084: 0 %, 50 %, 58 %, 75 % and 100 % of the signal.
    [(0.0, 0.0), (0.508, 100.0), (0.581, 203.0), (0.752, 1000.0), (1.0, 10000.0)],
)
def test_pq_has_the_light_of_the_standard(code: float, light: float) -> None:
    assert light_of_pq(torch.tensor(code)).item() == pytest.approx(light, rel=0.01, abs=1e-3)
    assert pq_of_light(torch.tensor(light)).item() == pytest.approx(code, abs=0.001)


def srgb(light: float) -> float:
    """Return the sRGB value of light relative to the screen's white (IEC 61966-2-1)."""
    return 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055


def test_dark_and_middle_tones_of_pq_have_their_own_light() -> None:
    """The knee of BT.2390 for 1000 cd/m2 is at 27 cd/m2; up to it, nothing is changed."""
    for light in (0.5, 5.0, 20.0):
        made = on_screen(grey(pq_of_light(torch.tensor(light)).item()), PQ)
        assert made[0, 0, 0].item() == pytest.approx(srgb(light / 203), abs=LEVEL)


@pytest.mark.parametrize("color", [PQ, HLG])
def test_grey_stays_grey_and_brighter_stays_brighter_up_to_white(color: ColorSpec) -> None:
    made = on_screen(grey(*torch.linspace(0, 1, 200).tolist()), color)
    assert (made - made.mean(0)).abs().max() < LEVEL / 4, "the rows of the matrix sum to one"
    assert made.min() == 0
    assert made.max().item() == pytest.approx(1, abs=LEVEL)
    below = made[0, 0, : 150 if color is PQ else 200]
    assert (below.diff() >= 0).all()


def test_a_stated_peak_keeps_its_highlights_apart() -> None:
    bright = pq_of_light(torch.tensor([1000.0, 3900.0])).tolist()
    clipped, kept = (on_screen(grey(*bright), PQ, peak=peak)[0, 0] for peak in (1000, 4000))
    assert clipped[0] == clipped[1]
    assert kept[1] - kept[0] > 5 * LEVEL


def test_diffuse_white_of_hlg_is_bright() -> None:
    """75 % of HLG is diffuse white (BT.2408); it must not become a dark grey, and highlights stay above."""
    white, peak = on_screen(grey(0.75, 1.0), HLG)[0, 0].tolist()
    assert 0.8 < white < peak - 10 * LEVEL


def test_colors_of_bt2020_become_those_of_bt709() -> None:
    """Red of BT.709 in BT.2020's primaries, by the inverse of the matrix in ITU-R BT.2087."""
    light = torch.tensor([0.6274, 0.0691, 0.0164]) * 20
    made = on_screen(pq_of_light(light)[:, None, None], PQ)[:, 0, 0]
    assert made[0].item() == pytest.approx(srgb(20 / 203), abs=LEVEL)
    assert made[1:].max() < 3 * LEVEL


def test_a_wide_gamut_without_hdr_keeps_grey_and_its_curve() -> None:
    color = ColorSpec(transfer=Transfer.BT2020_10, primaries=Primaries.BT2020)
    values = torch.linspace(0, 1, 50)
    made = on_screen(grey(*values.tolist()), color)
    assert (made[1, 0] - values).abs().max() < LEVEL / 4
    red = on_screen(torch.tensor([1.0, 0.0, 0.0])[:, None, None], color)[:, 0, 0].tolist()
    assert red == [1, 0, 0]


def test_other_images_are_not_touched() -> None:
    for transfer in (Transfer.BT709, Transfer.SRGB, Transfer.UNSPECIFIED):
        color = ColorSpec(transfer=transfer, primaries=Primaries.BT709)
        image = torch.rand(3, 4, 5)
        assert not differs_on_screen(color)
        assert on_screen(image, color) is image


def test_extreme_samples_give_finite_colors() -> None:
    image = torch.tensor([-0.5, 0.0, 1e-9, 1.0, 7.0])[None, None].expand(3, 1, -1)
    for color in (PQ, HLG):
        made = on_screen(image, color)
        assert all(map(math.isfinite, made.flatten().tolist()))
        assert 0 <= made.min() <= made.max() <= 1
