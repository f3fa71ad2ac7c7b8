"""The backend that runs a generator: the one that is asked for, else the fastest here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from vsr.engine.backends import cuda_graphs as graphs
from vsr.engine.backends import openvino, runs, trial
from vsr.engine.backends.runs import Run, Window
from vsr.engine.device import choose_dtype, cpu_has_bf16
from vsr.errors import ConfigError
from vsr.models.archs.compact import Compact
from vsr.settings.schema import Backend, Precision

if TYPE_CHECKING:
    from vsr.kernels import Target

_WORTH = 10_000
"""Parameters; a smaller network is quick anyway, and compiling it is not."""


@dataclass(frozen=True)
class _Runtime:
    """What is not torch."""

    can_run: Callable[[nn.Module, torch.dtype], bool]
    available: Callable[[], bool]
    compiled: Callable[[nn.Module, torch.dtype, torch.device], Run]
    takes: str
    needs: str
    device: Literal["cpu", "cuda"] = "cpu"
    extra: str = ""
    """Of vsr, which brings it; none where the machine has it, or vsr itself brings it."""
    window: Callable[[], Window] = Window


def _own(
    target: Target, *, takes: str, needs: str, device: Literal["cpu", "cuda"] = "cpu", extra: str = ""
) -> _Runtime:
    """Kernels that this package writes itself."""

    def compiled(network: nn.Module, dtype: torch.dtype, place: torch.device) -> Run:
        run = runs.in_kernels(network, target, dtype, place)
        return graphs.replayed(run) if device == "cuda" else run

    return _Runtime(
        lambda network, dtype: runs.kernels_support(network, target, dtype),
        lambda: runs.kernels_available(target),
        compiled,
        takes=takes,
        needs=needs,
        device=device,
        extra=extra,
        window=lambda: runs.kernel_window(target),
    )


_RUNTIMES = {
    "winograd": _own(
        "winograd",
        takes="networks of 3x3 convolutions, and RRDB of multiples of 16 channels, in fp32",
        needs="llvmlite and a processor with FMA",
    ),
    "openvino": _Runtime(
        lambda network, dtype: openvino.can_run(network, dtype),
        lambda: openvino.available(),
        lambda network, dtype, device: openvino.compiled(network, dtype=dtype),
        takes="networks of 3x3 convolutions in fp32 or bf16",
        needs="OpenVINO",
        extra="openvino",
    ),
    "amx": _own(
        "amx",
        takes="networks of 3x3 convolutions, and RRDB of 32 or 64 channels, in bf16",
        needs="a processor with AMX in bf16, Linux and llvmlite",
    ),
    "cuda": _own(
        "cuda",
        takes="networks of 3x3 convolutions whose channels are multiples of 32, in bf16 or fp16",
        needs="a GPU of compute capability 9.0 (Hopper) and NVRTC",
        device="cuda",
    ),
}


def to_be_had() -> dict[str, str]:
    """What can run networks here beside torch as it is, each with what it runs or what it lacks."""
    return {
        name: f"is there, for {it.takes}" if it.available() else f"not here: it needs {it.needs}"
        for name, it in _RUNTIMES.items()
    }


def window_of(backend: Backend) -> Window:
    """Which windows of a picture give the bits that the whole gives, where its kernels can do that."""
    return _RUNTIMES[backend].window() if backend in _RUNTIMES else Window()


def choose(
    wish: Backend, network: nn.Module, *, device: torch.device, dtype: torch.dtype, int8: bool = False
) -> tuple[Backend, Run]:
    """A backend's name, and the network in it.

    Args:
        wish: `auto` takes, on the processor, kernels of our own where they can run it (`amx` in bf16,
            `winograd` in fp32) and were measured; else what wins a short trial of the first two of
            `winograd`, OpenVINO and torch that can run it here. On CUDA it takes kernels of our own on
            Hopper, for which they were written and measured, and else torch.
        network: In eval mode, float32, on the host; not changed.
        device: Where torch would run it.
        dtype: Of the computation.
        int8: Whether convolutions compute with 8-bit integers, which only OpenVINO does.

    Raises:
        ConfigError: what is asked for is not to be had here, or does not run this network.
    """
    on_processor = device.type == "cpu"
    if int8:
        possible = on_processor and openvino.can_run(network, dtype, int8=True)
        return "openvino", _in_integers(wish, network, possible, dtype)
    if wish == "auto":
        return _best(network, device, dtype)
    if wish == "torch":
        return "torch", runs.eager(network, device=device, dtype=dtype)
    return wish, _asked(wish, network, device, dtype)


def dtype_for(precision: Precision, wish: Backend, network: nn.Module, device: torch.device) -> torch.dtype:
    """The number format of a network's weights; float32 for a filter, which has none.

    A run computes in it, and `vsr doctor` says it: nothing else decides.

    Args:
        precision: `auto` takes 16 bits where the device is made for them, see `device.choose_dtype`; on a
            processor without AMX fp32 all the same where `winograd` can run it, which is faster in it than
            anything in bf16, and exact.
        wish: The backend that was asked for.
    """
    if next(network.parameters(), None) is None:
        return torch.float32
    if precision == "auto" and device.type == "cpu" and wish in ("auto", "winograd"):
        if wish == "auto" and cpu_has_bf16() and runs.kernels_are_fastest(network, "amx", torch.bfloat16):
            return torch.bfloat16
        if runs.kernels_are_fastest(network, "winograd", torch.float32):
            return torch.float32
        winograd = _RUNTIMES["winograd"]
        if wish == "winograd" and winograd.available() and winograd.can_run(network, torch.float32):
            return torch.float32
    return choose_dtype(precision, device)


def _asked(wish: Backend, network: nn.Module, device: torch.device, dtype: torch.dtype) -> Run:
    runtime = _RUNTIMES[wish]
    if device.type != runtime.device or not runtime.can_run(network, dtype):
        raise ConfigError(
            f"--backend {wish} runs {runtime.takes} on {_NAMES[runtime.device]}, not this one in"
            f" {str(dtype).removeprefix('torch.')} on {device}; leave --backend out"
        )
    if not runtime.available():
        how = f"pip install 'vsr-pipeline[{runtime.extra}]'" if runtime.extra else "leave --backend out"
        raise ConfigError(f"--backend {wish} needs {runtime.needs}; {how}")
    return runtime.compiled(network, dtype, device)


_NAMES = {"cpu": "the CPU", "cuda": "a CUDA device"}


def _best(network: nn.Module, device: torch.device, dtype: torch.dtype) -> tuple[Backend, Run]:
    if device.type == "cpu" and _parameters(network) >= _WORTH:
        # Not tried against the others: wherever they were measured, they are twice as fast.
        if runs.kernels_are_fastest(network, "amx", dtype):
            return "amx", _RUNTIMES["amx"].compiled(network, dtype, device)
        if runs.kernels_are_fastest(network, "winograd", dtype):
            return "winograd", _RUNTIMES["winograd"].compiled(network, dtype, device)
        return _quicker(network, dtype)
    if device.type == "cuda" and runs.kernels_are_fastest(network, "cuda", dtype):
        return "cuda", _RUNTIMES["cuda"].compiled(network, dtype, device)
    return "torch", runs.eager(network, device=device, dtype=dtype)


def _quicker(network: nn.Module, dtype: torch.dtype) -> tuple[Backend, Run]:
    """The quicker here of the two that are likely to be."""
    ways: dict[Backend, Callable[[], Run]] = {}
    winograd = _RUNTIMES["winograd"]
    if winograd.can_run(network, dtype) and winograd.available():
        ways["winograd"] = lambda: winograd.compiled(network, dtype, torch.device("cpu"))
    if openvino.can_run(network, dtype) and openvino.available():
        ways["openvino"] = lambda: openvino.compiled(network, dtype=dtype)
    ways["torch"] = lambda: runs.eager(network, device=torch.device("cpu"), dtype=dtype)
    if len(ways) == 1:
        return "torch", ways["torch"]()
    return trial.quicker(dict(list(ways.items())[:2]), network, dtype)


def _in_integers(wish: Backend, network: nn.Module, possible: bool, dtype: torch.dtype) -> Run:
    if wish == "torch" or not possible:
        raise ConfigError(
            "--precision int8 is for Compact networks in OpenVINO on the CPU; use --precision auto for others"
        )
    if not openvino.available():
        raise ConfigError("--precision int8 needs OpenVINO; pip install 'vsr-pipeline[openvino]'")
    assert isinstance(network, Compact)
    return openvino.compiled(network, dtype=dtype, int8=True)


def _parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
