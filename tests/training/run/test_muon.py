"""Muon's orthogonal updates: what they are, which weights get them, and Adam's rules for all others."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.training.photographs import tiny_recipe
from vsr.training.recipe import Adam
from vsr.training.run.muon import Muon, hidden_convolutions, orthogonal
from vsr.training.run.state import new_state


def noise(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(16, 144), (144, 16), (32, 32)])
def test_an_update_has_the_gradients_directions_with_equal_length(shape: tuple[int, int]) -> None:
    matrix = noise(*shape)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonal(matrix[None])[0]
    # It is diagonal in the gradient's own directions. Jordan et al. state
    # 0.7 to 1.2; small values converge slower.
    inside = left.T @ found @ right.T
    assert (inside - inside.diagonal().diag()).abs().max() < 1e-4
    assert inside.diagonal().min() > 0.3
    assert inside.diagonal().max() < 1.25


def test_the_length_of_a_gradient_does_not_matter_and_zero_stays_zero() -> None:
    matrix = noise(1, 8, 72)
    torch.testing.assert_close(orthogonal(1e3 * matrix), orthogonal(matrix), rtol=0, atol=1e-4)
    assert torch.equal(orthogonal(torch.zeros(1, 8, 72)), torch.zeros(1, 8, 72))


def make(network: nn.Module, *, ratio: float = 5.0, lr: float = 1e-2) -> Muon:
    matrices = hidden_convolutions(network)
    return Muon(network.parameters(), matrices=matrices, ratio=ratio, lr=lr, betas=(0.9, 0.99), fused=True)


def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3, groups=8)
    )


def test_only_inner_convolutions_are_included() -> None:
    network = layers()
    assert [id(x) for x in hidden_convolutions(network)] == [id(network[i].weight) for i in (1, 2)]


def test_the_first_update_is_the_orthogonal_gradient_and_others_are_adams() -> None:
    network, other = layers(), layers()
    ours, theirs = make(network), torch.optim.Adam(other.parameters(), lr=1e-2, betas=(0.9, 0.99), fused=True)
    for mine, yours in zip(network.parameters(), other.parameters(), strict=True):
        mine.grad = noise(*mine.shape)
        yours.grad = mine.grad.clone()
    before = [p.detach().clone() for p in network.parameters()]
    ours.step()
    theirs.step()
    hidden = {id(x) for x in hidden_convolutions(network)}
    for mine, yours, start in zip(network.parameters(), other.parameters(), before, strict=True):
        if id(mine) in hidden:
            # the direction of the first gradient, for any momentum
            wanted = start - 5 * 1e-2 * orthogonal(noise(*mine.shape).flatten(1)[None])[0].view(mine.shape)
            torch.testing.assert_close(mine.detach(), wanted, rtol=0, atol=1e-5)
        else:
            assert torch.equal(mine, yours)


def test_a_step_with_infinite_gradients_changes_nothing() -> None:
    network = layers()
    optimizer = make(network)
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, float("nan"))
    before = [p.detach().clone() for p in network.parameters()]
    optimizer.found_inf = torch.ones(())  # type: ignore[attr-defined]
    optimizer.step()
    del optimizer.found_inf  # type: ignore[attr-defined]
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert not any(s["exp_avg"].any() for s in optimizer.state.values() if "exp_avg" in s)


def test_a_recipe_enables_orthogonal_updates() -> None:
    plain, muon = (new_state(replace(tiny_recipe(), adam=Adam(muon=m))).optimizer for m in (0.0, 10.0))
    assert type(plain) is torch.optim.Adam
    assert isinstance(muon, Muon)
    with pytest.raises(ValueError, match="must not be negative"):
        Adam(muon=-1.0)
