"""A step on the device equals the step with the host, and replayed steps make a normal run."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.training.photographs import tiny_crisp, tiny_recipe, tiny_srgan, write_photographs
from tests.training.run.test_steps import batch_of, changed, everything, with_nan
from vsr.errors import VsrError
from vsr.training.batches.crops import Batch
from vsr.training.losses.discriminators import DiscriminatorConfig, SRGANConfig
from vsr.training.recipe import Adversarial, Recipe
from vsr.training.run import loop, steps
from vsr.training.run.checkpoint import checkpoints
from vsr.training.run.loop import train
from vsr.training.run.replay import (
    LAG,
    WARM_UP,
    Replay,
    StepResult,
    Work,
    can_replay,
    fast_cuda_settings,
    record,
)
from vsr.training.run.state import State, new_state
from vsr.training.run.steps import Terms, train_step

pytestmark = pytest.mark.usefixtures("quick")


class Recorder:
    """Does on the host what a CUDA graph does: repeats the same work on the same tensors."""

    def __init__(self) -> None:
        self.records = self.replays = 0

    def __call__(self, work: Work) -> Work:
        self.records += 1

        def replay() -> torch.Tensor:
            self.replays += 1
            return work()

        return replay


def no_dropout() -> Recipe:
    """Return a recipe with batch norm in both networks and no dropout."""
    discriminator = DiscriminatorConfig(srgan=SRGANConfig(nf=4, dense=8))
    losses = replace(
        tiny_srgan().losses, adversarial=Adversarial(discriminator=discriminator, weight=1e-3, lr=1e-3)
    )
    return replace(tiny_srgan(), losses=losses)


def all_losses() -> Recipe:
    crisp = tiny_crisp(warmup=5)
    return replace(crisp, losses=replace(crisp.losses, tone=0.2, flat=0.3, chroma=0.4, grid=0.5))


@pytest.fixture(autouse=True)
def _as_on_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use torch's convolutions, as on CUDA; Winograd's have larger rounding errors, which a GAN amplifies."""
    monkeypatch.setattr(steps, "fast_convolutions", lambda device: nullcontext())


MAKERS = [tiny_recipe, no_dropout, all_losses]
RECIPES = pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)


def batches(number: int) -> list[Batch]:
    """All different."""
    good = batch_of()
    return [moved(good, i) for i in range(number)]


def moved(batch: Batch, by: int) -> Batch:
    return replace(batch, lr=batch.lr.roll(by, -1), hr=batch.hr.roll(2 * by, -1), plain=batch.plain)


def bad_ones(good: Batch) -> list[Batch]:
    return [replace(good, lr=with_nan(good.lr)), replace(good, hr=with_nan(good.hr), plain=good.plain)]


def factors(number: int) -> list[float]:
    return [1 / (1 + i % 5) for i in range(number)]


def eager(state: State, recipe: Recipe, given: list[Batch]) -> list[Terms]:
    return [
        train_step(state, recipe, batch.to(state.device), factor=factor)
        for batch, factor in zip(given, factors(len(given)), strict=True)
    ]


def replayed(replay: Replay, given: list[Batch]) -> list[StepResult]:
    found = []
    for batch, factor in zip(given, factors(len(given)), strict=True):
        found += replay.step(batch, factor)
    return found + replay.wait()


def check_terms(found: list[StepResult], expected: list[Terms], rel: float) -> None:
    assert [result.step for result in found] == list(range(1, len(expected) + 1))
    for result, terms in zip(found, expected, strict=True):
        assert result.terms.keys() == terms.keys()
        for name, value in terms.items():
            assert result.terms[name] == pytest.approx(value, rel=rel, abs=rel * 1e-2), name


def check_states(a: State, b: State, atol: float) -> None:
    first, second = everything(a), everything(b)
    assert first.keys() == second.keys()
    if not any(isinstance(module, nn.BatchNorm2d) for module in a.network.modules()):
        for name, value in first.items():
            assert torch.allclose(value, second[name], rtol=1e-3, atol=atol), name
        return
    # A bias before batch norm has only rounding errors as its gradient, which Adam scales to full steps. The
    # outputs of the networks are compared instead, in training mode, where batch norm cancels the bias.
    with torch.no_grad():
        made, again = (state.network(batch_of().lr.to(state.device)) for state in (a, b))
    assert torch.allclose(made, again, rtol=0, atol=10 * atol)


