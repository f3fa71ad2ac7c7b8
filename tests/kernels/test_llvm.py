"""Emitted functions and the lifetime of their code."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

pytest.importorskip("llvmlite")

from llvmlite import ir

from vsr.kernels.llvm import I64, POINTER, Code, Library


def test_a_function_keeps_its_library_alive() -> None:
    module = ir.Module("test")
    code = Code(module, "put", [I64])
    code.ir.store(I64(7), code.ir.inttoptr(code.arguments[0], POINTER))
    code.ir.ret_void()
    library = Library(module)
    alive, put = weakref.ref(library), library.function("put", 1)
    del library
    gc.collect()
    assert alive() is not None  # else the call below runs code in freed memory
    number = torch.zeros(1, dtype=torch.int64)
    put(number.data_ptr())
    assert number.item() == 7
    del put
    gc.collect()
    assert alive() is None
