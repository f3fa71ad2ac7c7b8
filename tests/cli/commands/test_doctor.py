"""`vsr doctor` names what is available and what is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch

from vsr.cli.commands.doctor import doctor
from vsr.engine import device, upscaler
from vsr.engine.backends import own_kernels, select
from vsr.engine.backends.openvino import backend as openvino
from vsr.engine.upscaler import Upscaler
from vsr.kernels.amx import backend as amx
from vsr.kernels.winograd import backend as winograd
from vsr.media.decode import hwaccel
from vsr.media.encode import encoder_trial
from vsr.media.encode.encoder_table import ENCODERS
from vsr.models.catalog import choose
from vsr.models.load import load_generator
from vsr.settings.schema import Backend


def test_every_encoder_and_backend_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    doctor()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert {words[1] for words in lines if words[0] == "encoder"} == set(ENCODERS)
    assert {words[1] for words in lines if words[0] == "backend"} == set(get_args(Backend)) - {
        "auto",
        "torch",
    }


def test_encoders_that_open_are_said_to_work_and_others_what_they_need(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(encoder_trial, "opens", lambda name: name in ("libx264", "h264_qsv"))
    doctor()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("encoder")]
    told = dict(line.split(maxsplit=2)[1:] for line in lines)
    assert told["libx264"] == "works"
    assert told["libx265"] == "does not open"
    assert told["h264_amf"] in (
        "does not open: it needs an AMD GPU with an encoder, and its driver (AMF)",
        "not in this build of PyAV",
    )


def cpu_line(capsys: pytest.CaptureFixture[str]) -> str:
    doctor()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("CPU")]
    return line


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("kernels", [(), ("winograd",), ("amx",), ("amx", "winograd")])
def test_the_reported_precision_is_that_of_a_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bf16: bool, kernels: tuple[str, ...]
) -> None:
    """Cover CPUs with and without bf16, where none, one or both of the package's kernels are fastest."""
    monkeypatch.setattr(device, "bf16_is_quicker", lambda: bf16)
    monkeypatch.setattr(select, "cpu_has_bf16", lambda: bf16)
    best = {"winograd": torch.float32, "amx": torch.bfloat16}
    monkeypatch.setattr(
        own_kernels, "kernels_are_fastest", lambda _, name, dtype: name in kernels and dtype == best[name]
    )
    network = load_generator(choose("auto", "cpu")[0]).network
    taken = select.select(network, torch.device("cpu"))
    placed = replace(taken, compiled=lambda: torch.nn.Identity())
    monkeypatch.setattr(upscaler, "select", lambda *_, **__: placed)
    assert Upscaler(network, device_name="cpu").dtype is taken.dtype
    said = cpu_line(capsys).partition("auto takes ")[2]
    assert said.startswith(f"{taken.backend} in {taken.precision} for fast-x2")
    if "winograd" in kernels and bf16 and "amx" not in kernels:
        assert said == "winograd in float32 for fast-x2, bfloat16 for networks that only torch runs"


def test_hardware_decoders_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hwaccel, "missing", lambda: "no card 0")
    doctor()
    (told,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("hwaccel")]
    assert told.split(maxsplit=2) == ["hwaccel", "cuda", "not here: no card 0"]


def test_a_missing_requirement_of_a_backend_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for runtime in (amx, openvino, winograd):
        monkeypatch.setattr(runtime, "available", lambda: False)
    doctor()
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("backend")]
    assert all("not here: it needs" in line for line in told)
