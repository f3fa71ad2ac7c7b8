"""The device, the number format and the free memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

import torch

from vsr.errors import ConfigError, DeviceError
from vsr.settings.schema import Precision

T = TypeVar("T")

_TRIED = 768
"""Side of the matrices whose product is tried: some milliseconds."""
_ROUNDS = 4
"""The first of which loads what it needs."""
_CLEARLY = 1.25
"""How much faster bf16 has to be."""

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


def choose_device(name: str) -> torch.device:
    """The device that `name` means; `auto` is the first CUDA device, else the CPU.

    Raises:
        ConfigError: no such kind of device.
        DeviceError: the device is not there.
    """
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device {name!r} is unknown; use auto, cpu, cuda or cuda:N") from error
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type != "cuda":
        raise ConfigError(f"device {name!r} is not supported; use auto, cpu, cuda or cuda:N")
    if not torch.cuda.is_available():
        raise DeviceError(
            f"device {name!r} was asked for, but torch {torch.__version__} sees no CUDA device;"
            " install a CUDA build of torch and a driver, or use `device='cpu'`"
        )
    index = device.index or 0
    if index >= torch.cuda.device_count():
        raise DeviceError(f"device {name!r}: there are only {torch.cuda.device_count()} CUDA devices")
    return torch.device("cuda", index)


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The number format of the generator's weights; `auto` takes 16 bits where the device is made for them.

    On CPUs, bf16 is taken only where products in it are quicker, see `bf16_is_quicker`. On CUDA, bf16 from
    compute capability 8.0 (Ampere) on, fp16 from 7.0.
    With `int8` this is the format of the layers that stay as they are.
    """
    if precision not in ("auto", "int8"):
        return DTYPES[precision]
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return torch.bfloat16 if major >= 8 else torch.float16 if major == 7 else torch.float32
    return torch.bfloat16 if bf16_is_quicker() else torch.float32


@cache
def bf16_is_quicker() -> bool:
    """Whether the CPU has products of bf16 numbers, and is clearly faster with them: a trial of milliseconds.

    Zen 4 is 2 times as fast in bf16 and AMX 6 times, but a Xeon of the same instructions whose AMX is hidden,
    as virtual machines do, half as fast (docs/benchmarks.md). Nothing lies near the limit, so noise does not
    decide, and the same machine always answers the same.
    """
    if not cpu_has_bf16():
        return False
    factors = {dtype: torch.rand(_TRIED, _TRIED).to(dtype) for dtype in (torch.float32, torch.bfloat16)}
    times: dict[torch.dtype, list[float]] = {dtype: [] for dtype in factors}
    for _ in range(_ROUNDS):
        for dtype, factor in factors.items():
            begin = time.perf_counter()
            torch.mm(factor, factor)
            times[dtype].append(time.perf_counter() - begin)
    return min(times[torch.float32]) > _CLEARLY * min(times[torch.bfloat16])


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 numbers in hardware (AVX512-BF16 or AMX-BF16)."""
    if hasattr(torch.cpu, "get_capabilities"):
        can = torch.cpu.get_capabilities()
        return bool(can.get("avx512_bf16") or can.get("amx_bf16"))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def free_memory(device: torch.device) -> int:
    """Bytes that can still be had on the device; on the host, within this process's cgroup."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What torch has cached but does not use is free for us too.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(_meminfo_available(), _cgroup_left())


def total_memory(device: torch.device) -> int:
    """Bytes of memory that the device has."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return _meminfo("MemTotal:")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says "no memory left": torch and the libraries under it have many ways to."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _NO_MEMORY)


def is_lost(error: BaseException) -> bool:
    """Whether an error says that the device itself failed: then every later call fails too, and nothing helps
    but another process, or another device."""
    if isinstance(error, torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _LOST)


def twice(work: Callable[[], T], device: torch.device) -> T:
    """Do `work`; if memory runs out, give back what torch has cached and do it once more."""
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        error.__traceback__ = None  # it holds the tensors of the failed attempt
    release_cache(device)
    return work()


@contextmanager
def one_thread(wanted: bool) -> Generator[None, None, None]:
    """Let torch's operators on the processor compute on one thread meanwhile, in the whole process; with
    `wanted` False, nothing changes."""
    before = torch.get_num_threads()
    try:
        if wanted:
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)


def release_cache(device: torch.device) -> None:
    """Give memory that torch holds for later back to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


_NO_MEMORY = (
    "out of memory",
    "DefaultCPUAllocator",
    "not enough memory",
    "can't allocate memory",
    "std::bad_alloc",
    "could not create a memory object",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "Unable to find a valid cuDNN algorithm",
    "unable to find an engine to execute this computation",  # each wanted more memory than there was
)
"""What torch, CUDA, cuDNN, cuBLAS and oneDNN write when an allocation of theirs fails."""


_LOST = (
    "CUDA error",
    "CUDA driver error",
    "Triton Error [CUDA]",
    "CUDNN_STATUS_EXECUTION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR",
    "CUBLAS_STATUS_EXECUTION_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
)
"""What torch and the libraries under it write when a kernel, a driver or a card fails; asked after
`_NO_MEMORY`, for memory is called a "CUDA error" too."""


_UNKNOWN_MEMORY = 4 * 2**30
"""Assumed where the system does not tell; small enough for most machines."""


def _meminfo(key: str) -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return _UNKNOWN_MEMORY
    for line in lines:
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return _UNKNOWN_MEMORY


def _meminfo_available() -> int:
    return _meminfo("MemAvailable:")


def _cgroup_left() -> int:
    """Limit of the control group (v2) minus what it needs; a container's limit is not in /proc/meminfo."""
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        rows = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        cached = int(rows["inactive_file"])  # of files read once; the kernel gives it back when asked
    except (OSError, ValueError, KeyError):
        return 2**62  # no limit ("max"), or no control groups
    return max(0, limit - used + cached)


_CGROUP = Path("/sys/fs/cgroup")
