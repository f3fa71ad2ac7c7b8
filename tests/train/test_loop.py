"""Training learns, goes on where it was cut off, and leaves its files whole."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from tests.train.photographs import tiny_recipe, write_photographs
from vsr.errors import ConfigError, InputError, ModelError, OutputError, VsrError
from vsr.models.archs.compact import detect
from vsr.train import loop
from vsr.train.checkpoint import checkpoint_path, load_checkpoint
from vsr.train.loop import ema_decay, lr_at, train, train_step
from vsr.train.recipe import Recipe
from vsr.train.state import State, new_state


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    write_photographs(folder, 6)
    return folder


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # sums in one order: bit for bit needs it


def cut_off_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next run die as if killed, before it does `step`."""
    real = loop.train_step

    def dying(state: State, *args: object, **kwargs: object) -> float:
        if state.step == step:
            raise KeyboardInterrupt
        return real(state, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "train_step", dying)


def test_a_fixed_pair_is_learnt() -> None:
    recipe = tiny_recipe()
    state = new_state(recipe)
    generator = torch.Generator().manual_seed(0)
    hr = torch.rand(4, 3, 32, 32, generator=generator)
    lr = torch.nn.functional.avg_pool2d(hr, 2)
    losses = [train_step(state, recipe, lr, hr, lr=2e-3) for _ in range(150)]
    assert losses[-1] < 0.9 * losses[0]
    assert state.step == 150


def test_photographs_held_out_gain_over_the_start(photographs: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(steps=300, clean=1.0)
    output = tmp_path / "out.safetensors"
    scores = train(recipe, data=photographs, output=output)
    rows = [json.loads(line) for line in output.with_suffix(".jsonl").read_text().splitlines()]
    assert scores["clean"] > float(rows[0]["clean"]) + 0.2
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert [row["step"] for row in rows] == list(range(20, 301, 20))


def test_a_run_that_was_cut_off_ends_like_an_unbroken_one(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(steps=30)
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    train(recipe, data=photographs, output=whole)
    with monkeypatch.context() as patch:
        cut_off_at(27, patch)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, data=photographs, output=broken)
    assert checkpoint_path(broken).exists()
    train(recipe, data=photographs, output=broken)
    expected, found = load_file(whole), load_file(broken)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert not checkpoint_path(broken).exists()


def test_the_weight_file_says_what_it_is(photographs: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(steps=2)
    output = tmp_path / "out.safetensors"
    train(recipe, data=photographs, output=output)
    assert detect(load_file(output)) == recipe.network
    with safe_open(output, framework="pt") as file:
        head = file.metadata()
    assert {"family": "compact", "scale": "2", "recipe": "tiny", "steps": "2"}.items() <= head.items()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "out.safetensors"]


def test_a_checkpoint_of_another_recipe_is_refused(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.safetensors"
    cut_off_at(21, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_recipe(steps=30), data=photographs, output=output)
    with pytest.raises(ConfigError, match="another recipe"):
        train(tiny_recipe(steps=31), data=photographs, output=output)


def test_a_broken_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "out.checkpoint"
    path.write_bytes(b"\0" * 100)
    recipe = tiny_recipe()
    with pytest.raises(InputError, match="delete it to start anew"):
        load_checkpoint(path, new_state(recipe), recipe)


def test_minutes_squeeze_the_schedule(photographs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.safetensors"
    train(tiny_recipe(steps=10**9), data=photographs, output=output, minutes=0.01)
    last = json.loads(output.with_suffix(".jsonl").read_text().splitlines()[-1])
    assert 0.6 <= last["seconds"] < 5


def test_one_cycle_rises_then_falls() -> None:
    recipe = replace(tiny_recipe(), warmup=0.1)
    rates = [lr_at(recipe, i / 100) for i in range(101)]
    assert rates.index(max(rates)) == 10
    assert rates[10] == pytest.approx(recipe.lr)
    assert rates[-1] == pytest.approx(recipe.final_lr)
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_the_average_forgets_the_start_soon() -> None:
    assert ema_decay(0.999, 1) == pytest.approx(2 / 11)
    assert ema_decay(0.999, 10**6) == 0.999


def test_a_step_that_is_not_finite_changes_nothing() -> None:
    recipe = tiny_recipe()
    state = new_state(recipe)
    before = {name: value.clone() for name, value in state.net.state_dict().items()}
    lr = torch.full((1, 3, 8, 8), math.inf)
    assert math.isnan(train_step(state, recipe, lr, torch.zeros(1, 3, 16, 16), lr=1e-3))
    assert all(torch.equal(before[name], value) for name, value in state.net.state_dict().items())


def test_a_run_that_diverges_is_given_up(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverging(state: State, recipe: Recipe, *pair: Tensor, lr: float) -> float:
        state.step += 1
        return math.nan

    monkeypatch.setattr(loop, "train_step", diverging)
    with pytest.raises(VsrError, match="no finite loss"):
        train(tiny_recipe(), data=photographs, output=tmp_path / "out.safetensors")


def test_another_scale_starts_from_all_layers_but_the_last() -> None:
    start = new_state(tiny_recipe(scale=2)).net.state_dict()
    start = {name: torch.full_like(value, 0.5) for name, value in start.items()}
    net = new_state(tiny_recipe(scale=4), start).net
    last = f"body.{len(net.body) - 1}."
    taken = {name for name, value in net.state_dict().items() if bool((value == 0.5).all())}
    assert taken == {name for name in start if not name.startswith(last)}


def test_weights_that_fit_nowhere_are_refused() -> None:
    with pytest.raises(ModelError, match="share no layer"):
        new_state(tiny_recipe(), {"conv_first.weight": torch.zeros(1)})


def test_an_unwritable_output_is_one_line(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        train(tiny_recipe(steps=1), data=photographs, output=tmp_path / "nowhere" / "out.safetensors")
