"""A trial of milliseconds between two backends, whose outcome is remembered.

Two backends round differently, and the same command must give the same bits each time, so noise must not
decide. The outcome is stored in a file of the user's cache; without a cache the trial is repeated in each
process.
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

_SIZE = (96, 160)
"""Height and width of the image of the trial, which takes milliseconds and is large enough for all
threads."""
_WORK = 1e10
"""Most multiplications of a timed run; networks of many parameters get a smaller image."""
_ROUNDS = 3
_LEAST_SPEEDUP = 1.3
"""How many times as fast the second backend must be to be taken."""


def quicker(
    candidates: Mapping[Name, Callable[[], Run]], network: nn.Module, dtype: torch.dtype
) -> tuple[Name, Run]:
    """Return the first of two backends, or the second if it is clearly faster, and the network in it.

    Args:
        candidates: Names, and a function for each that compiles the network.
        network: The network, on the host; only its shape matters.
        dtype: Of the computation.
    """
    place = _place(candidates, network, dtype)
    word = (disk_cache.read(place) or b"").decode(errors="replace")
    for name, make in candidates.items():
        if name == word:
            return name, make()
    runs = {name: make() for name, make in candidates.items()}
    (first, one), (second, other) = runs.items()
    found = first if _wins(one, other, image(network)) else second
    disk_cache.write(place, found.encode())
    return found, runs[found]


def image(network: nn.Module) -> Tensor:
    """Return a random image `(1, 3, H, W)` for a trial.

    A parameter of a convolution costs one multiplication per pixel, so large networks get a smaller image.
    """
    height, width = _SIZE
    parameters = sum(p.numel() for p in network.parameters())
    smaller = min(1.0, (_WORK / (parameters * height * width)) ** 0.5)
    return torch.rand(1, 3, max(16, int(height * smaller)), max(16, int(width * smaller)))


def _wins(one: Run, other: Run, x: Tensor) -> bool:
    """Return whether `one` is not clearly slower: the best of a few alternating runs, because other programs
    may disturb some of them.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for run in (one, other):
        run(x)
    for _ in range(_ROUNDS):
        for run, taken in zip((one, other), times, strict=True):
            begin = time.perf_counter()
            run(x)
            taken.append(time.perf_counter() - begin)
    return min(times[0]) < _LEAST_SPEEDUP * min(times[1])


def _place(candidates: Iterable[str], network: nn.Module, dtype: torch.dtype) -> Path | None:
    """Return the cache file for these backends and dtype, this shape of network, and this machine: its CPU,
    threads and package versions."""
    shapes = [(name, tuple(value.shape)) for name, value in network.state_dict().items()]
    facts = (
        *candidates,
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
