"""Figures of a frame: what they compare with, and where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import vsr
from tests.media_maker import make_clip
from vsr.metrics import psnr_y, ssim_y
from vsr.report.compare.scores import HIGHEST, Distance, Measuring, scores_for, total
from vsr.report.evaluate import learned


def noise(seed: int, *, height: int = 40, width: int = 48) -> Tensor:
    return torch.randint(40, 200, (3, height, width), generator=torch.Generator().manual_seed(seed)).to(
        torch.uint8
    )


def test_psnr_and_ssim_are_those_of_papers_against_the_reference() -> None:
    sr, hr = noise(1), noise(2)
    found = Measuring(reference=1).frame([sr, hr])
    assert found["PSNR"] == [pytest.approx(psnr_y(sr / 255, hr / 255, border=0)), None]
    assert found["SSIM"] == [pytest.approx(ssim_y(sr / 255, hr / 255, border=0)), None]
    assert Measuring(reference=1).frame([hr, hr])["PSNR"] == [HIGHEST, None]


def test_without_a_reference_there_is_nothing_to_measure_against() -> None:
    found = Measuring(reference=None).frame([noise(1), noise(2)])
    assert set(found) == {score.name for score in scores_for(reference=False)}
    assert "PSNR" not in found


def test_a_softer_panel_is_less_sharp_and_a_flat_one_not_at_all() -> None:
    image = noise(1)
    soft = torch.nn.functional.avg_pool2d(image.float()[None], 3, 1, 1)[0].round().to(torch.uint8)
    flat = torch.full_like(image, 90)
    sharp, softer, none = Measuring(reference=None).frame([image, soft, flat])["Sharpness"]
    assert sharp > softer > none == 0


def test_flicker_is_change_where_the_reference_is_still() -> None:
    still = noise(1)
    moving = still.clone()
    moving[:, :20] += 40
    measuring = Measuring(reference=1)
    assert measuring.frame([still, still])["Flicker"] == [None, None], "the first frame has none before it"
    unsteady = still.clone()
    unsteady[:, 20:] += 10
    unsteady[:, :20] += 50  # where the reference moves, it does not count
    flicker, own = measuring.frame([unsteady, moving])["Flicker"]
    # The luma of equal steps of R', G' and B' grows by 219/255 of the step.
    assert flicker == pytest.approx(10 * 219 / 255, rel=0.05)
    assert own == pytest.approx(0, abs=0.2)


def test_drift_is_the_difference_of_colours_and_not_of_detail() -> None:
    image = noise(1, height=64, width=64)
    shifted, shuffled = image.clone(), image.clone()
    shifted[0] += 6
    shuffled[:, :16, :16] = image[:, :16, :16].flip(-1)
    own, drift, none = Measuring(reference=None).frame([image, shifted, shuffled])["Colour drift"]
    assert own is None
    assert drift == pytest.approx(6 / 3, abs=0.01), "a third of the channels"
    assert none == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (10, 10)])
def test_small_images_have_the_figures_that_fit(size: tuple[int, int]) -> None:
    a = torch.zeros(3, *size, dtype=torch.uint8)
    found = Measuring(reference=1).frame([a + 5, a])
    assert found["SSIM"] == [None, None]
    assert found["PSNR"][0] is not None


def test_a_total_is_the_mean_of_what_is_known() -> None:
    assert total([None, 2.0, 4.0]) == 3
    assert total([None]) is None


def test_lpips_is_measured_against_the_reference_where_weights_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The distance itself is tested in `report/evaluate/test_learned.py`."""

    def of_weights(path: Path) -> Distance:
        assert path == tmp_path / "vgg16.pth"
        return lambda a, b: (a.float() - b.float()).abs().mean().item() / 255

    monkeypatch.setattr(learned, "lpips", of_weights)
    clip = make_clip(tmp_path / "in.mkv", frames=2)
    worse = make_clip(tmp_path / "worse.mkv", frames=2, options={"crf": "45"})
    page = tmp_path / "page.html"
    made = vsr.compare(worse, clip, reference=clip, lpips=tmp_path / "vgg16.pth", output=page)
    assert list(made.totals)[:3] == ["PSNR", "SSIM", "LPIPS"]
    far, equal, itself = made.totals["LPIPS"]
    assert far is not None
    assert far > 0 == equal
    assert itself is None


@pytest.mark.parametrize("words", [{"output": "a.png", "reference": "in.mkv"}, {"output": "a.html"}])
def test_lpips_without_a_reference_or_a_page_is_refused(words: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(vsr.ConfigError, match="is measured against a `reference` on a page"):
        vsr.compare("in.mkv", "out.mkv", lpips="vgg16.pth", **words)
