"""`vsr train --workers 2`, and the same under torchrun: one output, one line for a failure, resumable."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.cli.commands.test_train_stopped import words
from tests.cli.run_cli import run_cli

TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the started process in /proc")


def started(command: list[str]) -> subprocess.Popen[str]:
    """Start `vsr` in a process group of its own, as a shell does."""
    return subprocess.Popen(
        [sys.executable, "-m", "vsr", *command], stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for_validation(process: subprocess.Popen[str], log: Path) -> None:
    deadline = time.monotonic() + 120
    while not log.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "no validation took place"
        time.sleep(0.05)


def helper_of(process: subprocess.Popen[str]) -> int:
    """Return the process that `vsr` has started to train with."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return next(int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes())


@pytest.mark.slow
def test_ctrl_c_saves_a_checkpoint_and_the_same_command_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command, log = [*words(tmp_path), "--workers", "2", "--validate-every", "40"], tmp_path / "out.jsonl"
    process = started(command)
    try:
        wait_for_validation(process, log)
        helper = helper_of(process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("vsr: stopped by SIGINT; a checkpoint was saved")
    assert not Path(f"/proc/{helper}").exists()
    newest = max((tmp_path / "out.checkpoints").iterdir())
    step = int(newest.stem.removeprefix("step-"))
    outcome = run_cli(capfd, *command, "--minutes", "0.01")
    assert outcome.code == 0, outcome.err
    assert outcome.err.count(f"resuming at step {step}") == 1
    assert "written by a run of" not in outcome.err
    assert load_file(tmp_path / "out.safetensors")


def test_a_killed_worker_ends_the_run_with_one_line_and_the_checkpoint_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command, log = [*words(tmp_path), "--workers", "2", "--validate-every", "40"], tmp_path / "out.jsonl"
    process = started(command)
    try:
        wait_for_validation(process, log)
        os.kill(helper_of(process), signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1, err
    ours = [line for line in err.splitlines() if "worker process" in line]
    assert ours == [
        "vsr: error: worker process 1 was ended by SIGKILL. The same command resumes from the last checkpoint"
    ], err
    assert err.splitlines()[-1] == ours[0]
    outcome = run_cli(capfd, *command, "--minutes", "0.01")
    assert outcome.code == 0, outcome.err
    assert "resuming at step " in outcome.err


@pytest.mark.slow
def test_torchrun_starts_the_processes_and_only_the_first_one_prints(tmp_path: Path) -> None:
    command = [*words(tmp_path), "--steps", "4", "--validate-every", "2"]
    run = subprocess.run(
        [sys.executable, "-m", *TORCHRUN, "-m", "vsr", *command],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) == 1
    assert run.stdout.startswith(f"{tmp_path / 'out.safetensors'}: over bicubic")
    rows = [json.loads(line)["step"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert rows == [2, 4]
    assert run.stderr.count("vsr: computing in fp32 on cpu") == 1


def test_what_cannot_be_shared_out_is_said_before_any_process_starts(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = words(tmp_path)
    outcome = run_cli(capfd, *command, "--workers", "3")
    assert outcome.code == 2
    assert outcome.line.endswith("3 processes cannot share out batch = 2 evenly. Possible numbers are 1, 2")
    for name, value in (
        ("RANK", "0"),
        ("WORLD_SIZE", "2"),
        ("MASTER_ADDR", "localhost"),
        ("MASTER_PORT", "1"),
    ):
        monkeypatch.setenv(name, value)
    outcome = run_cli(capfd, *command, "--workers", "4")
    assert outcome.line.endswith("--workers 4 differs from the 2 processes that were launched. Leave it out")
    clip = str(tmp_path / "photographs")
    outcome = run_cli(capfd, "finetune", clip, "--from", "fast-x2", "-o", str(tmp_path / "own.safetensors"))
    assert outcome.code == 2
    assert "fine-tuning runs in one process" in outcome.line
