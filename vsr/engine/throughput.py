"""Speed of a generator on a device, and the peak speed of the device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

_SIDE = {"cpu": 2048, "mps": 4096, "cuda": 8192}
"""Side of the matrices whose product measures the peak speed: large enough to use all cores, small enough to
take less than a second. A GPU needs only microseconds for a side of 2048."""
_PRODUCTS = 10
"""Products between two CUDA events, so that the sustained speed is measured and not the best moment."""
_PROBE = 16
"""Side in LR pixels of the image on which operations are counted; a multiple of 4 for pixel unshuffle."""
_LEAST_RUNS = 3
"""Timed runs at least."""


def operations_per_pixel(network: nn.Module) -> float:
    """Return the floating-point operations per LR pixel, two for each multiplication of a convolution or
    matrix.

    Args:
        network: On the host, float32; maps `(N, 3, H, W)` to SR; not changed.
    """
    total = 0

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        weight = module.weight
        assert isinstance(weight, Tensor)
        total += 2 * output.numel() * weight[0].numel()

    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, _PROBE, _PROBE))
    finally:
        for hook in hooks:
            hook.remove()
    return total / _PROBE**2


def ceiling(device: torch.device, dtype: torch.dtype) -> float:
    """Return the floating-point operations per second of a large matrix product of random numbers.

    On the CPU it is the best of several products; on CUDA the mean of several after a warm-up.
    """
    side = _SIDE[device.type]
    a = torch.randn(side, side, device=device).to(dtype)
    if device.type == "cuda":
        seconds = _sustained(lambda: a @ a, device)
    else:
        seconds = min(_timed(lambda: a @ a, device) for _ in range(6))
    return float(2 * side**3 / seconds)


def _sustained(work: Callable[[], object], device: torch.device) -> float:
    """Return the mean seconds of `work` on a GPU that has more calls of it queued."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    with torch.cuda.device(device):
        for _ in range(3):
            work()
        begin.record()
        for _ in range(_PRODUCTS):
            work()
        end.record()
    end.synchronize()  # waits, because the elapsed time is read next
    return begin.elapsed_time(end) / 1e3 / _PRODUCTS


def seconds_a_run(work: Callable[[], object], device: torch.device, *, budget: float) -> float:
    """Return the median seconds of `work`, measured for about `budget` seconds after one warm-up run."""
    _timed(work, device)
    taken = [_timed(work, device)]
    while len(taken) < _LEAST_RUNS or sum(taken) < budget:
        taken.append(_timed(work, device))
    return statistics.median(taken)


def _timed(work: Callable[[], object], device: torch.device) -> float:
    _finish(device)
    begin = time.perf_counter()
    work()
    _finish(device)
    return time.perf_counter() - begin


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