@RECIPES
def test_twenty_steps_on_the_device_equal_those_with_the_host(make: Callable[[], Recipe], vgg: Path) -> None:
    recipe, given = make(), batches(20)
    host, device, recorder = new_state(recipe, vgg=vgg), new_state(recipe, vgg=vgg), Recorder()
    expected = eager(host, recipe, given)
    found = replayed(Replay(device, recipe, recorder=recorder), given)
    check_terms(found, expected, 1e-3)
    check_states(host, device, 1e-4)
    kinds = 2 if recipe.losses.warmup else 1
    assert recorder.records == kinds
    assert recorder.replays == 20 - kinds * WARM_UP


@RECIPES
@pytest.mark.parametrize("at", [1, WARM_UP + 4], ids=["during warm-up", "from the recording"])
def test_a_step_that_is_not_finite_changes_nothing(make: Callable[[], Recipe], at: int, vgg: Path) -> None:
    recipe, given = replace(make(), losses=replace(make().losses, warmup=0)), batches(at)
    state = new_state(recipe, vgg=vgg)
    replay = Replay(state, recipe, recorder=Recorder())
    replayed(replay, given)
    before, good = everything(state), batch_of()
    for bad in bad_ones(good):
        (result,) = replayed(replay, [bad])
        assert math.isnan(result.terms["loss"])
        assert math.isnan(result.terms["norm"])
        assert not changed(before, everything(state))
    (result,) = replayed(replay, [good])
    assert math.isfinite(result.terms["loss"])
    assert all(value.isfinite().all() for value in everything(state).values())


def test_a_discriminators_step_that_is_not_finite_does_not_change_it() -> None:
    recipe, good = no_dropout(), batch_of()
    state = new_state(recipe)
    replay = Replay(state, recipe, recorder=Recorder())
    replayed(replay, [good])
    before = everything(state)
    (result,) = replayed(replay, [replace(good, plain=with_nan(good.plain))])
    assert math.isnan(result.terms["d_norm"])
    assert math.isfinite(result.terms["loss"])
    assert changed(before, everything(state)) == {"network", "average", "adam"}


def test_results_arrive_late_but_all_arrive() -> None:
    recipe = tiny_recipe()
    replay = Replay(new_state(recipe), recipe, recorder=Recorder())
    known = [len(replay.step(batch, 1.0)) for batch in batches(LAG + 3)]
    assert known == [0] * LAG + [1] * 3
    assert [result.step for result in replay.wait()] == list(range(4, LAG + 4))
    assert not replay.wait()


def test_batches_of_another_shape_are_recorded_again() -> None:
    recipe, recorder = tiny_recipe(), Recorder()
    replay = Replay(new_state(recipe), recipe, recorder=recorder)
    given = [batch_of()] * 5 + [batch_of(2)] * 5
    assert all(math.isfinite(result.terms["loss"]) for result in replayed(replay, given))
    assert recorder.records == 2


def test_a_step_that_cannot_be_recorded_runs_directly() -> None:
    recipe, given, tries = tiny_recipe(), batches(8), []

    def recorder(work: Work) -> Work:
        tries.append(1)
        raise torch.AcceleratorError("CUDA error: operation not permitted when stream is capturing\nmore")

    host, device = new_state(recipe), new_state(recipe)
    expected = eager(host, recipe, given)
    check_terms(replayed(Replay(device, recipe, recorder=recorder), given), expected, 1e-3)
    assert len(tries) == 1


def test_a_lost_gpu_is_reported() -> None:
    def recorder(work: Work) -> Work:
        raise RuntimeError("CUDA error: unspecified launch failure")

    recipe = tiny_recipe()
    with pytest.raises(RuntimeError, match="launch failure"):
        replayed(Replay(new_state(recipe), recipe, recorder=recorder), batches(WARM_UP + 1))


def test_dropout_and_the_cpu_exclude_recording() -> None:
    assert not can_replay(new_state(tiny_recipe()))
    state = new_state(tiny_srgan())
    state.device = torch.device("cuda")
    assert not can_replay(state)
    state = new_state(no_dropout())
    state.device = torch.device("cuda")
    assert can_replay(state)


