"""The kernel's own text on the host: compiled by g++, with emulated GPU functions (`emulated.h`)."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

from vsr.kernels.cuda import halo
from vsr.kernels.cuda.operands import Operands

HERE = Path(__file__).parent


def launch(packed: halo.Packed, operands: Operands) -> None:
    """Compute a layer on its GPU, or in a few emulated blocks on the host."""
    if operands.src.is_cuda:
        return halo.launch(packed, operands)
    job = halo.job_of(packed, operands)
    return on_the_host(packed.shape).emulate(ctypes.byref(job), 2 * packed.shape.parts)


@cache
def on_the_host(shape: halo.Shape) -> ctypes.CDLL:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed, which compiles the kernel's text for the host")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "halo.so"
        flags = [f"-D{name}={value}" for name, value in halo.defined(shape)]
        options = [
            "-std=c++20",
            "-O2",
            "-w",
            "-shared",
            "-fPIC",
            "-pthread",
            "-I",
            Path(halo.__file__).parent,
        ]
        subprocess.run([compiler, *options, *flags, "-o", library, HERE / "emulate.cpp"], check=True)
        return ctypes.CDLL(str(library))  # stays loaded after the file was deleted
