"""Validation: its filters and conditions, and the metrics of clips without detail."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests.training.films import pan, write_film
from tests.training.photographs import photograph, tiny_recipe, write_photographs
from vsr.models.archs.resample import resize
from vsr.training.data.drawing import Dataset, Sample
from vsr.training.degrade.degradation import Augment, Blur, Order
from vsr.training.recipe import Losses, Recipe
from vsr.training.run import evaluate
from vsr.training.run.evaluate import CONDITIONS, OWN, ValidationCase, enlarge, make_cases, measure, upscaled
from vsr.training.run.loop import datasets_for

CPU = torch.device("cpu")


class Network(nn.Module):
    """A filter with the interface of a network."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


BICUBIC = Network(lambda x: enlarge(x, 2)[None])
LANCZOS = Network(lambda x: resize(x, height=2 * x.shape[-2], width=2 * x.shape[-1], kind="lanczos"))


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "SAMPLES", 3)


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("photographs")
    write_photographs(folder, 4)
    return datasets_for(tiny_recipe(), [folder])[1]


def content(x: Tensor) -> bytes:
    return x.contiguous().numpy().tobytes()


def with_orders() -> Recipe:
    degrade = replace(tiny_recipe().degrade, orders=(Order(blur=Blur(sigma=(2.0, 3.0))),), clean=0.0)
    return replace(tiny_recipe(), degrade=degrade)


def test_the_filters_themselves_have_no_gain(held_out: Dataset) -> None:
    recipe = tiny_recipe()
    cases = make_cases(held_out, recipe)
    bicubic = measure(BICUBIC, cases, recipe, CPU)
    assert all(
        bicubic[name] == 0 for name in (*CONDITIONS, "gain", "gain_rgb", "gain_chroma", "gain_chroma_clean")
    )
    assert measure(LANCZOS, cases, recipe, CPU)["over_lanczos"] == 0
    over = [case.bicubic.luma - case.lanczos for case in cases]
    assert bicubic["over_lanczos"] == pytest.approx(sum(over) / len(over))


def test_the_ground_truth_has_a_large_gain_and_no_flicker(held_out: Dataset) -> None:
    recipe = tiny_recipe()
    cases = make_cases(held_out, recipe)
    known = {content(case.lr): case.hr for case in cases}
    known |= {content(t.before[0]): t.before[1] for t in cases if t.before is not None}
    truth = Network(lambda x: known[content(x)][None])
    figures = measure(truth, cases, recipe, CPU)
    assert figures["flicker"] == pytest.approx(0, abs=1e-6)
    assert all(figures[name] > 10 for name in CONDITIONS)
    assert figures["gain"] == pytest.approx(sum(figures[name] for name in CONDITIONS) / len(CONDITIONS))


def tinted(x: Tensor) -> Tensor:
    """Return bicubic interpolation with blue higher by 0.05."""
    return BICUBIC(x) + torch.tensor([0.0, 0.0, 0.05]).view(3, 1, 1)


def test_chroma_is_measured_besides_luma(held_out: Dataset) -> None:
    recipe = tiny_recipe()
    figures = measure(Network(tinted), make_cases(held_out, recipe), recipe, CPU)
    assert figures["gain_chroma"] < figures["gain_rgb"] < figures["gain"] < 0
    assert figures["gain_chroma_clean"] < figures["gain_chroma"], "uncoded LR has more to lose"


def test_no_metric_has_the_name_of_a_loss(held_out: Dataset) -> None:
    recipe = tiny_recipe()  # both are columns of one log
    names = {field.name for field in fields(Losses)} | {"perceptual", "adversarial", "loss", "norm"}
    figures = measure(BICUBIC, make_cases(held_out, recipe), recipe, CPU, nn.L1Loss())
    assert not names & set(figures)


