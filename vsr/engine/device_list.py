"""Lists of devices in one name: `cuda:0,cuda:1`, `cuda:all`, `cpu:2`."""

from __future__ import annotations

import re

import torch

from vsr.engine.device import choose_device
from vsr.errors import ConfigError, DeviceError

MOST = 64
"""The largest number of workers on one machine; each is a process with its own copy of the generator."""
_PROCESSES = re.compile(r"cpu:(\d{1,4})")


def split(name: str) -> tuple[str, ...]:
    """Return the device of each worker; a single name means that the run needs no workers.

    `cpu:N` is N processes that share the cores. A device may be named twice, and then has two processes.

    Raises:
        ConfigError: the name is no list of devices of one kind, or too long.
        DeviceError: this machine does not have one of them.
    """
    names = tuple(part for word in name.split(",") for part in _expanded(word.strip()))
    if len(names) == 1:
        return names
    kinds = {choose_device(part).type for part in names}
    if len(kinds) > 1:
        raise ConfigError(
            f"`device={name!r}` mixes {' and '.join(sorted(kinds))}, which round differently, so the result"
            " would depend on the speed of each; name devices of one kind"
        )
    if len(names) > MOST:
        raise ConfigError(f"`device={name!r}` is {len(names)} workers; the limit is {MOST}")
    return names


def _expanded(word: str) -> tuple[str, ...]:
    processes = _PROCESSES.fullmatch(word)
    if processes is not None:
        number = int(processes[1])
        if not number:
            raise ConfigError("`device='cpu:0'` is no worker; use cpu, or cpu:2 for two processes")
        return ("cpu",) * min(number, MOST + 1)
    if word == "cuda:all":
        number = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not number:
            raise DeviceError(
                f"`device='cuda:all'` is impossible: torch {torch.__version__} finds no CUDA device; use"
                " `device='cpu'`"
            )
        return tuple(f"cuda:{i}" for i in range(number))
    return (word,)
