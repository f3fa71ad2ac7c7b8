"""A signal makes a process of `vsr train` save a checkpoint, from which the same command resumes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

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
validate_every = 500
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


def stopped(command: list[str], number: signal.Signals, log: Path) -> tuple[int, str]:
    """Start a command and send a signal shortly after the first validation; return exit code and stderr."""
    process = subprocess.Popen([sys.executable, "-m", "vsr", *command], stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not log.exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline, "no validation took place"
            time.sleep(0.05)
        time.sleep(3)  # until the page and the samples of the validation are written and steps go on
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    return process.returncode, err


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]
)
def test_a_signal_saves_a_checkpoint_to_resume_from(
    number: signal.Signals, code: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command, log = words(tmp_path), tmp_path / "out.jsonl"
    found, err = stopped(command, number, log)
    assert found == code, err
    assert "Traceback" not in err
    newest = max((tmp_path / "out.checkpoints").iterdir())
    step = int(newest.stem.removeprefix("step-"))
    measured = json.loads(log.read_text().splitlines()[-1])["step"]
    assert step > measured, "no checkpoint was saved after the last validation"
    outcome = run_cli(
        capfd, *command, "--minutes", "0.01"
    )  # this time has already passed, so the run validates and ends
    assert outcome.code == 0, outcome.err
    assert f"resuming at step {step}" in outcome.err
    with safe_open(tmp_path / "out.safetensors", framework="pt") as file:
        assert file.metadata()["recipe"] == "tiny"
    assert json.loads(log.read_text().splitlines()[-1])["step"] == step
