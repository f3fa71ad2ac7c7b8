"""The learning rate during a run, as a factor of the recipe's learning rate."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["one-cycle", "constant", "steps", "cosine-restarts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How the learning rate changes. Positions are fractions of the run,
    whether it is counted in steps or minutes."""

    kind: Kind = "one-cycle"
    final: float = 0.003
    """Factor at the end of a one-cycle schedule or of a cosine period."""
    warmup: float = 0.03
    """Fraction of the run in which the rate of a one-cycle schedule rises, starting at 1/25."""
    milestones: tuple[float, ...] = ()
    """Fractions of the run; after each of them, `steps` multiplies the rate by `gamma`."""
    gamma: float = 0.5
    periods: int = 1
    """Number of periods of `cosine-restarts`, all of the same length."""

    def __post_init__(self) -> None:
        if not 0 <= self.final <= 1 or not 0 <= self.warmup < 1 or self.periods < 1 or self.gamma <= 0:
            raise ValueError(
                "schedule requires final in [0, 1], warmup in [0, 1), periods >= 1 and gamma > 0"
            )
        if list(self.milestones) != sorted(self.milestones) or any(not 0 < m < 1 for m in self.milestones):
            raise ValueError(f"schedule.milestones = {list(self.milestones)} must increase within (0, 1)")


def factor_at(schedule: Schedule, position: float) -> float:
    """Return the factor of the learning rate at `position`, a fraction of the run from 0 to 1."""
    return _FACTORS[schedule.kind](schedule, min(max(position, 0.0), 1.0))


def _one_cycle(schedule: Schedule, position: float) -> float:
    """Rise linearly from 1/25 (as torch's OneCycleLR), then fall along half a cosine."""
    if position < schedule.warmup:
        return 0.04 + 0.96 * position / schedule.warmup
    return _cosine(schedule.final, (position - schedule.warmup) / (1 - schedule.warmup))


def _restarts(schedule: Schedule, position: float) -> float:
    whole = position * schedule.periods
    return _cosine(schedule.final, 1.0 if position >= 1 else whole - math.floor(whole))


def _cosine(final: float, down: float) -> float:
    return final + (1 - final) * (1 + math.cos(math.pi * down)) / 2


def _steps(schedule: Schedule, position: float) -> float:
    return schedule.gamma ** bisect.bisect_right(schedule.milestones, position)


_FACTORS: Mapping[Kind, Callable[[Schedule, float], float]] = {
    "one-cycle": _one_cycle,
    "constant": lambda schedule, position: 1.0,
    "steps": _steps,
    "cosine-restarts": _restarts,
}
