"""Checkpoints are complete or ignored, contain all that a run needs, and never damage an older one."""

from __future__ import annotations

import errno
import logging
import os
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tests.training.photographs import tiny_crisp, tiny_recipe, tiny_srgan, write_vgg
from tests.training.run.test_steps import batch_of, everything
from vsr import writing
from vsr.errors import ConfigError, InputError, OutputError
from vsr.training.recipe import Losses, Recipe
from vsr.training.run.checkpoint import (
    checkpoint_folder,
    checkpoints,
    remove_checkpoints,
    resume,
    save_checkpoint,
    save_weights,
)
from vsr.training.run.state import State, new_state
from vsr.training.run.steps import train_step


def trained(recipe: Recipe, steps: int, vgg: Path | None = None) -> State:
    state = new_state(recipe, vgg=vgg)
    for _ in range(steps):
        train_step(state, recipe, batch_of(), factor=1.0)
    return state


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Return the output of a run with checkpoints at steps 1 and 2."""
    path, recipe = tmp_path / "out.safetensors", tiny_recipe()
    state = new_state(recipe)
    for _ in range(2):
        train_step(state, recipe, batch_of(), factor=1.0)
        save_checkpoint(path, state, recipe)
    return path


def resumed_at(output: Path) -> int:
    state = new_state(tiny_recipe())
    assert resume(output, state, tiny_recipe())
    return state.step


@pytest.mark.parametrize("make", [tiny_recipe, tiny_srgan, tiny_crisp], ids=lambda make: make.__name__)
def test_a_checkpoint_contains_the_complete_state(make: Callable[[], Recipe], tmp_path: Path) -> None:
    recipe, output = make(), tmp_path / "out.safetensors"
    vgg = write_vgg(tmp_path / "vgg.safetensors")
    state = trained(recipe, 3, vgg)
    state.seconds, state.best = 1.25, 0.1 + 0.2
    save_checkpoint(output, state, recipe)
    again = new_state(recipe, vgg=vgg)
    assert resume(output, again, recipe)
    assert (again.step, again.seconds, again.best) == (3, 1.25, 0.1 + 0.2)
    for _ in range(2):  # the next steps would reveal missing state
        train_step(state, recipe, batch_of(), factor=0.5)
        train_step(again, recipe, batch_of(), factor=0.5)
        expected, found = everything(state), everything(again)
        assert expected.keys() == found.keys()
        assert not [name for name, value in expected.items() if not torch.equal(value, found[name])]


def test_a_run_without_checkpoints_starts_again(tmp_path: Path) -> None:
    state = new_state(tiny_recipe())
    assert not resume(tmp_path / "out.safetensors", state, tiny_recipe())
    assert state.step == 0


def test_only_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    recipe, output = replace(tiny_recipe(), checkpoints=3), tmp_path / "out.safetensors"
    state = new_state(recipe)
    for step in (5, 90, 100, 1000):
        state.step = step
        save_checkpoint(output, state, recipe)
    assert [path.stem for path in checkpoints(output)] == [f"step-{step:09d}" for step in (1000, 100, 90)]
    assert len(list(checkpoint_folder(output).iterdir())) == 3
    remove_checkpoints(output)
    assert not checkpoint_folder(output).exists()


def flipped(at: float) -> Callable[[bytes], bytes]:
    """Return a function that flips one bit, at a fraction of the file's length."""

    def flip(data: bytes) -> bytes:
        place = int(at * (len(data) - 1))
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    return flip


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "cut in the head": lambda data: data[:40],
    "zeros": lambda data: b"\0" * len(data),
    "step": lambda data: data.replace(b'"step":"2"', b'"step":"9"'),
    "recipe": lambda data: data.replace(b'\\"steps\\": 60', b'\\"steps\\": 61'),
    "no recipe": lambda data: data.replace(b'"recipe":', b'"recipy":'),
    "shape": lambda data: data.replace(b"[8,3,3,3]", b"[3,8,3,3]"),
    "last byte": flipped(1.0),
    **{f"bit at {at:.0%}": flipped(at) for at in (0.0, 0.3, 0.5, 0.7, 0.9)},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_skipped_for_the_previous_one(
    damage: str, output: Path, caplog: pytest.LogCaptureFixture
) -> None:
    newest = checkpoints(output)[0]
    data = newest.read_bytes()
    broken = DAMAGES[damage](data)
    assert broken != data
    newest.write_bytes(broken)
    with caplog.at_level(logging.WARNING, "vsr.training"):
        assert resumed_at(output) == 1
    (warning,) = caplog.messages
    assert newest.name in warning
    assert "using the previous checkpoint" in warning


