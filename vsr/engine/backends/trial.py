"""A trial of milliseconds between two backends, whose outcome is remembered.

Both ways round differently, so what is taken must not hang on noise: the same command is to give the same
bits each time. What was found is a word in a file of the user's cache; without one it is found each time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from vsr import disk_cache
from vsr.engine.backends.contract import Run
from vsr.system.host import processor_name

Name = TypeVar("Name", bound=str)

logger = logging.getLogger(__name__)

_TRIED = (96, 160)
"""Height and width of the picture that both are tried on: milliseconds, and large enough for all threads."""
_WORK = 1e10
"""Multiplications that a try may take; networks of many parameters see a smaller picture."""
_ROUNDS = 3
_CLEARLY = 1.3
"""How much faster the second must be to be taken."""


def quicker(
    ways: Mapping[Name, Callable[[], Run]], network: nn.Module, dtype: torch.dtype
) -> tuple[Name, Run]:
    """The first of two ways unless the second is clearly faster, and the network in it.

    Args:
        ways: Names, and what makes a run of each.
        network: That they run, on the host; only its shape counts.
        dtype: That they compute in.
    """
    place = _place(ways, network, dtype)
    word = (disk_cache.read(place) or b"").decode(errors="replace")
    for name, make in ways.items():
        if name == word:
            return name, make()
    runs = {name: make() for name, make in ways.items()}
    (first, one), (second, other) = runs.items()
    found = first if _wins(one, other, picture(network)) else second
    disk_cache.write(place, found.encode())
    return found, runs[found]


def picture(network: nn.Module) -> Tensor:
    """`(1, 3, H, W)`, quick to compute: each parameter of a convolution costs a multiplication a pixel."""
    height, width = _TRIED
    parameters = sum(p.numel() for p in network.parameters())
    smaller = min(1.0, (_WORK / (parameters * height * width)) ** 0.5)
    return torch.rand(1, 3, max(16, int(height * smaller)), max(16, int(width * smaller)))


def _wins(one: Run, other: Run, x: Tensor) -> bool:
    """Whether `one` is not clearly slower; both in turn, the best of a few, for others may disturb either."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in (one, other):
        run(x)
    for _ in range(_ROUNDS):
        for run, taken in zip((one, other), times, strict=True):
            begin = time.perf_counter()
            run(x)
            taken.append(time.perf_counter() - begin)
    return min(times[0]) < _CLEARLY * min(times[1])


def _place(ways: Iterable[str], network: nn.Module, dtype: torch.dtype) -> Path | None:
    """Of the word for these ways, this shape of network, these threads, this processor and these versions."""
    shapes = [(name, tuple(value.shape)) for name, value in network.state_dict().items()]
    facts = (
        *ways,
        type(network).__name__,
        shapes,
        dtype,
        torch.get_num_threads(),
        processor_name(),
        _versions(),
    )
    return disk_cache.place_of("trials", facts)


def _versions() -> list[str]:
    names = ("torch", "openvino", "llvmlite")
    return [f"{d.name} {d.version}" for name in names for d in metadata.distributions(name=name)]
