"""Runs a function in two processes that train together, for the tests of `vsr.training.distributed`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from vsr.training.distributed.group import Group
from vsr.training.distributed.processes import Place, joined, started

Work = Callable[[Group, Path], object]
"""A function of a module that can be imported; it leaves its results in a folder."""
CPU = torch.device("cpu")


def in_two_processes(work: Work, folder: Path) -> None:
    """Call `work` in this process and in another one that is started for it; both belong to one group."""
    place = Place(size=2, local_size=2)
    with started(place, _in_other, (work, folder)) as store, joined(place, CPU, store) as group:
        work(group, folder)


def _in_other(place: Place, store: Any, order: tuple[Work, Path]) -> None:
    work, folder = order
    with joined(place, CPU, store) as group:
        work(group, folder)
