"""Fixtures of the tests of whole training runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.photographs import write_vgg
from vsr.training.run import evaluate


@pytest.fixture(scope="module")
def vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vgg(tmp_path_factory.mktemp("vgg") / "vgg.safetensors")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validate on few samples, and compute on one thread: equal bits require sums in the same order."""
    torch.set_num_threads(1)
    monkeypatch.setattr(evaluate, "SAMPLES", 2)
