"""CUDA C++ compiled at run time by NVRTC, a library that torch's CUDA builds include."""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from vsr import disk_cache

_SHARED = 8
"""CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that is loaded on a device."""

    handle: int
    threads: int
    """Threads of a block."""
    shared: int
    """Bytes of shared memory of a block."""

    def launch(self, blocks: int, job: ctypes.Structure) -> None:
        """Start the kernel on torch's current stream with one argument, which is copied.

        Raises:
            RuntimeError: the driver refuses; the message has its reason, such as "out of memory".
        """
        arguments = (ctypes.c_void_p * 1)(ctypes.addressof(job))
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        grid, block = (blocks, 1, 1), (self.threads, 1, 1)
        function = ctypes.c_void_p(self.handle)
        call_driver("cuLaunchKernel", function, *grid, *block, self.shared, stream, arguments, None)


@lru_cache(maxsize=1)
def available() -> bool:
    """Return whether NVRTC and the library of the CUDA driver can be loaded."""
    try:
        return has_compiler() and _driver() is not None
    except OSError:
        return False


def has_compiler() -> bool:
    """Return whether NVRTC can be loaded, which is all that `compiled` needs."""
    try:
        return _compiler() is not None
    except OSError:
        return False


def load(
    source: str,
    defined: Sequence[tuple[str, int]],
    *,
    target: str,
    threads: int,
    shared: int,
    entry: str = "convolve",
    options: Sequence[str] = (),
) -> Kernel:
    """Compile a source and load one of its `extern "C"` kernels on torch's current device.

    Args:
        source: CUDA C++ without includes.
        defined: Macros and their values.
        target: GPU architecture, such as `sm_90a`.
        threads: Threads of a block.
        shared: Bytes of shared memory of a block.
        entry: Name of the kernel.
        options: Further options of the compiler.

    Raises:
        RuntimeError: the source does not compile, or the driver refuses it.
    """
    torch.cuda.current_stream()  # makes the device's context current on this thread
    code = compiled(source, defined, target, options)
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    call_driver("cuModuleLoadData", ctypes.byref(module), code)
    call_driver("cuModuleGetFunction", ctypes.byref(function), module, entry.encode())
    call_driver("cuFuncSetAttribute", function, _SHARED, shared)
    assert function.value is not None
    return Kernel(function.value, threads, shared)


def compiled(
    source: str, defined: Sequence[tuple[str, int]], target: str, options: Sequence[str] = ()
) -> bytes:
    """Return machine code for `target`, from the user's cache if it is there; needs no device.

    Raises:
        RuntimeError: the source does not compile; the message has the first lines of the compiler.
    """
    macros = [f"-D{name}={value}" for name, value in defined]
    given = [f"--gpu-architecture={target}", "--std=c++17", *macros, *options]
    place = disk_cache.place_of("kernels", (source, given, torch.version.cuda))
    code = disk_cache.read(place)
    if code is None:
        code = _compiled(source, given)
        disk_cache.write(place, code)
    return code


def _compiled(source: str, options: Sequence[str]) -> bytes:
    nvrtc = _compiler()
    assert nvrtc is not None
    words = (ctypes.c_char_p * len(options))(*(word.encode() for word in options))
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"vsr.cu", 0, None, None)
    try:
        if nvrtc.nvrtcCompileProgram(program, len(options), words):
            raise RuntimeError(f"NVRTC: {_text(nvrtc, program, 'ProgramLog').decode(errors='replace')[:500]}")
        return _text(nvrtc, program, "CUBIN")
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _text(nvrtc: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(nvrtc, f"nvrtcGet{what}")(program, text)
    return text.raw


def call_driver(name: str, *arguments: object) -> None:
    """Call a function of the CUDA driver.

    Raises:
        RuntimeError: the function returns an error; the message has the driver's text.
    """
    driver = _driver()
    code = getattr(driver, name)(*arguments)
    if code:
        words = ctypes.c_char_p()
        driver.cuGetErrorString(code, ctypes.byref(words))
        raise RuntimeError(f"CUDA driver error: {name}: {(words.value or b'unknown').decode()}")


@lru_cache(maxsize=1)
def _driver() -> ctypes.CDLL:
    return ctypes.CDLL("libcuda.so.1")


@lru_cache(maxsize=1)
def _compiler() -> ctypes.CDLL | None:
    """Load the NVRTC of the CUDA version that torch was built for; None in a torch without CUDA."""
    if torch.version.cuda is None:
        return None
    major = torch.version.cuda.partition(".")[0]
    for folder in _folders():
        if (folder / f"libnvrtc.so.{major}").exists():
            for part in folder.glob(f"libnvrtc-builtins.so.{major}*"):
                ctypes.CDLL(str(part), ctypes.RTLD_GLOBAL)  # NVRTC searches this library by its name alone
            return ctypes.CDLL(str(folder / f"libnvrtc.so.{major}"))
    return ctypes.CDLL(f"libnvrtc.so.{major}")


def _folders() -> list[Path]:
    """Return the folders where the packages that torch depends on may have NVRTC."""
    found = importlib.util.find_spec("nvidia")
    roots = [Path(root) for root in found.submodule_search_locations or ()] if found else []
    return [folder for root in roots for folder in (*root.glob("cu[0-9]*/lib"), *root.glob("cuda_nvrtc/lib"))]
