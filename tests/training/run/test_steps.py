"""One step: what is learnt, the weight of each loss, and what a step that is not finite must not change."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.training.photographs import photograph, tiny_crisp, tiny_recipe, tiny_srgan
from vsr.engine import device
from vsr.training.batches.crops import Batch
from vsr.training.degrade.clips import reduce
from vsr.training.recipe import Losses, Recipe
from vsr.training.run.state import State, new_state
from vsr.training.run.steps import autocast, average_, computes_in, ema_decay, train_step


def batch_of(number: int = 4, side: int = 32) -> Batch:
    """Make crops of photographs, all in pairs without motion between them."""
    codes = torch.stack([photograph(i // 2, 96)[:, :side, :side] for i in range(number)])
    hr = codes / 255
    shift = torch.zeros(number // 2, 2, dtype=torch.int64)
    return Batch(lr=reduce(codes, 2) / 255, hr=hr, plain=hr, shift=shift)


def everything(state: State) -> dict[str, Tensor]:
    """Copy all values of a run's state."""
    parts = {"network": state.network.state_dict(), "average": state.average.state_dict()}
    optimizers = {"adam": state.optimizer}
    if state.adversary is not None:
        parts["discriminator"] = state.adversary.discriminator.state_dict()
        optimizers["d_adam"] = state.adversary.optimizer
    for name, optimizer in optimizers.items():
        moments = optimizer.state_dict()["state"]
        parts[name] = {f"{i}.{key}": value for i, m in moments.items() for key, value in m.items()}
    return {f"{part}.{key}": value.clone() for part, d in parts.items() for key, value in d.items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """Return the parts in which a value differs."""
    assert before.keys() == after.keys()
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_fixed_pair_is_learnt(precision: str) -> None:
    recipe = replace(tiny_recipe(), precision=precision)  # type: ignore[arg-type]
    state, batch = new_state(recipe), batch_of()
    losses = [train_step(state, recipe, batch, factor=1.0)["loss"] for _ in range(100)]
    assert losses[-1] < 0.8 * losses[0]
    assert state.step == 100
    assert all(parameter.dtype == torch.float32 for parameter in state.network.parameters())


@pytest.mark.parametrize(("quicker", "expected"), [(True, "bf16"), (False, "fp32")])
def test_by_default_a_cpu_computes_in_bf16_only_if_that_is_faster(
    quicker: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "bf16_is_quicker", lambda: quicker)
    recipe, cpu = replace(tiny_recipe(), precision="auto"), torch.device("cpu")
    assert computes_in(recipe, cpu) == expected
    with autocast(recipe, cpu):
        made = torch.ones(2, 2) @ torch.ones(2, 2)
    assert made.dtype == {"bf16": torch.bfloat16, "fp32": torch.float32}[expected]
    for fixed in ("bf16", "fp32"):
        assert computes_in(replace(recipe, precision=fixed), cpu) == fixed


@pytest.mark.parametrize(
    ("capability", "expected"),
    [((9, 0), "bf16"), ((8, 0), "bf16"), ((7, 5), "fp32"), ((6, 1), "fp32")],
)
def test_a_gpu_without_bf16_trains_in_fp32_since_fp16_requires_loss_scaling(
    capability: tuple[int, int], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert computes_in(replace(tiny_recipe(), precision="auto"), torch.device("cuda", 0)) == expected


def test_the_loss_is_the_weighted_sum_of_its_terms(vgg: Path) -> None:
    recipe = tiny_crisp()
    terms = train_step(new_state(recipe, vgg=vgg), recipe, batch_of(), factor=1.0)
    weights = {"pixel": 1.0, "perceptual": 0.1, "adversarial": 5e-3, "temporal": 0.5}
    assert terms["loss"] == pytest.approx(sum(weight * terms[name] for name, weight in weights.items()))
    assert all(terms[name] > 0 for name in weights)
    assert {"norm", "d_real", "d_fake", "d_norm"} <= terms.keys()


def test_chroma_and_grid_losses_have_their_weights() -> None:
    recipe = replace(tiny_recipe(), losses=Losses(chroma=0.5, grid=2.0))
    terms = train_step(new_state(recipe), recipe, batch_of(), factor=1.0)
    assert terms["loss"] == pytest.approx(terms["pixel"] + 0.5 * terms["chroma"] + 2.0 * terms["grid"])
    assert min(terms["chroma"], terms["grid"]) > 0


def test_during_warmup_only_the_pixel_loss_counts(vgg: Path) -> None:
    recipe = tiny_crisp(warmup=2)
    state = new_state(recipe, vgg=vgg)
    before = everything(state)
    for _ in range(2):
        terms = train_step(state, recipe, batch_of(), factor=1.0)
        assert set(terms) == {"pixel", "norm", "loss"}
        assert terms["loss"] == terms["pixel"]
    assert state.adversary is not None
    for name, value in state.adversary.discriminator.state_dict().items():
        assert torch.equal(before[f"discriminator.{name}"], value)
    assert "adversarial" in train_step(state, recipe, batch_of(), factor=1.0)


def test_a_discriminator_learns_to_distinguish() -> None:
    recipe = tiny_srgan()
    state, batch = new_state(recipe), batch_of()
    found = [train_step(state, recipe, batch, factor=1.0) for _ in range(40)]
    losses = [terms["d_real"] + terms["d_fake"] for terms in found]
    assert losses[0] == pytest.approx(2 * math.log(2), abs=0.5)  # undecided, except for dropout
    assert sum(losses[-5:]) / 5 < 0.7 * losses[0]


def test_the_discriminator_sees_images_without_sharpening() -> None:
    recipe, batch = tiny_srgan(), batch_of()
    sharp = Batch(lr=batch.lr, hr=batch.hr * 0.5, plain=batch.plain)
    plain, sharpened = new_state(recipe), new_state(recipe)
    train_step(plain, recipe, batch, factor=1.0)
    train_step(sharpened, recipe, sharp, factor=1.0)
    assert changed(everything(plain), everything(sharpened)) == {"network", "average", "adam"}


def test_random_numbers_inside_networks_depend_only_on_seed_and_step() -> None:
    recipe = tiny_srgan()
    first, second, other = new_state(recipe), new_state(recipe), new_state(recipe)
    other.step = 7
    torch.manual_seed(1)
    train_step(first, recipe, batch_of(), factor=1.0)
    torch.manual_seed(2)
    train_step(second, recipe, batch_of(), factor=1.0)
    train_step(other, recipe, batch_of(), factor=1.0)
    assert not changed(everything(first), everything(second))
    assert "discriminator" in changed(everything(first), everything(other))  # dropout


def test_the_schedule_multiplies_both_learning_rates() -> None:
    recipe = tiny_srgan()
    state = new_state(recipe)
    train_step(state, recipe, batch_of(), factor=0.25)
    assert state.adversary is not None
    assert state.optimizer.param_groups[0]["lr"] == pytest.approx(0.25e-3)
    assert state.adversary.optimizer.param_groups[0]["lr"] == pytest.approx(0.25e-3)


def with_nan(x: Tensor) -> Tensor:
    bad = x.clone()
    bad[0, 0, 0, 0] = math.nan
    return bad


@pytest.mark.parametrize("recipe", [tiny_recipe(), tiny_srgan()], ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("where", ["lr", "hr"])
def test_a_step_that_is_not_finite_changes_nothing(recipe: Recipe, where: str) -> None:
    state, good = new_state(recipe), batch_of()
    train_step(state, recipe, good, factor=1.0)
    before = everything(state)
    bad = Batch(
        lr=with_nan(good.lr) if where == "lr" else good.lr,
        hr=with_nan(good.hr) if where == "hr" else good.hr,
        plain=good.plain,
    )
    assert math.isnan(train_step(state, recipe, bad, factor=1.0)["loss"])
    assert not changed(before, everything(state))
    assert state.step == 2
    assert math.isfinite(train_step(state, recipe, good, factor=1.0)["loss"])
    assert all(value.isfinite().all() for value in everything(state).values())


def test_a_discriminators_step_that_is_not_finite_does_not_change_it() -> None:
    recipe, good = tiny_srgan(), batch_of()
    state = new_state(recipe)
    train_step(state, recipe, good, factor=1.0)
    before = everything(state)
    terms = train_step(state, recipe, Batch(lr=good.lr, hr=good.hr, plain=with_nan(good.plain)), factor=1.0)
    assert math.isnan(terms["d_norm"])
    assert math.isfinite(terms["loss"])
    assert changed(before, everything(state)) == {"network", "average", "adam"}


def test_a_gradient_is_clipped_to_the_recipes_norm() -> None:
    recipe = replace(tiny_recipe(), clip=1e-3)
    state = new_state(recipe)
    found = train_step(state, recipe, batch_of(), factor=1.0)
    left = torch.cat([p.grad.flatten() for p in state.network.parameters() if p.grad is not None])
    assert found["norm"] > 1e-2  # before clipping
    assert float(left.norm()) == pytest.approx(1e-3, rel=1e-3)


def test_the_average_soon_forgets_the_initial_weights() -> None:
    assert ema_decay(0.999, 1) == pytest.approx(2 / 11)
    assert ema_decay(0.999, 10**6) == 0.999
    assert ema_decay(0.0, 10**6) == 0


def test_the_average_moves_towards_the_network_and_copies_its_buffers() -> None:
    network, average = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    nn.init.constant_(network.weight, 2.0)
    network(torch.rand(2, 3, 4, 4))
    average_(average, network, 0.75)
    assert torch.allclose(average.weight, torch.full((3,), 1.25))  # 0.75 x 1 + 0.25 x 2
    assert torch.equal(average.running_mean, network.running_mean)  # type: ignore[arg-type]
    assert int(average.num_batches_tracked) == 1  # type: ignore[arg-type]


def test_without_an_average_the_network_itself_is_validated() -> None:
    recipe = replace(tiny_srgan(), ema=0.0)
    state = new_state(recipe)
    for _ in range(3):
        train_step(state, recipe, batch_of(), factor=1.0)
    for name, value in state.network.state_dict().items():
        assert torch.equal(state.average.state_dict()[name], value), name


def test_the_training_signal_is_the_difference_from_the_target() -> None:
    recipe, batch = tiny_recipe(), batch_of()
    state = new_state(recipe)
    found = train_step(state, recipe, batch, factor=1.0)
    with torch.no_grad():
        expected = F.l1_loss(new_state(recipe).network(batch.lr), batch.hr)
    assert found["pixel"] == pytest.approx(float(expected), rel=1e-5)
