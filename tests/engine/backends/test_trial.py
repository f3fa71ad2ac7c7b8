"""The faster of two backends for a network is found once and remembered for this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from vsr.engine.backends import trial
from vsr.models.archs.compact import Compact, CompactConfig
from vsr.models.archs.rrdb import RRDB, RRDBConfig


class Candidates:
    """Two backends with given times, which a fake clock shows, so that the load of the machine does not
    matter."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
        self.now, self.made, self.seconds = 0.0, [], seconds
        monkeypatch.setattr(trial.time, "perf_counter", lambda: self.now)

    def of(self) -> dict[str, object]:
        return {name: lambda name=name: self._make(name) for name in self.seconds}

    def _make(self, name: str) -> object:
        self.made.append(name)

        def run(x: Tensor) -> Tensor:
            self.now += self.seconds[name]
            return x

        return run


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def network(**changes: int) -> Compact:
    return Compact(CompactConfig(**({"nf": 32, "nc": 4, "scale": 2} | changes)))


def found(candidates: Candidates, made: Compact | None = None, dtype: torch.dtype = torch.float32) -> str:
    return trial.quicker(candidates.of(), made or network(), dtype)[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(("own", "other", "name"), [(1, 2, "own"), (1.2, 1, "own"), (1.4, 1, "other")])
def test_the_second_backend_must_be_clearly_faster(
    own: float, other: float, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(Candidates(monkeypatch, own=own, other=other)) == name


def test_the_remembered_backend_is_taken_whatever_the_times_and_the_other_is_not_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert found(Candidates(monkeypatch, own=1, other=2)) == "own"
    again = Candidates(monkeypatch, own=2, other=1)
    assert found(again) == "own"
    assert again.made == ["own"]


def test_another_network_dtype_or_number_of_threads_gets_a_new_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(Candidates(monkeypatch, own=1, other=2)) == "own"
    slow = Candidates(monkeypatch, own=2, other=1)
    assert found(slow, network(nf=16)) == "other"
    assert found(slow, dtype=torch.bfloat16) == "other"
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    assert found(slow) == "other"


@pytest.mark.parametrize("spoilt", [b"", b"none of both", b"\xff\xfe\x00"])
def test_an_invalid_cache_file_is_replaced_after_a_new_trial(
    spoilt: bytes, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(Candidates(monkeypatch, own=1, other=2)) == "own"
    (word,) = (cache / "vsr" / "trials").iterdir()
    word.write_bytes(spoilt)
    assert found(Candidates(monkeypatch, own=2, other=1)) == "other"
    assert word.read_text() == "other"


def test_a_trial_works_if_the_cache_cannot_be_written(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write_text("a file where the folder should be")
    for _ in range(2):
        candidates = Candidates(monkeypatch, own=2, other=1)
        assert found(candidates) == "other"
        assert candidates.made == ["own", "other"]


def test_without_a_home_folder_the_trial_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    assert found(Candidates(monkeypatch, own=2, other=1)) == "other"


def test_a_large_network_is_tried_on_a_small_image() -> None:
    """A trial costs parameters times pixels; on the usual image it would take seconds before the first
    frame."""
    large = RRDB(RRDBConfig(nb=12)).requires_grad_(False)
    height, width = trial.image(large).shape[-2:]
    assert height * width * sum(p.numel() for p in large.parameters()) < 1.1e10
    assert trial.image(network()).shape == (1, 3, 96, 160)
