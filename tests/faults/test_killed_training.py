"""A training run that is killed at any step of its beginning or its end is ended by the same command."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import load_file

from tests.faults.processes.fork_server import ForkServer
from tests.training.photographs import write_photographs, write_recipe

TRAIN = ("train", "tiny.toml", "--data", "photographs", "-o", "out.safetensors")
POINTS = [("save_weights", 1, n) for n in (0, 40)]
"""Functions, their call, and steps after its beginning. The first weights are written before a checkpoint."""
POINTS += [("save_checkpoint", 1, 0), ("save_checkpoint", 2, 0), ("write_page", 2, 0)]
POINTS += [("remove_checkpoints", 1, n) for n in (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 100, 120, 160)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_photographs(tmp_path / "photographs", 4, side=72)
    write_recipe(tmp_path)
    return tmp_path


def clear(folder: Path) -> None:
    for path in folder.glob("out.*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.slow
def test_a_training_run_that_is_killed_is_ended_by_the_same_command(server: ForkServer, folder: Path) -> None:
    output = folder / "out.safetensors"
    assert server.run(TRAIN, folder=folder, seconds=120).code == 0
    expected, ends = load_file(output), 0
    for function, call, after in POINTS:
        clear(folder)
        where = (function, call, after)
        killed = server.run(TRAIN, folder=folder, signal_at=(*where, signal.SIGKILL), seconds=120)
        if killed.signal is None:
            assert (function, killed.code) == ("remove_checkpoints", 0), (where, killed)
            continue
        again = server.run(TRAIN, folder=folder, seconds=120)
        if again.code:  # nothing was left to be done
            assert (function, again.code) == ("remove_checkpoints", 4), (where, again)
            assert "out.safetensors exists already" in again.err
        ends += function == "remove_checkpoints" and again.code == 0
        found = load_file(output)
        assert all((found[name] == value).all() for name, value in expected.items()), where
        assert not output.with_suffix(".checkpoints").exists(), (where, again)
        with safe_open(output, framework="pt") as file:
            assert file.metadata()["steps"] in ("1", "2")
    assert ends > 2, "no run was killed while its checkpoints were removed"


def test_weights_that_are_older_than_the_first_checkpoint_belong_to_this_recipe_only(
    server: ForkServer, folder: Path
) -> None:
    killed = server.run(
        TRAIN, folder=folder, signal_at=("save_checkpoint", 1, 0, signal.SIGKILL), seconds=120
    )
    assert killed.signal == signal.SIGKILL
    made = (folder / "out.safetensors").read_bytes()
    recipe = folder / "tiny.toml"
    recipe.write_text("seed = 7\n" + recipe.read_text())
    other = server.run(TRAIN, folder=folder, seconds=120)
    assert (other.code, "belongs to another recipe, which differs in seed" in other.err) == (2, True), other
    assert (folder / "out.safetensors").read_bytes() == made
