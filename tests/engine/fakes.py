"""Fake networks whose output is predictable, or which fail like real ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vsr.engine.memory import PROBE


class Nearest(nn.Module):
    """Nearest neighbour x2; it has one weight, so that it counts as a network and can run in 16 bits."""

    scale = 2
    receptive_radius = 0

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.gain.to(x.dtype)).repeat_interleave(2, -1).repeat_interleave(2, -2)


class Hungry(Nearest):
    """A network that runs out of memory above `limit` input pixels in a call, and records its calls."""

    def __init__(self, limit: int, words: str | None = None) -> None:
        super().__init__()
        self.limit = limit
        self.words = words
        self.calls: list[tuple[int, ...]] = []

    def __deepcopy__(self, memo: object) -> Hungry:
        return self  # the engine runs a copy, but the test reads the recorded calls

    def to(self, *args: object, **kwargs: object) -> Hungry:
        return self

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != PROBE:
            self.calls.append(tuple(x.shape))
            if x.shape[0] * x.shape[2] * x.shape[3] > self.limit:
                raise torch.OutOfMemoryError("no") if self.words is None else RuntimeError(self.words)
            return super().forward(x)
        return x.repeat_interleave(2, -1).repeat_interleave(2, -2)


class BreaksIn16Bits(Nearest):
    """A network that returns a constant, such as NaN, unless its weight is float32."""

    def __init__(self, value: float, *, always: bool = False) -> None:
        super().__init__()
        self.value = value
        self.always = always

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        broken = self.always or self.gain.dtype != torch.float32
        return torch.full_like(out, self.value) if broken and x.shape[-1] != PROBE else out
