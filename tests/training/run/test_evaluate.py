"""Measuring: against which filters, under which conditions, and what a clip without detail does to it."""

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
from vsr.training.data.drawing import Material, Sample
from vsr.training.degrade.degradation import Augment, Blur, Order
from vsr.training.recipe import Losses, Recipe
from vsr.training.run import evaluate
from vsr.training.run.evaluate import CONDITIONS, OWN, Trial, enlarge, make_trials, measure, upscaled
from vsr.training.run.loop import material_for

CPU = torch.device("cpu")


class Network(nn.Module):
    """A filter in a network's place."""

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
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("photographs")
    write_photographs(folder, 4)
    return material_for(tiny_recipe(), [folder])[1]


def content(x: Tensor) -> bytes:
    return x.contiguous().numpy().tobytes()


def with_orders() -> Recipe:
    degrade = replace(tiny_recipe().degrade, orders=(Order(blur=Blur(sigma=(2.0, 3.0))),), clean=0.0)
    return replace(tiny_recipe(), degrade=degrade)


def test_the_filters_themselves_gain_nothing(held_out: Material) -> None:
    recipe = tiny_recipe()
    trials = make_trials(held_out, recipe)
    bicubic = measure(BICUBIC, trials, recipe, CPU)
    assert all(
        bicubic[name] == 0 for name in (*CONDITIONS, "gain", "gain_rgb", "gain_chroma", "gain_chroma_clean")
    )
    assert measure(LANCZOS, trials, recipe, CPU)["over_lanczos"] == 0
    over = [trial.bicubic.luma - trial.lanczos for trial in trials]
    assert bicubic["over_lanczos"] == pytest.approx(sum(over) / len(over))


def test_the_truth_gains_much_and_is_as_steady_as_itself(held_out: Material) -> None:
    recipe = tiny_recipe()
    trials = make_trials(held_out, recipe)
    known = {content(trial.lr): trial.hr for trial in trials}
    known |= {content(t.before[0]): t.before[1] for t in trials if t.before is not None}
    truth = Network(lambda x: known[content(x)][None])
    figures = measure(truth, trials, recipe, CPU)
    assert figures["flicker"] == pytest.approx(0, abs=1e-6)
    assert all(figures[name] > 10 for name in CONDITIONS)
    assert figures["gain"] == pytest.approx(sum(figures[name] for name in CONDITIONS) / len(CONDITIONS))


def tinted(x: Tensor) -> Tensor:
    """Bicubic with blue 0.05 too high."""
    return BICUBIC(x) + torch.tensor([0.0, 0.0, 0.05]).view(3, 1, 1)


def test_colour_is_measured_beside_luma(held_out: Material) -> None:
    recipe = tiny_recipe()
    figures = measure(Network(tinted), make_trials(held_out, recipe), recipe, CPU)
    assert figures["gain_chroma"] < figures["gain_rgb"] < figures["gain"] < 0
    assert figures["gain_chroma_clean"] < figures["gain_chroma"], "what is clean has more to lose"


def test_no_figure_is_called_as_a_loss_is(held_out: Material) -> None:
    recipe = tiny_recipe()  # both are columns of one log
    names = {field.name for field in fields(Losses)} | {"perceptual", "adversarial", "loss", "norm"}
    figures = measure(BICUBIC, make_trials(held_out, recipe), recipe, CPU, nn.L1Loss())
    assert not names & set(figures)


def test_a_grid_is_measured(held_out: Material) -> None:
    recipe = tiny_recipe()
    trials = make_trials(held_out, recipe)
    board = torch.zeros(64, 64)
    board[::2, ::2] = 0.05
    gridded = Network(lambda x: BICUBIC(x) + board)
    plain, marked = (measure(network, trials, recipe, CPU)["grid_excess"] for network in (BICUBIC, gridded))
    assert marked > plain + 3


