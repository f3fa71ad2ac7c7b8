"""Training learns, resumes exactly, survives values that are not finite, and leaves complete files."""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.training.photographs import (
    photograph,
    tiny_crisp,
    tiny_muon,
    tiny_recipe,
    tiny_srgan,
    write_photographs,
)
from tests.training.run.test_steps import everything
from vsr.errors import ConfigError, OutputError, VsrError
from vsr.models.archs.compact import detect
from vsr.training.recipe import Recipe
from vsr.training.run import loop
from vsr.training.run.checkpoint import checkpoint_folder, checkpoints
from vsr.training.run.loop import MAX_SKIPPED, StoppedEarlyError, TrainProgress, dump, train
from vsr.training.run.state import State

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    write_photographs(folder, 6)
    return folder


Step = Callable[..., dict[str, float]]


def instead_of_steps(monkeypatch: pytest.MonkeyPatch, make: Callable[[Step], Step]) -> None:
    monkeypatch.setattr(loop, "train_step", make(loop.train_step))


def dying_at(step: int) -> Callable[[Step], Step]:
    """Raise an exception before `step`, as if the process were killed."""

    def make(real: Step) -> Step:
        def dying(state: State, *args: Any, **kwargs: Any) -> dict[str, float]:
            if state.step == step:
                raise KeyboardInterrupt
            return real(state, *args, **kwargs)

        return dying

    return make


def keep_last_state(monkeypatch: pytest.MonkeyPatch) -> list[State]:
    """Return a list of the states of the runs that follow."""
    states: list[State] = []
    real = loop.new_state

    def keeping(*args: Any, **kwargs: Any) -> State:
        states.append(real(*args, **kwargs))
        return states[-1]

    monkeypatch.setattr(loop, "new_state", keeping)
    return states


def rows(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.with_suffix(".jsonl").read_text().splitlines()]


def differing(a: dict[str, Tensor], b: dict[str, Tensor]) -> list[str]:
    assert a.keys() == b.keys()
    return [name for name in a if not torch.equal(a[name], b[name])]


def test_held_out_photographs_gain_over_the_initial_weights(photographs: Path, tmp_path: Path) -> None:
    recipe = replace(tiny_recipe(steps=300, clean=1.0), validate_every=100, seed=1)
    output = tmp_path / "out.safetensors"
    figures = train(recipe, data=[photographs], output=output)
    found = rows(output)
    assert figures["clean"] > found[0]["clean"] + 0.2
    assert found[-1]["loss"] < found[0]["loss"]
    assert [row["step"] for row in found] == [100, 200, 300]