def test_a_grid_is_measured(held_out: Dataset) -> None:
    recipe = tiny_recipe()
    cases = make_cases(held_out, recipe)
    board = torch.zeros(64, 64)
    board[::2, ::2] = 0.05
    gridded = Network(lambda x: BICUBIC(x) + board)
    plain, marked = (measure(network, cases, recipe, CPU)["grid_excess"] for network in (BICUBIC, gridded))
    assert marked > plain + 3


def test_each_kind_of_content_is_measured_separately_and_none_is_missing(tmp_path: Path) -> None:
    write_photographs(tmp_path, 40)
    rows = ["file\trepository\tpath\tkind"]
    rows += [f"photo{i}.png\ta/b\t{i}\t{'map' if i == 7 else 'photo'}" for i in range(40)]
    (tmp_path / "SOURCES.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    held_out = [f"photo{i}.png" for i in range(1, 40, 2)]
    (tmp_path / "HOLDOUT.tsv").write_text("\n".join(["file", *held_out]) + "\n", encoding="utf-8")
    recipe = tiny_recipe()
    cases = make_cases(datasets_for(recipe, [tmp_path])[1], recipe)
    clean = [case.kind for case in cases if case.condition == "clean"]
    assert (
        clean.count("map") == evaluate.MIN_PER_KIND
    )  # three proportional draws from twenty would contain none
    figures = measure(LANCZOS, cases, recipe, CPU)
    assert figures["gain_map"] != figures["gain_photo"]
    counts = {name: clean.count(name) for name in ("map", "photo")}
    mean = sum(counts[name] * figures[f"gain_{name}"] for name in counts) / sum(counts.values())
    assert figures["gain"] == pytest.approx(mean)


def test_the_perceptual_loss_is_compared_with_that_of_bicubic(held_out: Dataset) -> None:
    recipe = tiny_recipe()
    cases = make_cases(held_out, recipe)
    assert "features" not in measure(BICUBIC, cases, recipe, CPU)
    assert measure(BICUBIC, cases, recipe, CPU, nn.L1Loss())["features"] == pytest.approx(1)
    assert measure(Network(tinted), cases, recipe, CPU, nn.L1Loss())["features"] > 1.05


def test_noise_has_flicker(held_out: Dataset) -> None:
    recipe = tiny_recipe()
    cases = [case for case in make_cases(held_out, recipe) if case.condition == "clean"]
    torch.manual_seed(0)
    noisy = Network(lambda x: enlarge(x, 2)[None] + 0.04 * torch.randn(1, 3, 64, 64))
    still, unstable = (measure(network, cases, recipe, CPU)["flicker"] for network in (BICUBIC, noisy))
    # Two independent values with deviation 0.04: a mean distance of 2 / sqrt(pi) * 0.04 * 255 = 11.5 levels.
    assert 6 < unstable - still < 12


def test_validation_cases_are_always_the_same(held_out: Dataset) -> None:
    first, again = (make_cases(held_out, with_orders()) for _ in range(2))
    assert [t.condition for t in first] == [t.condition for t in again]
    assert all(torch.equal(a.lr, b.lr) and torch.equal(a.hr, b.hr) for a, b in zip(first, again, strict=True))


def test_stronger_coding_has_lower_scores(held_out: Dataset) -> None:
    cases = make_cases(held_out, tiny_recipe())
    scores = {name: sum(case.bicubic.luma for case in cases if case.condition == name) for name in CONDITIONS}
    assert list(scores) == ["clean", "crf18", "crf23", "crf28"]
    assert sorted(scores.values(), reverse=True) == list(scores.values())


def test_the_recipes_own_degradation_is_an_additional_condition(held_out: Dataset) -> None:
    plain, own = make_cases(held_out, tiny_recipe()), make_cases(held_out, with_orders())
    assert {case.condition for case in plain} == set(CONDITIONS)
    assert {case.condition for case in own} == {*CONDITIONS, OWN}
    figures = measure(BICUBIC, own, with_orders(), CPU)
    assert figures[OWN] == 0
    blurred, clean = (
        sum(case.bicubic.luma for case in own if case.condition == name) for name in (OWN, "clean")
    )
    assert blurred < clean


def test_the_gain_is_the_mean_over_the_conditions_of_judged_by(held_out: Dataset) -> None:
    recipe = replace(tiny_recipe(), judged_by=("crf28", OWN))
    cases = make_cases(held_out, recipe)
    assert {case.condition for case in cases} == {*CONDITIONS, OWN}
    figures = measure(LANCZOS, cases, recipe, CPU)
    assert figures["gain"] == pytest.approx((figures["crf28"] + figures[OWN]) / 2)
    assert figures["clean"] != figures["gain"]


def test_changed_colours_are_also_changed_in_the_reference(held_out: Dataset) -> None:
    recipe = with_orders()
    bright = Augment(probability=1.0, brightness=(0.5, 0.5))
    dark = replace(recipe, degrade=replace(recipe.degrade, augment=bright))
    for case in make_cases(held_out, dark):
        assert case.bicubic.luma > 15, "half the brightness alone would be about 10 dB"
    own, clean = (
        torch.stack([case.hr.mean() for case in make_cases(held_out, dark) if case.condition == name])
        for name in (OWN, "clean")
    )
    assert torch.allclose(own, clean / 2, atol=0.01)


def test_pairs_are_measured_without_degradation(tmp_path: Path) -> None:
    for name in ("HR", "LR"):
        (tmp_path / name).mkdir()
    write_photographs(tmp_path / "HR", 3, side=128)
    for path in (tmp_path / "HR").iterdir():
        Image.open(path).resize((64, 64)).save(tmp_path / "LR" / path.name)
    recipe = tiny_recipe()
    cases = make_cases(datasets_for(recipe, [tmp_path])[1], recipe)
    assert {case.condition for case in cases} == {OWN}
    figures = measure(BICUBIC, cases, recipe, CPU)
    assert figures[OWN] == figures["gain"] == 0


def test_footage_has_no_flicker_value_because_its_motion_is_unknown(tmp_path: Path) -> None:
    film = write_film(tmp_path / "a.mp4", pan(1, 30))
    recipe = tiny_recipe()
    figures = measure(BICUBIC, make_cases(datasets_for(recipe, [film])[1], recipe), recipe, CPU)
    assert "flicker" not in figures
    assert {*CONDITIONS, "gain", "over_lanczos"} < set(figures)


def test_an_image_without_detail_gives_a_number_and_not_nan(tmp_path: Path) -> None:
    for i in range(3):
        Image.new("RGB", (96, 96), (0, 0, 0)).save(tmp_path / f"{i}.png")
    recipe = tiny_recipe()
    cases = make_cases(datasets_for(recipe, [tmp_path])[1], recipe)
    for network in (BICUBIC, Network(lambda x: enlarge(x, 2)[None] + 0.1)):
        figures = measure(network, cases, recipe, CPU)
        assert all(math.isfinite(value) for value in figures.values())
    assert measure(BICUBIC, cases, recipe, CPU)["gain"] == 0


def test_single_images_have_no_frame_before(held_out: Dataset) -> None:
    class Stills:
        name, licences, pixels, kinds = "stills", "", 1, frozenset({""})

        def draw(self, rng: random.Random) -> Sample:
            return Sample(hr=photograph(rng.randrange(9), 64)[None])

    cases = make_cases(Stills(), tiny_recipe())
    assert all(case.before is None for case in cases)
    assert "flicker" not in measure(BICUBIC, cases, tiny_recipe(), CPU)


def test_the_shown_image_is_the_networks_output(held_out: Dataset) -> None:
    case: ValidationCase = make_cases(held_out, tiny_recipe())[0]
    sr = upscaled(BICUBIC, case, tiny_recipe(), CPU)
    assert sr.shape == case.hr.shape == (3, 64, 64)
    assert torch.equal(sr, enlarge(case.lr, 2))
