"""Fine-tuning improves a model on held-out footage, or writes nothing."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from tests.training.films import pan, write_film
from tests.training.photographs import tiny_recipe
from vsr.errors import InputError, ModelError
from vsr.models.archs.compact import CompactConfig
from vsr.models.files import write_weights
from vsr.models.load import load_generator
from vsr.training import finetune as finetuning
from vsr.training.crf_estimate import Compression
from vsr.training.finetune import coded_like, finetune, finish, recipe_for, typical_crf, videos_in
from vsr.training.generators import GeneratorSettings, make_generator
from vsr.training.recipe import Recipe, read_recipe
from vsr.training.run.checkpoint import checkpoints, save_weights
from vsr.training.run.evaluate import make_cases, measure
from vsr.training.run.loop import Run, StoppedEarlyError, datasets_for
from vsr.training.run.records.page import page_path
from vsr.training.run.state import new_state
from vsr.training.schedule import Schedule


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_film(path, pan(1, 40) + pan(2, 40), options={"crf": "22"})


@pytest.fixture(scope="module")
def beginner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a network with initial weights, about as good as its nearest-neighbour skip connection."""
    path = tmp_path_factory.mktemp("model") / "beginner.safetensors"
    settings = GeneratorSettings(compact=CompactConfig(nf=8, nc=2, scale=2))
    write_weights(path, make_generator(settings, seed=3).state_dict(), {"format": "pt"})
    return path


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def tuning(steps: int, lr: float = 2e-3) -> Recipe:
    recipe = tiny_recipe(steps)
    adam = replace(recipe.adam, lr=lr)
    return replace(recipe, validate_every=max(1, steps // 2), adam=adam, schedule=Schedule(kind="constant"))


def test_an_untrained_model_improves_and_the_file_names_its_origin(
    film: Path, beginner: Path, tmp_path: Path
) -> None:
    output = tmp_path / "mine.safetensors"
    outcome = finetune([film], model=beginner, output=output, recipe=tuning(120))
    assert outcome.gain > 0.1
    assert outcome.after["gain"] == pytest.approx(outcome.before["gain"] + outcome.gain)
    assert abs(outcome.crf - 22) <= 4  # the estimate is accurate to 3 and rounded
    assert outcome.picture.is_file()
    page = page_path(output).read_text(encoding="utf-8")
    assert f"Finished with {outcome.share:g} of what was learnt" in page
    assert '<th class="number">before</th>' in page
    assert load_generator(output).scale == 2
    with safe_open(output, framework="pt") as file:
        assert file.metadata()["started_from"].startswith("beginner ")


def test_a_model_that_became_worse_is_not_written(film: Path, beginner: Path, tmp_path: Path) -> None:
    output = tmp_path / "mine.safetensors"
    with pytest.raises(ModelError, match="not written"):
        finetune([film], model=beginner, output=output, recipe=tuning(4, lr=0.5))
    assert not output.exists()
    assert not output.with_suffix(".checkpoints").exists()
    assert "the model did not improve" in page_path(output).read_text(encoding="utf-8")


def test_a_run_stopped_after_its_last_step_resumes_to_the_same_file(
    film: Path, beginner: Path, tmp_path: Path
) -> None:
    whole, output = tmp_path / "whole.safetensors", tmp_path / "mine.safetensors"
    expected = finetune([film], model=beginner, output=whole, recipe=tuning(60))
    log = output.with_suffix(".jsonl")
    ended = lambda: log.exists() and '"step": 60,' in log.read_text()  # noqa: E731
    with pytest.raises(StoppedEarlyError, match=r"stopped at step 60\. Run it again to resume"):
        finetune([film], model=beginner, output=output, recipe=tuning(60), stop=ended)
    assert checkpoints(output)[0].stem == "step-000000060"
    found = finetune([film], model=beginner, output=output, recipe=tuning(60))
    assert (found.share, found.after) == (expected.share, expected.after)
    assert not output.with_suffix(".checkpoints").exists()
    weights = [load_generator(path).network.state_dict() for path in (whole, output)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_damaged_and_hidden_files_of_a_folder_do_not_end_a_run(
    film: Path, beginner: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "footage"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(film, folder / name)
        (folder / f"._{name}").write_bytes(b"\0\5\x16\7" + bytes(60))
    for name in ("c.mp4", "d.mp4"):
        (folder / name).write_bytes(b"\0" * 3000)
    outcome = finetune([folder], model=beginner, output=tmp_path / "mine.safetensors", recipe=tuning(60))
    assert outcome.gain > 0


def test_an_overtrained_network_is_interpolated_with_the_original(
    film: Path, beginner: Path, tmp_path: Path
) -> None:
    # One step far beyond the optimum: the full step is worse than the original, a quarter of it is better.
    output = tmp_path / "mine.safetensors"
    finetune([film], model=beginner, output=tmp_path / "good.safetensors", recipe=tuning(120))
    start, good = (load_generator(p).network.state_dict() for p in (beginner, tmp_path / "good.safetensors"))
    recipe = recipe_for(tuning(1, lr=1e-12), load_generator(beginner, fold=False), 22)
    _, held_out = datasets_for(recipe, [film])
    state = new_state(recipe, device="cpu", start=start)
    cases = make_cases(held_out, recipe)
    before = measure(state.average, cases, recipe, state.device)
    state.average.load_state_dict({name: start[name] + 4 * (good[name] - start[name]) for name in start})
    state.best = before["gain"]
    run = Run(recipe=recipe, output=output, cases=cases, head={}, minutes=None, on_step=None, stop=None)
    outcome = finish(run, state, start, before, 22)
    assert outcome.share < 1
    assert outcome.gain > 0
    with safe_open(output, framework="pt") as file:
        assert float(file.metadata()["learnt"]) == outcome.share


def test_a_run_killed_after_its_weights_were_written_does_not_interpolate_them_again(
    film: Path, beginner: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes after the weights removes nothing after an exception, so that it stands for a kill."""
    output = tmp_path / "mine.safetensors"
    start = load_generator(beginner).network.state_dict()
    recipe = recipe_for(tuning(1), load_generator(beginner, fold=False), 22)
    _, held_out = datasets_for(recipe, [film])
    cases = make_cases(held_out, recipe)
    run = Run(recipe=recipe, output=output, cases=cases, head={}, minutes=None, on_step=None, stop=None)
    state = new_state(recipe, device="cpu", start=start)
    before = measure(state.average, cases, recipe, state.device)
    state.average.load_state_dict({name: value * 1.0001 for name, value in start.items()})
    save_weights(output, state, recipe, {})
    monkeypatch.setattr(finetuning, "SHARES", (0.5,))
    monkeypatch.setattr(finetuning, "measure", lambda *_: {"gain": before["gain"] + 1})
    state.best = before["gain"] + 2
    killed: list[object] = []
    real = finetuning._comparison_image
    monkeypatch.setattr(finetuning, "_comparison_image", lambda *_: killed.append(1) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        finish(run, state, start, before, 22)
    written = output.read_bytes()
    monkeypatch.setattr(finetuning, "_comparison_image", real)
    outcome = finish(run, state, start, before, 22)
    assert killed
    assert output.read_bytes() == written
    assert (outcome.share, outcome.gain) == (0.5, pytest.approx(1))


def test_a_filter_and_a_missing_video_are_rejected(film: Path, beginner: Path, tmp_path: Path) -> None:
    output = tmp_path / "mine.safetensors"
    with pytest.raises(ModelError, match="Choose a neural network"):
        finetune([film], model="bicubic", output=output, recipe=tuning(2))
    with pytest.raises(InputError, match=r"nothing\.mp4"):
        finetune([tmp_path / "nothing.mp4"], model=beginner, output=output, recipe=tuning(2))


def test_the_recipe_uses_the_models_network_and_the_footages_compression(beginner: Path) -> None:
    shipped = read_recipe("finetune")
    made = recipe_for(shipped, load_generator(beginner, fold=False), crf=30.4)
    assert made.generator.compact == CompactConfig(nf=8, nc=2, scale=2)
    assert {codec.quality for codec in made.degrade.codecs} == {(28, 32)}
    assert coded_like(shipped.degrade, 3).codecs[0].quality == (8, 12)
    assert coded_like(shipped.degrade, 50).codecs[0].quality == (41, 45)


def test_the_median_of_the_files_counts() -> None:
    found = [Compression(codec="h264", crf=crf, bits_per_pixel=0.1, note="") for crf in (35.0, None, 18, 20)]
    assert typical_crf(found) == 20
    assert 18 <= typical_crf([]) <= 28


def test_videos_are_found_by_name_and_in_folders(film: Path, tmp_path: Path) -> None:
    (tmp_path / "b.mkv").touch()
    (tmp_path / "notes.txt").touch()
    odd = tmp_path / "odd.name"
    odd.touch()
    assert videos_in([film, tmp_path]) == [film, tmp_path / "b.mkv"]
    assert videos_in([odd]) == [odd]
