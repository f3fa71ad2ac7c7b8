"""Learning rate schedules: the shape and the ends of each kind."""

from __future__ import annotations

from typing import Any

import pytest

from vsr.training.schedule import Schedule, factor_at


def factors(schedule: Schedule, steps: int = 100) -> list[float]:
    return [factor_at(schedule, i / steps) for i in range(steps + 1)]


def test_one_cycle_rises_from_1_25_and_falls_to_its_end() -> None:
    found = factors(Schedule(kind="one-cycle", warmup=0.1, final=0.01))
    assert found[0] == pytest.approx(1 / 25)
    assert found[10] == max(found) == pytest.approx(1)
    assert found[100] == pytest.approx(0.01)
    assert found[:11] == sorted(found[:11])
    assert found[10:] == sorted(found[10:], reverse=True)
    assert found[55] == pytest.approx((1 + 0.01) / 2)  # half a cosine is point-symmetric


def test_one_cycle_without_warmup_starts_at_the_peak() -> None:
    assert factor_at(Schedule(kind="one-cycle", warmup=0), 0) == 1


def test_constant_does_not_change() -> None:
    assert set(factors(Schedule(kind="constant", final=0.5))) == {1.0}


def test_steps_multiply_at_each_milestone() -> None:
    schedule = Schedule(kind="steps", milestones=(0.5, 0.75), gamma=0.1)
    assert [factor_at(schedule, at) for at in (0, 0.499, 0.5, 0.749, 0.75, 1)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )


def test_cosine_restarts_begin_each_period_high_and_end_it_low() -> None:
    found = factors(Schedule(kind="cosine-restarts", periods=4, final=0.0))
    for period in range(4):
        start = 25 * period
        assert found[start] == pytest.approx(1)
        assert found[start : start + 25] == sorted(found[start : start + 25], reverse=True)
        assert found[start + 24] < 0.01  # (1 + cos(0.96 pi)) / 2 = 0.004
    assert found[100] == pytest.approx(0)


@pytest.mark.parametrize("kind", ["one-cycle", "constant", "steps", "cosine-restarts"])
def test_positions_beyond_the_ends_give_the_values_at_the_ends(kind: Any) -> None:
    schedule = Schedule(kind=kind, milestones=(0.5,))
    assert factor_at(schedule, -0.1) == factor_at(schedule, 0)
    assert factor_at(schedule, 1.7) == factor_at(schedule, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"final": 1.5},
        {"warmup": 1.0},
        {"periods": 0},
        {"gamma": 0.0},
        {"milestones": (0.5, 0.2)},
        {"milestones": (1.0,)},
    ],
)
def test_an_invalid_schedule_is_rejected(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="schedule"):
        Schedule(**wrong)
