"""The log of a training run."""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import sys
import types
from contextlib import closing
from pathlib import Path

import pytest

from vsr.errors import OutputError
from vsr.training.run.records import journal
from vsr.training.run.records.journal import Journal, means


def rows(output: Path) -> list[dict[str, float | None]]:
    return [json.loads(line) for line in output.with_suffix(".jsonl").read_text().splitlines()]


@pytest.fixture
def without_tensorboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal.importlib.util, "find_spec", lambda name: None)


@pytest.mark.usefixtures("without_tensorboard")
def test_each_validation_is_a_row_and_a_resumed_run_appends(tmp_path: Path) -> None:
    output = tmp_path / "out.safetensors"
    for step in (20, 40):
        with closing(Journal(output)) as log:
            log.write(step, 1.26, {"loss": 0.123456789, "clean": -0.5})
    assert rows(output) == [
        {"step": step, "seconds": 1.3, "loss": 0.123457, "clean": -0.5} for step in (20, 40)
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


@pytest.mark.usefixtures("without_tensorboard")
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_null_in_json(tmp_path: Path, value: float) -> None:
    output = tmp_path / "out.safetensors"
    with closing(Journal(output)) as log:
        log.write(1, 0.0, {"loss": value})
    assert "NaN" not in output.with_suffix(".jsonl").read_text()
    assert rows(output)[0]["loss"] is None


@pytest.mark.usefixtures("without_tensorboard")
def test_a_validation_is_a_log_message(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "vsr.training"), closing(Journal(tmp_path / "out.safetensors")) as log:
        log.write(20, 3.0, {"crf23": 0.25})
    assert caplog.messages == ["step 20, seconds 3.0, crf23 0.25"]


@pytest.mark.usefixtures("without_tensorboard")
def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    log = Journal(tmp_path / "nowhere" / "out.safetensors")
    with pytest.raises(OutputError, match=r"out\.jsonl cannot be written"):
        log.write(1, 0.0, {})


@pytest.mark.usefixtures("without_tensorboard")
def test_a_link_under_the_logs_name_is_not_followed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("precious")
    (tmp_path / "out.jsonl").symlink_to(mine)
    with pytest.raises(OutputError, match=r"out\.jsonl cannot be written"):
        Journal(tmp_path / "out.safetensors").write(1, 0.0, {})
    assert mine.read_text() == "precious"


class Board:
    """A stand-in for TensorBoard's writer, which is not a dependency."""

    def __init__(self, folder: str) -> None:
        self.folder, self.scalars, self.closed = folder, list[tuple[str, float, int]](), False

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    def close(self) -> None:
        self.closed = True


def test_tensorboard_gets_finite_values_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boards: list[Board] = []
    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = lambda folder: boards.append(Board(folder)) or boards[-1]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with closing(Journal(tmp_path / "out.safetensors")) as log:
        log.write(20, 3.0, {"crf23": 0.25, "loss": math.nan})
    (board,) = boards
    assert board.folder == str(tmp_path / "out.tensorboard")
    assert board.scalars == [("crf23", 0.25, 20)]
    assert board.closed


def test_means_are_over_the_steps_in_which_a_term_was_finite() -> None:
    found = means([{"a": 1.0}, {"a": math.nan, "b": 4.0}, {"a": 3.0, "c": math.nan}])
    assert found == {"a": 2.0, "b": 4.0}