@pytest.mark.parametrize(
    "make", [tiny_recipe, tiny_muon, tiny_srgan, tiny_crisp], ids=lambda make: make.__name__
)
def test_an_interrupted_run_ends_like_an_uninterrupted_one(
    make: Callable[..., Recipe], photographs: Path, vgg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(make(steps=24), validate_every=8)
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    states = keep_last_state(monkeypatch)
    train(recipe, data=[photographs], output=whole, vgg=vgg)
    for step in (5, 13, 22):  # once before the first checkpoint, and twice after it
        with monkeypatch.context() as patch:
            instead_of_steps(patch, dying_at(step))
            with pytest.raises(KeyboardInterrupt):
                train(recipe, data=[photographs], output=broken, vgg=vgg)
    torch.manual_seed(99)  # torch's global generator must not matter
    train(recipe, data=[photographs], output=broken, vgg=vgg)
    assert not differing(everything(states[0]), everything(states[-1]))
    assert not differing(load_file(whole), load_file(broken))
    assert not checkpoint_folder(broken).exists()


def test_a_stopped_run_resumes_to_the_same_bits(photographs: Path, tmp_path: Path) -> None:
    recipe = replace(tiny_srgan(steps=12), validate_every=8)
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    train(recipe, data=[photographs], output=whole)
    seen: list[TrainProgress] = []
    with pytest.raises(StoppedEarlyError, match=r"stopped at step 3\. Run it again to resume"):
        train(recipe, data=[photographs], output=broken, on_step=seen.append, stop=lambda: len(seen) == 3)
    assert [path.stem for path in checkpoints(broken)] == ["step-000000003"]
    train(recipe, data=[photographs], output=broken, on_step=seen.append, stop=lambda: False)
    assert [progress.step for progress in seen] == list(range(1, 13))
    assert seen[-1].position == pytest.approx(11 / 12)
    assert not differing(load_file(whole), load_file(broken))


def test_the_weight_file_describes_itself_and_has_a_log_and_samples_beside_it(
    photographs: Path, tmp_path: Path
) -> None:
    recipe = tiny_recipe(steps=2)
    output = tmp_path / "out.safetensors"
    figures = train(recipe, data=[photographs], output=output)
    assert detect(load_file(output)) == recipe.generator.config
    with safe_open(output, framework="pt") as file:
        head = file.metadata()
    assert {"family": "compact", "scale": "2", "recipe": "tiny", "steps": "2"}.items() <= head.items()
    assert json.loads(head["settings"])["steps"] == 2
    assert json.loads(head["measured"]).keys() == figures.keys()
    assert photographs.name in head["data"]
    made = {path.name for path in tmp_path.iterdir()}
    assert made - {"out.tensorboard"} == {
        "out.jsonl",
        "out.samples",
        "out.training.html",
        "out.safetensors",
    }


def test_a_run_with_another_recipe_is_rejected(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, recipe = tmp_path / "out.safetensors", replace(tiny_recipe(steps=6), validate_every=2)
    instead_of_steps(monkeypatch, dying_at(3))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, data=[photographs], output=output)
    with pytest.raises(ConfigError, match="another recipe, which differs in seed, steps"):
        train(replace(recipe, steps=7, seed=1), data=[photographs], output=output)


def test_minutes_compress_the_schedule(photographs: Path, tmp_path: Path) -> None:
    output, seen = tmp_path / "out.safetensors", list[TrainProgress]()
    train(tiny_recipe(steps=10**9), data=[photographs], output=output, minutes=0.01, on_step=seen.append)
    assert rows(output)[-1]["seconds"] >= 0.6
    assert seen[-2].seconds < 0.6  # the first step after the time limit is the last
    assert seen[0].position == 0
    assert [p.position for p in seen[1:]] == pytest.approx([p.seconds / 0.6 for p in seen[:-1]])


def not_finite(steps: range, times: int) -> Callable[[Step], Step]:
    """Put NaN into the crops of these steps, the first `times` times that they run."""

    def make(real: Step) -> Step:
        seen = dict.fromkeys(steps, 0)

        def poisoned(state: State, recipe: Recipe, batch: Any, **kwargs: Any) -> dict[str, float]:
            if seen.get(state.step, times) < times:
                seen[state.step] += 1
                batch = replace(batch, lr=batch.lr * math.nan)
            return real(state, recipe, batch, **kwargs)

        return poisoned

    return make


def test_a_run_that_diverges_once_is_rolled_back_and_ends_as_without_it(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = replace(tiny_srgan(steps=32), validate_every=16)
    whole, wrong = tmp_path / "whole.safetensors", tmp_path / "wrong.safetensors"
    train(recipe, data=[photographs], output=whole)
    instead_of_steps(monkeypatch, not_finite(range(17, 17 + MAX_SKIPPED + 1), times=1))
    with caplog.at_level(logging.WARNING, "vsr.training"):
        train(recipe, data=[photographs], output=wrong)
    assert "no finite loss at step 28; restarting from step 16" in caplog.text
    assert not differing(load_file(whole), load_file(wrong))


def test_a_few_steps_that_are_not_finite_are_skipped(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recipe, output = replace(tiny_srgan(steps=16), validate_every=4), tmp_path / "out.safetensors"
    instead_of_steps(monkeypatch, not_finite(range(2, 2 + MAX_SKIPPED), times=1))
    states = keep_last_state(monkeypatch)
    with caplog.at_level(logging.WARNING, "vsr.training"):
        train(recipe, data=[photographs], output=output)
    assert "once more" not in caplog.text
    assert all(value.isfinite().all() for value in everything(states[0]).values())
    middle = rows(output)[1]  # steps 5 to 8, none of which was finite
    assert "loss" not in middle
    assert math.isfinite(middle["gain"])


def test_a_run_that_diverges_twice_ends_with_a_good_checkpoint(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, output = replace(tiny_srgan(steps=60), validate_every=4), tmp_path / "out.safetensors"
    with monkeypatch.context() as patch:
        instead_of_steps(patch, not_finite(range(9, 60), times=99))
        with pytest.raises(
            VsrError, match=r"11 consecutive steps had no finite loss\. Lower adam\.lr = 0\.001"
        ):
            train(recipe, data=[photographs], output=output)
    for path in checkpoints(output):
        assert all(value.isfinite().all() for value in load_file(path).values()), path
    assert all(value.isfinite().all() for value in load_file(output).values())


def test_a_run_that_diverges_before_its_first_checkpoint_ends(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead_of_steps(monkeypatch, not_finite(range(60), times=99))
    with pytest.raises(VsrError, match="no finite loss"):
        train(tiny_recipe(), data=[photographs], output=tmp_path / "out.safetensors")


def measured_as(monkeypatch: pytest.MonkeyPatch, gains: list[float]) -> list[dict[str, Tensor]]:
    """Make validations return these gains; return the weights that each validation gets."""
    seen: list[dict[str, Tensor]] = []

    def measured(network: torch.nn.Module, *_: Any) -> dict[str, float]:
        seen.append({name: value.clone() for name, value in network.state_dict().items()})
        return {"clean": gains[len(seen) - 1], "gain": gains[len(seen) - 1]}

    monkeypatch.setattr(loop, "measure", measured)
    return seen


@pytest.mark.parametrize(("make", "kept"), [(tiny_recipe, 1), (tiny_srgan, 2)])
def test_the_best_weights_of_a_pixel_loss_run_and_the_latest_of_a_gan_are_kept(
    make: Callable[..., Recipe], kept: int, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.safetensors"
    seen = measured_as(monkeypatch, [0.1, 0.3, 0.2])
    train(replace(make(steps=6), validate_every=2), data=[photographs], output=output)
    assert len(seen) == 3
    found = load_file(output)
    assert [all(torch.equal(weights[name], found[name]) for name in found) for weights in seen] == [
        number == kept for number in range(3)
    ]


def test_the_best_result_survives_an_interruption(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, recipe = tmp_path / "out.safetensors", replace(tiny_recipe(steps=6), validate_every=2)
    seen = measured_as(monkeypatch, [0.3, 0.1, 0.2])
    with monkeypatch.context() as patch:
        instead_of_steps(patch, dying_at(3))
        with pytest.raises(KeyboardInterrupt):
            train(recipe, data=[photographs], output=output)
    train(recipe, data=[photographs], output=output)
    assert len(seen) == 3
    assert not differing(seen[0], load_file(output))


def test_initial_weights_are_ignored_by_a_resumed_run(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    output, recipe = tmp_path / "out.safetensors", replace(tiny_recipe(steps=4), validate_every=2)
    states = keep_last_state(monkeypatch)
    train(recipe, data=[photographs], output=tmp_path / "whole.safetensors")
    with monkeypatch.context() as patch:
        instead_of_steps(patch, dying_at(3))
        with pytest.raises(KeyboardInterrupt):
            train(recipe, data=[photographs], output=output)
    other = {name: value + 1 for name, value in states[0].network.state_dict().items()}
    train(recipe, data=[photographs], output=output, start=other)
    assert not differing(everything(states[0]), everything(states[-1]))
    assert "started from other weights; the given initial weights are ignored" in caplog.text


def changed(folder: Path, how: str) -> list[Path]:
    """Copy a folder with a small change, as the data of a resumed run."""
    if how == "another source":
        return [folder, folder]
    if how == "an additional image":
        write_photographs(folder, 7)
    elif how == "another picture":
        Image.fromarray(photograph(50).permute(1, 2, 0).numpy()).save(folder / "photo2.png")
    else:
        (folder / "SOURCES.tsv").write_text("file\trepository\tpath\tlicence\nphoto1.png\ta/b\tx\tCC0\n")
    return [folder]


@pytest.mark.parametrize("how", ["another source", "an additional image", "another image", "another licence"])
def test_a_run_resumes_only_with_its_own_data_in_any_folder(
    how: str, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, recipe = tmp_path / "out.safetensors", replace(tiny_recipe(steps=4), validate_every=2)
    with monkeypatch.context() as patch:
        instead_of_steps(patch, dying_at(3))
        with pytest.raises(KeyboardInterrupt):
            train(recipe, data=[photographs], output=output)
    before = output.read_bytes()
    moved = Path(shutil.copytree(photographs, tmp_path / "moved"))
    (moved / "notes.txt").write_text("not read")
    with pytest.raises(
        ConfigError,
        match=r"started with other data: (there are 2 data sources|\w+ contains (different|7) files)",
    ):
        train(recipe, data=changed(Path(shutil.copytree(moved, tmp_path / "other")), how), output=output)
    assert output.read_bytes() == before
    train(recipe, data=[moved], output=output)


def test_a_run_resumes_only_with_its_own_vgg_weights(
    photographs: Path, tmp_path: Path, vgg: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, recipe = tmp_path / "out.safetensors", replace(tiny_crisp(steps=4), validate_every=2)
    with monkeypatch.context() as patch:
        instead_of_steps(patch, dying_at(3))
        with pytest.raises(KeyboardInterrupt):
            train(recipe, data=[photographs], output=output, vgg=vgg)
    other = tmp_path / vgg.name
    save_file({name: value + 1e-3 for name, value in load_file(vgg).items()}, other)
    with pytest.raises(ConfigError, match="VGG19's weights are different"):
        train(recipe, data=[photographs], output=output, vgg=other)


def test_an_output_that_cannot_be_written_is_one_line(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot be (written|created)"):
        train(tiny_recipe(steps=1), data=[photographs], output=tmp_path / "nowhere" / "out.safetensors")


def test_a_dump_shows_the_training_data(photographs: Path, tmp_path: Path) -> None:
    paths = list(dump(tiny_recipe(), data=[photographs], folder=tmp_path, number=2))
    assert [path.name for path in paths] == ["clip-000.png", "clip-001.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
