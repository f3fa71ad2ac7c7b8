"""A signal makes a process of `vsr train` save a checkpoint, from which the same command resumes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from tests.cli.run_cli import run_cli
from tests.training.photographs import write_photographs

RECIPE = """
name = "tiny"
steps = 1_000_000
batch = 2
patch = 16
precision = "fp32"
validate_every = 1_000_000
holdout = 2

[generator.compact]
nf = 4
nc = 1
scale = 2

[losses]
pixel = "l1"

[pool]
clips = 2
fresh = 1
every = 100

[degrade]
frames = 1
size = 64
"""


def words(folder: Path) -> list[str]:
    write_photographs(folder / "photographs", 4, side=72)
    (folder / "tiny.toml").write_text(RECIPE, encoding="utf-8")
    paths = [str(folder / name) for name in ("tiny.toml", "photographs", "out.safetensors")]
    return ["train", paths[0], "--data", paths[1], "-o", paths[2], "--device", "cpu", "--threads", "1"]


def stopped(command: list[str], number: signal.Signals) -> tuple[int, list[dict[str, Any]]]:
    """Start a command, send a signal while its steps go on, and return the exit code and all events."""
    words = [sys.executable, "-m", "vsr", *command, "--progress", "json"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        events = [json.loads(process.stderr.readline())]
        while events[-1]["event"] not in ("training", "end"):
            events.append(json.loads(process.stderr.readline()))
        process.send_signal(number)
        events += [json.loads(line) for line in process.stderr]
    return process.returncode, events


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]
)
def test_a_signal_saves_a_checkpoint_to_resume_from(
    number: signal.Signals, code: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command, log = words(tmp_path), tmp_path / "out.jsonl"
    found, events = stopped(command, number)
    assert found == code, events
    assert "Traceback" not in str(events)
    (checkpoint,) = (tmp_path / "out.checkpoints").iterdir()  # the recipe validates, and saves, much later
    step = int(checkpoint.stem.removeprefix("step-"))
    assert step >= max(event["step"] for event in events if event["event"] == "training")
    assert events[-1]["message"] == "a checkpoint was saved; the same command resumes from it"
    outcome = run_cli(capfd, *command, "--minutes", "0.01")
    assert outcome.code == 0, outcome.err
    assert f"resuming at step {step}" in outcome.err
    with safe_open(tmp_path / "out.safetensors", framework="pt") as file:
        assert file.metadata()["recipe"] == "tiny"
    assert json.loads(log.read_text().splitlines()[-1])["step"] >= step
