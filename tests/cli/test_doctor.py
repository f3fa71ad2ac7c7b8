"""`vsr doctor` names what there is and what is missing."""

from __future__ import annotations

from typing import get_args

import pytest

from vsr.cli.doctor import doctor
from vsr.config import Backend
from vsr.engine import openvino
from vsr.kernels.amx import backend as amx
from vsr.kernels.winograd import backend as winograd
from vsr.media import hwaccel
from vsr.media.encoder_table import ENCODERS


def test_every_encoder_and_backend_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    doctor()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert {words[1] for words in lines if words[0] == "encoder"} == set(ENCODERS)
    assert {words[1] for words in lines if words[0] == "backend"} == set(get_args(Backend)) - {
        "auto",
        "torch",
    }


def test_what_decodes_beside_software_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hwaccel, "missing", lambda: "no card 0")
    doctor()
    (told,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("hwaccel")]
    assert told.split(maxsplit=2) == ["hwaccel", "cuda", "not here: no card 0"]


def test_what_a_backend_lacks_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for runtime in (amx, openvino, winograd):
        monkeypatch.setattr(runtime, "available", lambda: False)
    doctor()
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("backend")]
    assert all("not here: it needs" in line for line in told)
