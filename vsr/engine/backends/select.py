"""The only place that decides what runs a generator: the backend and the number format.

The header line of a run, `vsr doctor`, `vsr bench` and the plugins report what `select` answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from vsr.engine.backends import (
    amx,
    cuda,
    torch_eager,
    trial,
    winograd,
)
from vsr.engine.backends.contract import BackendSpec, Run, Window
from vsr.engine.backends.openvino import backend as openvino
from vsr.engine.device import choose_dtype, cpu_has_bf16
from vsr.errors import ConfigError
from vsr.settings.schema import Backend, Precision

BACKENDS: tuple[BackendSpec, ...] = (
    amx.BACKEND,
    winograd.BACKEND,
    cuda.BACKEND,
    openvino.BACKEND,
    torch_eager.BACKEND,
)
"""All backends, in the order in which `auto` prefers them."""

_WORTH = 10_000
"""Number of parameters below which a network is not compiled, because compiling takes longer than running
it."""
_TRIED = 2
"""The largest number of backends that a trial compares."""
_NAMES = {"cpu": "the CPU", "cuda": "a CUDA device", "any": "every device"}


@dataclass(frozen=True, slots=True)
class Selection:
    """What runs a network, and in which number format."""

    backend: Backend
    dtype: torch.dtype
    """Dtype of weights and activations; with `int8`, that of the layers without 8-bit integers."""
    int8: bool
    compiled: Callable[[], Run]
    """Compiles the network, which takes up to a second."""
    window: Window

    @property
    def precision(self) -> str:
        """Number format of most layers: `float32`, `bfloat16`, `float16` or `int8`."""
        return "int8" if self.int8 else str(self.dtype).removeprefix("torch.")


def select(
    network: nn.Module,
    device: torch.device,
    *,
    backend: Backend = "auto",
    precision: Precision = "auto",
    dtype: torch.dtype | None = None,
) -> Selection:
    """Choose the backend and the number format for a network.

    Args:
        network: In eval mode, float32, on the host; not changed.
        device: Where torch would run it.
        backend: `auto` takes the first of `BACKENDS` that was measured to be the fastest for such networks on
            such hardware. If there is none, it takes the faster one in a trial of milliseconds, see `trial`.
        precision: `auto` takes the best format of the backend, else a 16-bit format if the device is faster
            in it, see `device.choose_dtype`; float32 for a filter, which has no weights.
        dtype: Replaces `precision`, for a run that is resumed.

    Raises:
        ConfigError: the requested backend is not available, or does not support this network.
    """
    if precision == "int8" and _parameters(network) > 0:
        return _in_integers(network, device, backend, dtype)
    dtype = dtype or _dtype(network, device, backend, precision)
    if backend == "auto":
        return _best(network, device, dtype)
    return _asked(_spec(backend), network, device, dtype)


def availability() -> dict[str, str]:
    """Return for each backend except torch what it runs on this machine, or what is missing, in words."""
    return {
        it.name: f"is there, for {it.takes}" if it.available() else f"not here: it needs {it.needs}"
        for it in BACKENDS
        if it is not torch_eager.BACKEND
    }


def _spec(name: Backend) -> BackendSpec:
    return next(it for it in BACKENDS if it.name == name)


def _selected(it: BackendSpec, network: nn.Module, device: torch.device, dtype: torch.dtype) -> Selection:
    return Selection(it.name, dtype, False, partial(it.compiled, network, dtype, device), it.window())


def _dtype(network: nn.Module, device: torch.device, backend: Backend, precision: Precision) -> torch.dtype:
    if _parameters(network) == 0:
        return torch.float32
    if precision == "auto":
        for it in BACKENDS:
            for dtype in it.best_dtypes if it.device == device.type else ():
                if dtype == torch.bfloat16 and not cpu_has_bf16():
                    continue
                if backend == "auto" and it.is_measured_fastest(network, dtype):
                    return dtype
                if backend == it.name and it.available() and it.supports(network, dtype):
                    return dtype
    return choose_dtype(precision, device)


def _asked(it: BackendSpec, network: nn.Module, device: torch.device, dtype: torch.dtype) -> Selection:
    if it.device not in ("any", device.type) or not it.supports(network, dtype):
        raise ConfigError(
            f"`backend={it.name!r}` runs {it.takes} on {_NAMES[it.device]}, not this one in"
            f" {str(dtype).removeprefix('torch.')} on {device}; leave `backend` out"
        )
    if not it.available():
        how = f"pip install 'vsr-pipeline[{it.extra}]'" if it.extra else "leave `backend` out"
        raise ConfigError(f"`backend={it.name!r}` needs {it.needs}; {how}")
    return _selected(it, network, device, dtype)


def _best(network: nn.Module, device: torch.device, dtype: torch.dtype) -> Selection:
    if device.type == "cpu" and _parameters(network) < _WORTH:
        return _selected(torch_eager.BACKEND, network, device, dtype)
    here = [it for it in BACKENDS if it.device in ("any", device.type)]
    for it in here:
        if it.is_measured_fastest(network, dtype):
            return _selected(it, network, device, dtype)
    tried = [it for it in here if it.in_trial and it.supports(network, dtype) and it.available()][:_TRIED]
    if len(tried) == 1:
        return _selected(tried[0], network, device, dtype)
    ways = {it.name: partial(it.compiled, network, dtype, device) for it in tried}
    name, run = trial.quicker(ways, network, dtype)
    return Selection(name, dtype, False, lambda: run, _spec(name).window())


def _in_integers(
    network: nn.Module, device: torch.device, backend: Backend, dtype: torch.dtype | None
) -> Selection:
    """Return the backend that computes with 8-bit integers.

    The first and the last layer do not. They are in the 16-bit format that `auto` would take for the device:
    where a CPU is faster in bf16, fast-x2 took 12 to 19 % less time than with these layers in float32 (three
    runs on an EPYC with AVX-512 bf16; for compact-x2 no difference was found), with results as close to those
    of float32. The trial behind `choose_dtype` multiplies in torch, but both torch and OpenVINO leave such
    products to oneDNN.
    """
    it = openvino.BACKEND
    possible = device.type == it.device and backend in ("auto", it.name)
    dtype = dtype or (choose_dtype("int8", device) if possible else torch.float32)
    if not (possible and it.supports_int8(network, dtype)):
        raise ConfigError(
            "`precision='int8'` is for Compact networks in OpenVINO on the CPU;"
            " use `precision='auto'` for others"
        )
    if not it.available():
        raise ConfigError("`precision='int8'` needs OpenVINO; pip install 'vsr-pipeline[openvino]'")
    assert it.compiled_int8 is not None
    return Selection(it.name, dtype, True, partial(it.compiled_int8, network, dtype), it.window())


def _parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
