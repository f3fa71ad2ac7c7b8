"""The device of a generator, its dtype, and the memory of the device."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import torch

from vsr.errors import ConfigError, DeviceError
from vsr.settings.schema import Precision
from vsr.system import host

T = TypeVar("T")

_MATRIX_SIDE = 768
"""Side of the matrices whose product is timed, which takes a few milliseconds."""
_ROUNDS = 4
"""Timed products of each dtype; the first one also loads libraries."""
_LEAST_SPEEDUP = 1.25
"""How many times as fast as fp32 bf16 must be."""

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
NAMES: dict[torch.dtype, Precision] = {dtype: name for name, dtype in DTYPES.items()}


def choose_device(name: str) -> torch.device:
    """Return the device with a name; `auto` is the first CUDA device, or the CPU if there is none.

    Raises:
        ConfigError: the name is no kind of device that is supported.
        DeviceError: this machine does not have the device.
    """
    if name == "auto":
        return _best_device()
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"`device={name!r}` is unknown; use auto, cpu, mps, cuda or cuda:N") from error
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type == "mps":
        return _apple_gpu()
    if device.type != "cuda":
        raise ConfigError(f"`device={name!r}` is not supported; use auto, cpu, mps, cuda or cuda:N")
    if not torch.cuda.is_available():
        raise DeviceError(
            f"`device={name!r}` is impossible: torch {torch.__version__} finds no CUDA device;"
            " install a CUDA build of torch and a driver, or use `device='cpu'`"
        )
    index = device.index or 0
    if index >= torch.cuda.device_count():
        raise DeviceError(f"`device={name!r}`: there are only {torch.cuda.device_count()} CUDA devices")
    return torch.device("cuda", index)


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    return torch.device("mps") if _apple_gpu_works() else torch.device("cpu")


def _apple_gpu_works() -> bool:
    """Return whether there is an Apple GPU that computes; in virtual machines torch finds one that has no
    memory.
    """
    if not torch.backends.mps.is_available():
        return False
    try:
        return bool(torch.ones(1).to(torch.device("mps")).add(1).cpu() == 2)
    except RuntimeError:
        return False


def _apple_gpu() -> torch.device:
    if torch.backends.mps.is_available():
        return torch.device("mps")
    raise DeviceError(
        f"`device='mps'` is impossible: torch {torch.__version__} finds no Apple GPU; it needs macOS 14 or"
        " later on Apple silicon, or use `device='cpu'`"
    )


def frames_device(device: torch.device) -> torch.device:
    """Where frames are while they are converted and resized, for a generator on a device.

    That is the device itself on CUDA. An Apple GPU lacks formats and operators that this takes (uint16 with
    arithmetic, float64), and shares its memory with the CPU: there it is the CPU, and the generator's backend
    brings images to the GPU and back.
    """
    return device if device.type == "cuda" else torch.device("cpu")


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the dtype of a generator's weights; `auto` takes 16 bits where the device has hardware for them.

    On CPUs `auto` takes bf16 only if products in it are faster; see `bf16_is_quicker`. On CUDA it takes bf16
    from compute capability 8.0 (Ampere) on, and fp16 from 7.0 on; on Apple GPUs fp16. With `int8` the first
    and the last layer, which are not quantised, have the dtype of `auto`.
    """
    if precision not in ("auto", "int8"):
        return DTYPES[precision]
    if device.type == "mps":
        return torch.float16  # twice as fast as fp32 or faster; bf16 is emulated before the M2
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return torch.bfloat16 if major >= 8 else torch.float16 if major == 7 else torch.float32
    return torch.bfloat16 if bf16_is_quicker() else torch.float32


@cache
def bf16_is_quicker() -> bool:
    """Return whether the CPU multiplies bf16 numbers in hardware, and a trial of milliseconds shows that it
    is faster.

    Zen 4 is 2 times as fast in bf16, AMX 6 times. A Xeon with the same instructions is half as fast if its
    AMX is hidden, as in some virtual machines (docs/benchmarks.md). No known CPU is near the limit, so noise
    does not decide, and a machine always gets the same answer.
    """
    if not cpu_has_bf16():
        return False
    side = _MATRIX_SIDE
    factors = {dtype: torch.rand(side, side).to(dtype) for dtype in (torch.float32, torch.bfloat16)}
    times: dict[torch.dtype, list[float]] = {dtype: [] for dtype in factors}
    for _ in range(_ROUNDS):
        for dtype, factor in factors.items():
            begin = time.perf_counter()
            torch.mm(factor, factor)
            times[dtype].append(time.perf_counter() - begin)
    return min(times[torch.float32]) > _LEAST_SPEEDUP * min(times[torch.bfloat16])


def cpu_has_bf16() -> bool:
    """Return whether this CPU multiplies bf16 numbers in hardware (AVX512-BF16 or AMX-BF16)."""
    if hasattr(torch.cpu, "get_capabilities"):
        can = torch.cpu.get_capabilities()
        return bool(can.get("avx512_bf16") or can.get("amx_bf16"))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def free_memory(device: torch.device) -> int:
    """Return the free bytes of the device; on the host, within the limit of this process's cgroup."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # Memory that torch has cached and does not use is free, too.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "mps":  # memory is shared, so neither the GPU's limit nor the machine's is exceeded
        left = torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
        return max(0, min(left, host.free_memory()))
    return host.free_memory()


def total_memory(device: torch.device) -> int:
    """Return the bytes of memory that the device has."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory())
    return host.total_memory()


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out; torch and its libraries report it in many ways."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _NO_MEMORY)


def is_lost(error: BaseException) -> bool:
    """Return whether an error means that the device itself failed. Then every later call fails, too, and only
    another process or another device helps.
    """
    if isinstance(error, torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _LOST)


def with_retry(work: Callable[[], T], device: torch.device) -> T:
    """Call `work`; if memory runs out, release what torch has cached and call it once more."""
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        error.__traceback__ = None  # it references the tensors of the failed attempt
    release_cache(device)
    return work()


@contextmanager
def one_thread(wanted: bool) -> Generator[None, None, None]:
    """Limit torch's CPU operators to one thread inside the context, in the whole process; if `wanted` is
    False, change nothing."""
    before = torch.get_num_threads()
    try:
        if wanted:
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)


def release_cache(device: torch.device) -> None:
    """Return memory that torch has cached to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


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
    "unable to find an engine to execute this computation",  # each engine needs more memory than is free
)
"""Texts in messages of torch, CUDA, cuDNN, cuBLAS and oneDNN about an allocation that failed."""


_LOST = (
    "CUDA error",
    "CUDA driver error",
    "Triton Error [CUDA]",
    "CUDNN_STATUS_EXECUTION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR",
    "CUBLAS_STATUS_EXECUTION_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
)
"""Texts in messages of torch and its libraries about a failure of a kernel, the driver or the GPU. Check
`_NO_MEMORY` first, because "CUDA error" may also mean that memory ran out."""