def test_if_all_checkpoints_are_damaged_one_line_says_what_to_do(output: Path) -> None:
    for path in checkpoints(output):
        path.write_bytes(b"\0" * 100)
    state = new_state(tiny_recipe())
    before = everything(state)
    with pytest.raises(InputError, match=r"out\.checkpoints: .*Delete the folder to start again") as error:
        resume(output, state, tiny_recipe())
    assert "\n" not in str(error.value)
    assert all(torch.equal(value, before[name]) for name, value in everything(state).items())


def test_a_run_may_resume_with_another_number_of_workers(output: Path) -> None:
    recipe = tiny_recipe()
    assert resume(output, new_state(recipe), replace(recipe, pool=replace(recipe.pool, workers=5)))


def test_a_checkpoint_of_another_recipe_is_rejected_with_the_differences(output: Path) -> None:
    other = replace(tiny_recipe(), steps=61, losses=Losses(pixel="mse"))
    with pytest.raises(ConfigError, match=r"another recipe, which differs in losses, steps\."):
        resume(output, new_state(other), other)


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Limit the file size as the kernel enforces it; Python ignores the signal that the kernel sends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fails(output: Path, saying: str) -> None:
    """Check that the third checkpoint cannot be written, and that the run resumes from the second."""
    state = new_state(tiny_recipe())
    state.step = 3
    with pytest.raises(OutputError, match=rf"step-000000003\.safetensors:? cannot be written .*{saying}"):
        save_checkpoint(output, state, tiny_recipe())
    assert [path.stem[-1] for path in checkpoints(output)] == ["2", "1"]
    assert len(list(checkpoint_folder(output).iterdir())) == 2
    assert resumed_at(output) == 2


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no /dev/full")
def test_a_full_disk_keeps_the_older_checkpoints(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "new_file", lambda path: Path("/dev/full").open("r+b"))  # noqa: SIM115
    fails(output, "No space left")


def test_a_file_that_grows_too_large_keeps_the_older_checkpoints(output: Path) -> None:
    with files_no_larger_than(4000):
        fails(output, "File too large")


def test_a_disk_that_fails_at_the_end_keeps_the_older_checkpoints(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        fails(output, "Input/output error")


def test_a_folder_that_cannot_be_created_is_one_line(tmp_path: Path) -> None:
    output = tmp_path / "out.safetensors"
    checkpoint_folder(output).write_bytes(b"a file in the way")
    with pytest.raises(OutputError, match=r"out\.checkpoints cannot be created"):
        save_checkpoint(output, new_state(tiny_recipe()), tiny_recipe())


def test_a_weight_file_contains_the_average_and_its_description(tmp_path: Path) -> None:
    recipe, path = tiny_srgan(), tmp_path / "out.safetensors"
    state = trained(recipe, 3)
    save_weights(path, state, recipe, {"recipe": "tiny-srgan"})
    average, found = state.average.state_dict(), load_file(path)
    assert found.keys() == {name for name in average if "num_batches" not in name}
    assert all(torch.equal(value, average[name]) for name, value in found.items())
    with safe_open(path, framework="pt") as file:
        head = file.metadata()
    expected = {"format": "pt", "family": "srresnet", "nf": "8", "scale": "2", "steps": "3"}
    assert (expected | {"recipe": "tiny-srgan"}).items() <= head.items()


def test_a_weight_file_has_the_permissions_of_any_other_file(tmp_path: Path) -> None:
    path, other = tmp_path / "out.safetensors", tmp_path / "other"
    save_weights(path, new_state(tiny_recipe()), tiny_recipe(), {})
    other.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


def test_a_checkpoint_without_its_training_data_resumes_with_a_warning(
    output: Path, caplog: pytest.LogCaptureFixture
) -> None:
    origin = {"data": [{"name": "a", "files": 1, "sha256": "0"}], "start": None, "vgg": None}
    assert resume(output, new_state(tiny_recipe()), tiny_recipe(), origin)
    assert "does not name its training data" in caplog.text