@pytest.fixture
def replaying(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make runs use replay on the CPU."""
    monkeypatch.setattr(loop, "can_replay", lambda state: True)
    monkeypatch.setattr(loop, "Replay", lambda state, recipe: Replay(state, recipe, recorder=Recorder()))


@pytest.mark.usefixtures("replaying")
def test_a_run_of_replays_reports_every_step_and_ends_at_the_right_one(tmp_path: Path) -> None:
    write_photographs(tmp_path, 6)
    output, seen = tmp_path / "out.safetensors", list[loop.TrainProgress]()
    recipe = replace(tiny_recipe(steps=30), validate_every=12)
    train(recipe, data=[tmp_path], output=output, on_step=seen.append)
    assert [progress.step for progress in seen] == list(range(1, 31))
    assert seen[-1].terms["loss"] < seen[0].terms["loss"]
    assert not checkpoints(output)


@pytest.mark.usefixtures("replaying")
def test_a_run_of_replays_that_diverges_ends_with_a_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photographs(tmp_path, 6)
    output, recipe = tmp_path / "out.safetensors", replace(tiny_recipe(steps=90), validate_every=4)
    real = Replay.step

    def poisoned(self: Replay, source: Batch, factor: float) -> list[StepResult]:
        if self._state.step >= 9:
            source = replace(source, lr=source.lr * math.nan)
        return real(self, source, factor)

    monkeypatch.setattr(Replay, "step", poisoned)
    with pytest.raises(VsrError, match="11 consecutive steps had no finite loss"):
        train(recipe, data=[tmp_path], output=output)
    from safetensors.torch import load_file

    assert checkpoints(output)
    for path in checkpoints(output):
        assert all(value.isfinite().all() for value in load_file(path).values()), path


@pytest.mark.needs_cuda
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@RECIPES
def test_on_a_gpu_replays_equal_steps(make: Callable[[], Recipe], precision: str, vgg: Path) -> None:
    recipe, given = replace(make(), precision=precision), batches(20)  # type: ignore[arg-type]
    host, device = (new_state(recipe, device="cuda", vgg=vgg) for _ in range(2))
    records = []

    def counting(work: Work) -> Work:
        records.append(work)
        return record(work)

    with fast_cuda_settings(host.device):
        expected = eager(host, recipe, given)
        found = replayed(Replay(device, recipe, recorder=counting), given)
    # Sums on a GPU have no fixed order, and bf16 and TF32 round; such differences grow from step to step.
    check_terms(found[:8], expected[:8], 0.05 if precision == "fp32" else 0.1)
    for result, terms in zip(found[8:], expected[8:], strict=True):
        assert result.terms["loss"] == pytest.approx(terms["loss"], rel=0.25)
    assert len(records) == (2 if recipe.losses.warmup else 1)


@pytest.mark.needs_cuda
@RECIPES
def test_on_a_gpu_a_replayed_step_that_is_not_finite_changes_nothing(
    make: Callable[[], Recipe], vgg: Path
) -> None:
    recipe = replace(make(), losses=replace(make().losses, warmup=0))
    state = new_state(recipe, device="cuda", vgg=vgg)
    with fast_cuda_settings(state.device):
        replay = Replay(state, recipe)
        replayed(replay, batches(WARM_UP + 3))
        before, good = everything(state), batch_of()
        for bad in bad_ones(good):
            (result,) = replayed(replay, [bad])
            assert math.isnan(result.terms["loss"])
            assert not changed(before, everything(state))
        (result,) = replayed(replay, [good])
    assert math.isfinite(result.terms["loss"])
    assert changed(before, everything(state)) >= {"network", "average", "adam"}


@pytest.mark.needs_cuda
@pytest.mark.parametrize("make", [tiny_recipe, no_dropout], ids=lambda make: make.__name__)
def test_on_a_gpu_a_stopped_run_resumes(make: Callable[[], Recipe], tmp_path: Path) -> None:
    write_photographs(tmp_path, 6)
    recipe, output = replace(make(), steps=60, validate_every=20), tmp_path / "out.safetensors"
    seen: list[loop.TrainProgress] = []
    with pytest.raises(loop.StoppedEarlyError):
        train(
            recipe, data=[tmp_path], output=output, device="cuda",
            on_step=seen.append, stop=lambda: len(seen) >= 25,
        )  # fmt: skip
    stopped = int(checkpoints(output)[0].stem.removeprefix("step-"))
    assert stopped >= 25
    seen.clear()
    figures = train(recipe, data=[tmp_path], output=output, device="cuda", on_step=seen.append)
    assert [progress.step for progress in seen] == list(range(stopped + 1, 61))
    assert all(math.isfinite(progress.terms["loss"]) for progress in seen)
    assert math.isfinite(figures["gain"])
