"""Two processes train as one does: the same batches, steps and files, whatever the losses and layers."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import vsr
from tests.training.distributed_runs import in_two_processes
from tests.training.photographs import tiny_crisp, tiny_recipe, tiny_srgan, write_photographs, write_vgg
from tests.training.run.test_steps import everything
from vsr.errors import ConfigError
from vsr.training import public
from vsr.training.batches.pool import ClipPool
from vsr.training.distributed.group import Group
from vsr.training.losses.discriminators import DiscriminatorConfig, UNetConfig
from vsr.training.recipe import Adversarial, Losses, Recipe
from vsr.training.run import evaluate
from vsr.training.run.alike import check_alike
from vsr.training.run.checkpoint import checkpoints
from vsr.training.run.loop import StoppedEarlyError, TrainProgress, datasets_for, train
from vsr.training.run.state import new_state
from vsr.training.run.steps import train_step

STEPS = 3


def recipes() -> dict[str, Recipe]:
    """Return recipes that together have each kind of loss, layer and optimiser."""
    plain = replace(tiny_recipe(), losses=Losses(tone=1.0, chroma=0.5, grid=2.0, flat=0.5))
    sigmoid = Adversarial(
        discriminator=DiscriminatorConfig(unet=UNetConfig(nf=8)), kind="relativistic-sigmoid"
    )
    return {
        "plain": plain,
        "muon": replace(plain, adam=replace(plain.adam, muon=5.0), ema=0.9),
        "batch norm and dropout": tiny_srgan(),
        "relativistic and temporal": tiny_crisp(),
        "relativistic-sigmoid": replace(tiny_recipe(), losses=Losses(adversarial=sigmoid)),
    }


def step_by_step(group: Group, folder: Path) -> None:
    """Do some steps of each recipe, and write the loss terms and the state after them."""
    torch.set_num_threads(1)
    for name, recipe in recipes().items():
        known, _ = datasets_for(recipe, [folder / "photographs"])
        state = new_state(recipe, vgg=folder / "vgg.safetensors", group=group)
        with closing(ClipPool(known, recipe, group=group)) as pool:
            terms = [train_step(state, recipe, pool.batch(step), factor=1.0) for step in range(STEPS)]
        whole = {name: value.contiguous() for name, value in everything(state).items()}
        save_file(whole, folder / f"{name} {group.rank} of {group.size}.safetensors")
        (folder / f"{name} {group.rank} of {group.size}.json").write_text(json.dumps(terms))


def in_a_program(group: Group, folder: Path) -> None:
    """Train as in a program that has made its own process group, as Ray Train does."""
    public.read_recipe, before = (lambda _: RECIPE), public.read_recipe
    try:
        report = vsr.train("tiny", data=folder / "photographs", output=folder / "program.safetensors")
    finally:
        public.read_recipe = before
    (folder / f"report {group.rank}").write_text(json.dumps(dict(report.figures)), encoding="utf-8")


def steps_and_runs(group: Group, folder: Path) -> None:
    """Do all that these tests look at, since starting a process takes seconds."""
    step_by_step(group, folder)
    unbroken_and_broken(group, folder)
    in_a_program(group, folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data, in which one process and then two have trained."""
    before, samples = torch.get_num_threads(), evaluate.SAMPLES
    folder = tmp_path_factory.mktemp("two")
    write_photographs(folder / "photographs", 6)
    write_vgg(folder / "vgg.safetensors")
    step_by_step(Group(), folder)
    try:
        in_two_processes(steps_and_runs, folder)
    finally:
        torch.set_num_threads(before)
        evaluate.SAMPLES = samples
    return folder


@pytest.mark.parametrize("name", recipes())
def test_the_loss_terms_of_two_processes_are_those_of_one(folder: Path, name: str) -> None:
    one, two = (json.loads((folder / f"{name} {who}.json").read_text()) for who in ("0 of 1", "0 of 2"))
    for alone, together in zip(one, two, strict=True):
        assert alone.keys() == together.keys()
        for term, value in alone.items():
            # Sums of fp32 in another order: 2^-24 for each addition, and Adam's first steps, which divide by
            # the size of the gradient, make more of it where a gradient is nearly zero.
            assert together[term] == pytest.approx(value, rel=1e-4), term


@pytest.mark.parametrize("name", recipes())
def test_the_first_moments_of_the_gradients_agree_to_rounding(folder: Path, name: str) -> None:
    one, two = (load_file(folder / f"{name} {who}.safetensors") for who in ("0 of 1", "0 of 2"))
    moments = [key for key in one if key.endswith("exp_avg")]
    assert moments
    for key in moments:
        # Relative to the largest of the network: a bias before a batch norm, or the last one of a
        # relativistic discriminator, has a gradient of zero, of which only the rounding remains.
        size = max(one[other].abs().max() for other in moments if other.split(".")[0] == key.split(".")[0])
        assert (one[key] - two[key]).abs().max() <= 1e-3 * size, key