def test_each_kind_of_material_is_measured_apart_and_none_is_missing(tmp_path: Path) -> None:
    write_photographs(tmp_path, 40)
    rows = ["file\trepository\tpath\tkind"]
    rows += [f"photo{i}.png\ta/b\t{i}\t{'map' if i == 7 else 'photo'}" for i in range(40)]
    (tmp_path / "SOURCES.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    held_out = [f"photo{i}.png" for i in range(1, 40, 2)]
    (tmp_path / "HOLDOUT.tsv").write_text("\n".join(["file", *held_out]) + "\n", encoding="utf-8")
    recipe = tiny_recipe()
    trials = make_trials(material_for(recipe, [tmp_path])[1], recipe)
    clean = [trial.kind for trial in trials if trial.condition == "clean"]
    assert clean.count("map") == evaluate.OF_A_KIND  # of three draws from twenty none is, by itself
    figures = measure(LANCZOS, trials, recipe, CPU)
    assert figures["gain_map"] != figures["gain_photo"]
    counts = {name: clean.count(name) for name in ("map", "photo")}
    mean = sum(counts[name] * figures[f"gain_{name}"] for name in counts) / sum(counts.values())
    assert figures["gain"] == pytest.approx(mean)


def test_features_are_compared_with_bicubics_where_there_is_a_loss_of_them(held_out: Material) -> None:
    recipe = tiny_recipe()
    trials = make_trials(held_out, recipe)
    assert "features" not in measure(BICUBIC, trials, recipe, CPU)
    assert measure(BICUBIC, trials, recipe, CPU, nn.L1Loss())["features"] == pytest.approx(1)
    assert measure(Network(tinted), trials, recipe, CPU, nn.L1Loss())["features"] > 1.05


def test_noise_flickers(held_out: Material) -> None:
    recipe = tiny_recipe()
    trials = [trial for trial in make_trials(held_out, recipe) if trial.condition == "clean"]
    torch.manual_seed(0)
    noisy = Network(lambda x: enlarge(x, 2)[None] + 0.04 * torch.randn(1, 3, 64, 64))
    still, restless = (measure(network, trials, recipe, CPU)["flicker"] for network in (BICUBIC, noisy))
    # two draws of 0.04 apart: a mean distance of 2 / sqrt(pi) * 0.04 * 255 = 11.5 levels
    assert 6 < restless - still < 12


def test_trials_are_always_the_same(held_out: Material) -> None:
    first, again = (make_trials(held_out, with_orders()) for _ in range(2))
    assert [t.condition for t in first] == [t.condition for t in again]
    assert all(torch.equal(a.lr, b.lr) and torch.equal(a.hr, b.hr) for a, b in zip(first, again, strict=True))


def test_stronger_coding_leaves_less(held_out: Material) -> None:
    trials = make_trials(held_out, tiny_recipe())
    scores = {
        name: sum(trial.bicubic.luma for trial in trials if trial.condition == name) for name in CONDITIONS
    }
    assert list(scores) == ["clean", "crf18", "crf23", "crf28"]
    assert sorted(scores.values(), reverse=True) == list(scores.values())


def test_own_degradations_are_a_condition_more(held_out: Material) -> None:
    plain, own = make_trials(held_out, tiny_recipe()), make_trials(held_out, with_orders())
    assert {trial.condition for trial in plain} == set(CONDITIONS)
    assert {trial.condition for trial in own} == {*CONDITIONS, OWN}
    figures = measure(BICUBIC, own, with_orders(), CPU)
    assert figures[OWN] == 0
    blurred, clean = (
        sum(trial.bicubic.luma for trial in own if trial.condition == name) for name in (OWN, "clean")
    )
    assert blurred < clean


def test_the_gain_is_that_of_the_conditions_that_judge(held_out: Material) -> None:
    recipe = replace(tiny_recipe(), judged_by=("crf28", OWN))
    trials = make_trials(held_out, recipe)
    assert {trial.condition for trial in trials} == {*CONDITIONS, OWN}
    figures = measure(LANCZOS, trials, recipe, CPU)
    assert figures["gain"] == pytest.approx((figures["crf28"] + figures[OWN]) / 2)
    assert figures["clean"] != figures["gain"]


def test_colours_that_are_changed_are_changed_in_what_is_compared_with_too(held_out: Material) -> None:
    recipe = with_orders()
    bright = Augment(probability=1.0, brightness=(0.5, 0.5))
    dark = replace(recipe, degrade=replace(recipe.degrade, augment=bright))
    for trial in make_trials(held_out, dark):
        assert trial.bicubic.luma > 15, "half the brightness alone would be about 10 dB"
    own, clean = (
        torch.stack([trial.hr.mean() for trial in make_trials(held_out, dark) if trial.condition == name])
        for name in (OWN, "clean")
    )
    assert torch.allclose(own, clean / 2, atol=0.01)


def test_pairs_are_measured_as_they_are(tmp_path: Path) -> None:
    for name in ("HR", "LR"):
        (tmp_path / name).mkdir()
    write_photographs(tmp_path / "HR", 3, side=128)
    for path in (tmp_path / "HR").iterdir():
        Image.open(path).resize((64, 64)).save(tmp_path / "LR" / path.name)
    recipe = tiny_recipe()
    trials = make_trials(material_for(recipe, [tmp_path])[1], recipe)
    assert {trial.condition for trial in trials} == {OWN}
    figures = measure(BICUBIC, trials, recipe, CPU)
    assert figures[OWN] == figures["gain"] == 0


def test_footage_has_no_flicker_figure_since_its_motion_is_unknown(tmp_path: Path) -> None:
    film = write_film(tmp_path / "a.mp4", pan(1, 30))
    recipe = tiny_recipe()
    figures = measure(BICUBIC, make_trials(material_for(recipe, [film])[1], recipe), recipe, CPU)
    assert "flicker" not in figures
    assert {*CONDITIONS, "gain", "over_lanczos"} < set(figures)


def test_a_picture_without_detail_gives_a_figure_and_not_nan(tmp_path: Path) -> None:
    for i in range(3):
        Image.new("RGB", (96, 96), (0, 0, 0)).save(tmp_path / f"{i}.png")
    recipe = tiny_recipe()
    trials = make_trials(material_for(recipe, [tmp_path])[1], recipe)
    for network in (BICUBIC, Network(lambda x: enlarge(x, 2)[None] + 0.1)):
        figures = measure(network, trials, recipe, CPU)
        assert all(math.isfinite(value) for value in figures.values())
    assert measure(BICUBIC, trials, recipe, CPU)["gain"] == 0


def test_single_pictures_have_no_picture_before(held_out: Material) -> None:
    class Stills:
        name, licences, pixels, kinds = "stills", "", 1, frozenset({""})

        def draw(self, rng: random.Random) -> Sample:
            return Sample(hr=photograph(rng.randrange(9), 64)[None])

    trials = make_trials(Stills(), tiny_recipe())
    assert all(trial.before is None for trial in trials)
    assert "flicker" not in measure(BICUBIC, trials, tiny_recipe(), CPU)


def test_what_is_shown_is_what_the_network_makes(held_out: Material) -> None:
    trial: Trial = make_trials(held_out, tiny_recipe())[0]
    sr = upscaled(BICUBIC, trial, tiny_recipe(), CPU)
    assert sr.shape == trial.hr.shape == (3, 64, 64)
    assert torch.equal(sr, enlarge(trial.lr, 2))
