"""Which backend runs a generator: the one that is asked for, else the one that is faster here."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from vsr.config import Backend
from vsr.engine import backends, openvino
from vsr.engine.backends import Run
from vsr.errors import ConfigError
from vsr.models.archs.compact import Compact
from vsr.models.archs.rrdb import RRDB

_TRIED = (96, 160)
"""Height and width of the picture that both are tried on: milliseconds, and large enough for all threads."""
_WORK = 1e10
"""Multiplications that a try may take; networks of many parameters see a smaller picture."""
_ROUNDS = 3
_CLEARLY = 1.3
"""How much faster torch must be to be taken. Both round differently, so the choice should not hang on noise:
the same command is to give the same bits each time."""
_WORTH = 10_000
"""Parameters; a smaller network is quick anyway, and compiling it is not."""


def choose(
    wish: Backend, network: nn.Module, *, device: torch.device, dtype: torch.dtype, int8: bool = False
) -> tuple[Backend, Run]:
    """A backend's name, and the network in it.

    Args:
        wish: `auto` takes OpenVINO on the processor where it is installed, knows the network and wins a short
            trial; else torch.
        network: In eval mode, float32, on the host; not changed.
        device: Where torch would run it.
        dtype: Of the computation.
        int8: Whether convolutions compute with 8-bit integers, which only OpenVINO does.

    Raises:
        ConfigError: `openvino` or `int8` is asked for, and OpenVINO is not installed or does not run this
            network here.
    """
    possible = device.type == "cpu" and openvino.can_run(network, dtype, int8=int8)
    if int8:
        return "openvino", _in_integers(wish, network, possible, dtype)
    if wish == "torch" or (wish == "auto" and not (possible and openvino.available() and _is_worth(network))):
        return "torch", backends.eager(network, device=device, dtype=dtype)
    if not possible:
        raise ConfigError(
            f"--backend openvino runs Compact and RRDB networks in fp32 or bf16 on the CPU, not this one in "
            f"{str(dtype).removeprefix('torch.')} on {device}; leave --backend out"
        )
    if not openvino.available():
        raise ConfigError("--backend openvino needs OpenVINO; pip install 'vsr-pipeline[openvino]'")
    assert isinstance(network, Compact | RRDB)
    run = openvino.compiled(network, dtype=dtype)
    if wish == "openvino":
        return "openvino", run
    torch_run = backends.eager(network, device=device, dtype=dtype)
    return ("openvino", run) if _wins(run, torch_run, _trial(network)) else ("torch", torch_run)


def _in_integers(wish: Backend, network: nn.Module, possible: bool, dtype: torch.dtype) -> Run:
    if wish == "torch" or not possible:
        raise ConfigError(
            "--precision int8 is for Compact networks in OpenVINO on the CPU; use --precision auto for others"
        )
    if not openvino.available():
        raise ConfigError("--precision int8 needs OpenVINO; pip install 'vsr-pipeline[openvino]'")
    assert isinstance(network, Compact)
    return openvino.compiled(network, dtype=dtype, int8=True)


def _is_worth(network: nn.Module) -> bool:
    return _parameters(network) >= _WORTH


def _parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _trial(network: nn.Module) -> Tensor:
    """A picture that is quick to compute: each parameter of a convolution costs a multiplication a pixel."""
    height, width = _TRIED
    smaller = min(1.0, (_WORK / (_parameters(network) * height * width)) ** 0.5)
    return torch.rand(1, 3, max(16, int(height * smaller)), max(16, int(width * smaller)))


def _wins(one: Run, other: Run, picture: Tensor) -> bool:
    """Whether `one` is not clearly slower; both in turn, the best of a few, for others may disturb either."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in (one, other):
        run(picture)
    for _ in range(_ROUNDS):
        for run, taken in zip((one, other), times, strict=True):
            begin = time.perf_counter()
            run(picture)
            taken.append(time.perf_counter() - begin)
    return min(times[0]) < _CLEARLY * min(times[1])
