"""A list of devices is one setting, and means one worker for each of its devices."""

from __future__ import annotations

import pytest
import torch

from vsr.engine.device_list import MOST, split
from vsr.errors import ConfigError, DeviceError


@pytest.mark.parametrize("name", ["cpu", "auto", "cpu:1"])
def test_one_device_needs_no_workers(name: str) -> None:
    assert len(split(name)) == 1


def test_a_number_of_processes_shares_the_processor() -> None:
    assert split("cpu:3") == ("cpu", "cpu", "cpu")


def test_gpus_are_named_one_by_one_or_all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert split("cuda:0, cuda:2") == ("cuda:0", "cuda:2")
    assert split("cuda:all") == ("cuda:0", "cuda:1", "cuda:2")


def test_a_gpu_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError, match="cuda:1"):
        split("cuda:0,cuda:1")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_all_gpus_of_a_machine_without_one_are_an_error() -> None:
    with pytest.raises(DeviceError, match="finds no CUDA device"):
        split("cuda:all")


def test_devices_of_different_kinds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="mixes cpu and cuda"):
        split("cuda:0,cpu")


@pytest.mark.parametrize("name", ["cpu:0", f"cpu:{MOST + 1}", "cpu:9999", "cpu,"])
def test_impossible_numbers_are_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        split(name)
