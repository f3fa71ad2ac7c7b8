"""A step that is left to the device is the host's step, and replays of it are a run like any other."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.training.photographs import tiny_crisp, tiny_recipe, tiny_srgan, write_photographs, write_vgg
from tests.training.run.test_steps import batch_of, changed, everything, with_nan
from vsr.errors import VsrError
from vsr.training.batches.crops import Batch
from vsr.training.losses.discriminators import DiscriminatorConfig, SRGANConfig
from vsr.training.recipe import Adversarial, Recipe
from vsr.training.run import evaluate, loop, steps
from vsr.training.run.checkpoint import checkpoints
from vsr.training.run.loop import train
from vsr.training.run.replay import LAG, WARM_UP, Done, Replay, Work, can_replay, record, tuned
from vsr.training.run.state import State, new_state
from vsr.training.run.steps import Terms, train_step


class Recorder:
    """Does on the host what a CUDA graph does: the same work again, on what lies in the same tensors."""

    def __init__(self) -> None:
        self.records = self.replays = 0

    def __call__(self, work: Work) -> Work:
        self.records += 1

        def replay() -> torch.Tensor:
            self.replays += 1
            return work()

        return replay


@pytest.fixture(scope="module")
def vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vgg(tmp_path_factory.mktemp("vgg") / "vgg.safetensors")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(evaluate, "SAMPLES", 2)


def no_dropout() -> Recipe:
    """Batch norm on both sides."""
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
    """Convolutions are torch's, as where steps are recorded; Winograd's round more, which a GAN amplifies."""
    monkeypatch.setattr(steps, "quick", lambda device: nullcontext())


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


def replayed(replay: Replay, given: list[Batch]) -> list[Done]:
    found = []
    for batch, factor in zip(given, factors(len(given)), strict=True):
        found += replay.step(batch, factor)
    return found + replay.rest()


def check_terms(found: list[Done], expected: list[Terms], rel: float) -> None:
    assert [done.step for done in found] == list(range(1, len(expected) + 1))
    for done, terms in zip(found, expected, strict=True):
        assert done.terms.keys() == terms.keys()
        for name, value in terms.items():
            assert done.terms[name] == pytest.approx(value, rel=rel, abs=rel * 1e-2), name


def check_states(a: State, b: State, atol: float) -> None:
    first, second = everything(a), everything(b)
    assert first.keys() == second.keys()
    if not any(isinstance(module, nn.BatchNorm2d) for module in a.network.modules()):
        for name, value in first.items():
            assert torch.allclose(value, second[name], rtol=1e-3, atol=atol), name
        return
    # A bias before batch norm has no gradient but rounding, which Adam makes whole steps of: what is compared
    # is what the networks make of pictures; in training, as there batch norm takes the bias off again.
    with torch.no_grad():
        made, again = (state.network(batch_of().lr.to(state.device)) for state in (a, b))
    assert torch.allclose(made, again, rtol=0, atol=10 * atol)


@RECIPES
def test_twenty_steps_left_to_the_device_are_the_hosts(make: Callable[[], Recipe], vgg: Path) -> None:
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
@pytest.mark.parametrize("at", [1, WARM_UP + 4], ids=["while it warms up", "from a record"])
def test_a_step_that_is_not_finite_changes_nothing(make: Callable[[], Recipe], at: int, vgg: Path) -> None:
    recipe, given = replace(make(), losses=replace(make().losses, warmup=0)), batches(at)
    state = new_state(recipe, vgg=vgg)
    replay = Replay(state, recipe, recorder=Recorder())
    replayed(replay, given)
    before, good = everything(state), batch_of()
    for bad in bad_ones(good):
        (done,) = replayed(replay, [bad])
        assert math.isnan(done.terms["loss"])
        assert math.isnan(done.terms["norm"])
        assert not changed(before, everything(state))
    (done,) = replayed(replay, [good])
    assert math.isfinite(done.terms["loss"])
    assert all(value.isfinite().all() for value in everything(state).values())


def test_a_discriminators_step_that_is_not_finite_leaves_it_alone() -> None:
    recipe, good = no_dropout(), batch_of()
    state = new_state(recipe)
    replay = Replay(state, recipe, recorder=Recorder())
    replayed(replay, [good])
    before = everything(state)
    (done,) = replayed(replay, [replace(good, plain=with_nan(good.plain))])
    assert math.isnan(done.terms["d_norm"])
    assert math.isfinite(done.terms["loss"])
    assert changed(before, everything(state)) == {"network", "average", "adam"}


def test_figures_come_late_but_all_come() -> None:
    recipe = tiny_recipe()
    replay = Replay(new_state(recipe), recipe, recorder=Recorder())
    known = [len(replay.step(batch, 1.0)) for batch in batches(LAG + 3)]
    assert known == [0] * LAG + [1] * 3
    assert [done.step for done in replay.rest()] == list(range(4, LAG + 4))
    assert not replay.rest()


def test_batches_of_another_shape_are_recorded_anew() -> None:
    recipe, recorder = tiny_recipe(), Recorder()
    replay = Replay(new_state(recipe), recipe, recorder=recorder)
    given = [batch_of()] * 5 + [batch_of(2)] * 5
    assert all(math.isfinite(done.terms["loss"]) for done in replayed(replay, given))
    assert recorder.records == 2


def test_what_cannot_be_recorded_is_done_as_it_is() -> None:
    recipe, given, tries = tiny_recipe(), batches(8), []

    def recorder(work: Work) -> Work:
        tries.append(1)
        raise torch.AcceleratorError("CUDA error: operation not permitted when stream is capturing\nmore")

    host, device = new_state(recipe), new_state(recipe)
    expected = eager(host, recipe, given)
    check_terms(replayed(Replay(device, recipe, recorder=recorder), given), expected, 1e-3)
    assert len(tries) == 1


def test_a_lost_card_is_not_hidden() -> None:
    def recorder(work: Work) -> Work:
        raise RuntimeError("CUDA error: unspecified launch failure")

    recipe = tiny_recipe()
    with pytest.raises(RuntimeError, match="launch failure"):
        replayed(Replay(new_state(recipe), recipe, recorder=recorder), batches(WARM_UP + 1))


def test_dropout_and_the_host_are_not_for_records() -> None:
    assert not can_replay(new_state(tiny_recipe()))
    state = new_state(tiny_srgan())
    state.device = torch.device("cuda")
    assert not can_replay(state)
    state = new_state(no_dropout())
    state.device = torch.device("cuda")
    assert can_replay(state)


@pytest.fixture
def replaying(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs replay, on the host."""
    monkeypatch.setattr(loop, "can_replay", lambda state: True)
    monkeypatch.setattr(loop, "Replay", lambda state, recipe: Replay(state, recipe, recorder=Recorder()))


