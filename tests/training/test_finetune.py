"""Fine-tuning: better on what was held out, or nothing is written."""

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
from vsr.training.crf_estimate import Compression
from vsr.training.finetune import coded_like, finetune, finish, recipe_for, typical_crf, videos_in
from vsr.training.generators import GeneratorSettings, make_generator
from vsr.training.recipe import Recipe, read_recipe
from vsr.training.run.checkpoint import checkpoints
from vsr.training.run.evaluate import make_trials, measure
from vsr.training.run.loop import Run, StoppedEarlyError, material_for
from vsr.training.run.state import new_state
from vsr.training.schedule import Schedule


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_film(path, pan(1, 40) + pan(2, 40), options={"crf": "22"})


@pytest.fixture(scope="module")
def beginner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network at its start: about as good as its nearest-neighbour skip."""
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


def test_a_beginner_becomes_better_and_the_file_says_where_it_came_from(
    film: Path, beginner: Path, tmp_path: Path
) -> None:
    output = tmp_path / "mine.safetensors"
    outcome = finetune([film], model=beginner, output=output, recipe=tuning(120))
    assert outcome.gain > 0.1
    assert outcome.after["gain"] == pytest.approx(outcome.before["gain"] + outcome.gain)
    assert abs(outcome.crf - 22) <= 4  # the estimate is good to 3, and is rounded
    assert outcome.picture.is_file()
    assert load_generator(output).scale == 2
    with safe_open(output, framework="pt") as file:
        assert file.metadata()["started_from"].startswith("beginner ")


def test_a_model_that_became_worse_is_not_written(film: Path, beginner: Path, tmp_path: Path) -> None:
    output = tmp_path / "mine.safetensors"
    with pytest.raises(ModelError, match="not written"):
        finetune([film], model=beginner, output=output, recipe=tuning(4, lr=0.5))
    assert not output.exists()
    assert not output.with_suffix(".checkpoints").exists()


def test_one_that_is_stopped_after_its_last_step_has_a_checkpoint_and_goes_on_to_the_same_file(
    film: Path, beginner: Path, tmp_path: Path
) -> None:
    whole, output = tmp_path / "whole.safetensors", tmp_path / "mine.safetensors"
    expected = finetune([film], model=beginner, output=whole, recipe=tuning(60))
    log = output.with_suffix(".jsonl")
    ended = lambda: log.exists() and '"step": 60,' in log.read_text()  # noqa: E731
    with pytest.raises(StoppedEarlyError, match="stopped at step 60; run it again to go on"):
        finetune([film], model=beginner, output=output, recipe=tuning(60), stop=ended)
    assert checkpoints(output)[0].stem == "step-000000060"
    found = finetune([film], model=beginner, output=output, recipe=tuning(60))
    assert (found.share, found.after) == (expected.share, expected.after)
    assert not output.with_suffix(".checkpoints").exists()
    weights = [load_generator(path).network.state_dict() for path in (whole, output)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_damaged_video_of_a_folder_and_what_systems_put_there_end_no_run(
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


def test_what_was_learnt_too_eagerly_is_kept_in_part(film: Path, beginner: Path, tmp_path: Path) -> None:
    # One step far beyond the best: all of it is worse than the start, a quarter of it better.
    output = tmp_path / "mine.safetensors"
    finetune([film], model=beginner, output=tmp_path / "good.safetensors", recipe=tuning(120))
    start, good = (load_generator(p).network.state_dict() for p in (beginner, tmp_path / "good.safetensors"))
    recipe = recipe_for(tuning(1, lr=1e-12), load_generator(beginner, fold=False), 22)
    _, held_out = material_for(recipe, [film])
    state = new_state(recipe, device="cpu", start=start)
    trials = make_trials(held_out, recipe)
    before = measure(state.average, trials, recipe, state.device)
    state.average.load_state_dict({name: start[name] + 4 * (good[name] - start[name]) for name in start})
    state.best = before["gain"]
    run = Run(recipe=recipe, output=output, trials=trials, head={}, minutes=None, on_step=None, stop=None)
    outcome = finish(run, state, start, before, 22)
    assert outcome.share < 1
    assert outcome.gain > 0
    with safe_open(output, framework="pt") as file:
        assert float(file.metadata()["learnt"]) == outcome.share


def test_a_filter_and_a_missing_video_are_refused(film: Path, beginner: Path, tmp_path: Path) -> None:
    output = tmp_path / "mine.safetensors"
    with pytest.raises(ModelError, match="use a network"):
        finetune([film], model="bicubic", output=output, recipe=tuning(2))
    with pytest.raises(InputError, match=r"nothing\.mp4"):
        finetune([tmp_path / "nothing.mp4"], model=beginner, output=output, recipe=tuning(2))


def test_the_recipe_takes_the_models_network_and_the_footages_compression(beginner: Path) -> None:
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