@pytest.mark.parametrize("name", recipes())
def test_both_processes_have_the_same_bits(folder: Path, name: str) -> None:
    first, second = (load_file(folder / f"{name} {rank} of 2.safetensors") for rank in (0, 1))
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == []


RECIPE = replace(tiny_srgan(steps=8), validate_every=4)
"""With batch norm, dropout, two optimisers and an average."""


def unbroken_and_broken(group: Group, folder: Path) -> None:
    """Train once without a break, and once with a stop that only the second process is asked for."""
    torch.set_num_threads(1)
    evaluate.SAMPLES = 2
    data = [folder / "photographs"]
    train(RECIPE, data=data, output=folder / "whole.safetensors", group=group)
    done: list[int] = []
    try:
        stop = (lambda: len(done) > 6 or (done.append(1) or False)) if group.rank else None
        train(RECIPE, data=data, output=folder / "broken.safetensors", group=group, stop=stop)
    except StoppedEarlyError as error:
        (folder / f"stopped {group.rank}").write_text(str(error), encoding="utf-8")
    group.largest(0)
    if group.leads:
        (folder / "kept").write_bytes(checkpoints(folder / "broken.safetensors")[0].read_bytes())
    seen: list[TrainProgress] = []
    train(RECIPE, data=data, output=folder / "broken.safetensors", group=group, on_step=seen.append)
    steps = [progress.step for progress in seen]
    (folder / f"steps {group.rank}").write_text(json.dumps(steps), encoding="utf-8")


def test_a_run_of_two_processes_resumes_to_the_same_bits(folder: Path) -> None:
    whole, broken = (load_file(folder / f"{name}.safetensors") for name in ("whole", "broken"))
    assert [key for key in whole if not torch.equal(whole[key], broken[key])] == []
    assert json.loads((folder / "steps 0").read_text()) == [8]


def test_one_process_that_is_asked_to_stop_stops_all(folder: Path) -> None:
    for rank in (0, 1):
        assert "stopped at step 7. Run it again" in (folder / f"stopped {rank}").read_text()


def test_only_the_first_process_writes_and_shows_progress(folder: Path) -> None:
    rows = [json.loads(line)["step"] for line in (folder / "whole.jsonl").read_text().splitlines()]
    assert rows == [4, 8]
    assert json.loads((folder / "steps 1").read_text()) == []


def test_a_program_with_a_process_group_of_its_own_trains_in_it(folder: Path) -> None:
    whole, program = (load_file(folder / f"{name}.safetensors") for name in ("whole", "program"))
    assert [key for key in whole if not torch.equal(whole[key], program[key])] == []
    first, second = (json.loads((folder / f"report {rank}").read_text()) for rank in (0, 1))
    assert first["gain"]
    assert first == second


def test_another_number_of_processes_resumes_with_a_warning(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(evaluate, "SAMPLES", 2)
    torch.set_num_threads(1)
    output = folder / "fewer.safetensors"
    output.with_suffix(".checkpoints").mkdir()
    (output.with_suffix(".checkpoints") / "step-000000007.safetensors").write_bytes(
        (folder / "kept").read_bytes()
    )
    with caplog.at_level(logging.WARNING):
        train(RECIPE, data=[folder / "photographs"], output=output)
    assert "written by a run of 2 processes, and now there are 1" in caplog.text
    expected, found = load_file(folder / "whole.safetensors"), load_file(output)
    for key, value in expected.items():  # the same batches: only the last step was rounded differently
        assert (found[key] - value).abs().max() <= 1e-3 * value.abs().max() + 1e-6, key


def test_the_loss_of_two_processes_falls_as_that_of_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "SAMPLES", 2)
    torch.set_num_threads(1)
    train(RECIPE, data=[folder / "photographs"], output=folder / "alone.safetensors")
    one, two = (
        [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        for name in ("alone", "whole")
    )
    for alone, together in zip(one, two, strict=True):
        for name in ("loss", "pixel", "gain"):
            assert together[name] == pytest.approx(alone[name], rel=1e-2), name


def test_a_batch_that_cannot_be_shared_out_is_refused_with_the_possible_numbers() -> None:
    with pytest.raises(ConfigError, match=r"3 processes cannot share out batch = 4 evenly.* 1, 2, 4$"):
        check_alike(Group(size=3), tiny_recipe(), {})
    with pytest.raises(ConfigError, match=r"4 processes cannot .* pairs of crops \(2 a batch\).* 1, 2$"):
        check_alike(Group(size=4), tiny_crisp(), {})