@pytest.mark.usefixtures("replaying")
def test_a_run_of_replays_measures_every_step_and_stops_where_it_should(tmp_path: Path) -> None:
    write_photographs(tmp_path, 6)
    output, seen = tmp_path / "out.safetensors", list[loop.Progress]()
    recipe = replace(tiny_recipe(steps=30), validate_every=12)
    train(recipe, data=[tmp_path], output=output, on_step=seen.append)
    assert [progress.step for progress in seen] == list(range(1, 31))
    assert seen[-1].terms["loss"] < seen[0].terms["loss"]
    assert not checkpoints(output)


@pytest.mark.usefixtures("replaying")
def test_a_run_of_replays_that_diverges_is_given_up_with_a_sound_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photographs(tmp_path, 6)
    output, recipe = tmp_path / "out.safetensors", replace(tiny_recipe(steps=90), validate_every=4)
    real = Replay.step

    def poisoned(self: Replay, feed: Batch, factor: float) -> list[Done]:
        if self._state.step >= 9:
            feed = replace(feed, lr=feed.lr * math.nan)
        return real(self, feed, factor)

    monkeypatch.setattr(Replay, "step", poisoned)
    with pytest.raises(VsrError, match="11 steps in a row gave no finite loss"):
        train(recipe, data=[tmp_path], output=output)
    from safetensors.torch import load_file

    assert checkpoints(output)
    for path in checkpoints(output):
        assert all(value.isfinite().all() for value in load_file(path).values()), path


@pytest.mark.needs_cuda
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@RECIPES
def test_on_a_card_replays_are_steps(make: Callable[[], Recipe], precision: str, vgg: Path) -> None:
    recipe, given = replace(make(), precision=precision), batches(20)  # type: ignore[arg-type]
    host, device = (new_state(recipe, device="cuda", vgg=vgg) for _ in range(2))
    records = []

    def counting(work: Work) -> Work:
        records.append(work)
        return record(work)

    with tuned(host.device):
        expected = eager(host, recipe, given)
        found = replayed(Replay(device, recipe, recorder=counting), given)
    # Sums of a card have no order, and bf16 and TF32 round; from step to step such differences grow.
    check_terms(found[:8], expected[:8], 0.05 if precision == "fp32" else 0.1)
    for done, terms in zip(found[8:], expected[8:], strict=True):
        assert done.terms["loss"] == pytest.approx(terms["loss"], rel=0.25)
    assert len(records) == (2 if recipe.losses.warmup else 1)


@pytest.mark.needs_cuda
@RECIPES
def test_on_a_card_a_replayed_step_that_is_not_finite_changes_nothing(
    make: Callable[[], Recipe], vgg: Path
) -> None:
    recipe = replace(make(), losses=replace(make().losses, warmup=0))
    state = new_state(recipe, device="cuda", vgg=vgg)
    with tuned(state.device):
        replay = Replay(state, recipe)
        replayed(replay, batches(WARM_UP + 3))
        before, good = everything(state), batch_of()
        for bad in bad_ones(good):
            (done,) = replayed(replay, [bad])
            assert math.isnan(done.terms["loss"])
            assert not changed(before, everything(state))
        (done,) = replayed(replay, [good])
    assert math.isfinite(done.terms["loss"])
    assert changed(before, everything(state)) >= {"network", "average", "adam"}


@pytest.mark.needs_cuda
@pytest.mark.parametrize("make", [tiny_recipe, no_dropout], ids=lambda make: make.__name__)
def test_on_a_card_a_run_that_was_stopped_goes_on(make: Callable[[], Recipe], tmp_path: Path) -> None:
    write_photographs(tmp_path, 6)
    recipe, output = replace(make(), steps=60, validate_every=20), tmp_path / "out.safetensors"
    seen: list[loop.Progress] = []
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
