"""Machine code is compiled once and cached; without a compiler NVRTC is not available."""

from __future__ import annotations

import pytest
import torch

from vsr.kernels import nvrtc


def test_machine_code_is_cached_by_source_macros_and_target(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, list[str]]] = []

    def compiler(source: str, options: list[str]) -> bytes:
        asked.append((source, options))
        return f"{source} {options}".encode()

    monkeypatch.setattr(nvrtc, "_compiled", compiler)
    first = nvrtc.compiled("text", [("N", 1)], "sm_90a")
    assert nvrtc.compiled("text", [("N", 1)], "sm_90a") == first
    assert len(asked) == 1
    others = [
        nvrtc.compiled("text", [("N", 2)], "sm_90a"),
        nvrtc.compiled("other", [("N", 1)], "sm_90a"),
        nvrtc.compiled("text", [("N", 1)], "sm_80"),
    ]
    assert len({first, *others}) == 4
    assert asked[0] == ("text", ["--gpu-architecture=sm_90a", "--std=c++17", "-DN=1"])


def test_a_torch_without_cuda_has_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    nvrtc._compiler.cache_clear()
    nvrtc.available.cache_clear()
    try:
        assert not nvrtc.available()
    finally:
        nvrtc._compiler.cache_clear()
        nvrtc.available.cache_clear()


def test_machine_code_for_other_options_is_compiled_separately(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvrtc, "_compiled", lambda source, options: f"{source} {options}".encode())
    plain = nvrtc.compiled("text", [], "sm_90")
    assert nvrtc.compiled("text", [], "sm_90", ["--fmad=false"]) != plain
