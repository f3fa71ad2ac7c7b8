"""An archivist upscales forty clips overnight: one is broken, and the run is interrupted twice."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.run_cli import Outcome, run_cli
from tests.media_maker import make_clip, numbers_of

QUICK = ("--model", "bicubic", "--preset", "ultrafast", "--device", "cpu", "--segment", "1")
CLIPS, BROKEN, LONG = 40, 17, (9, 29)
"""Number of clips, of the broken one, and of two that take seconds, in whose middle signals come."""


def frames_of(number: int) -> int:
    return 600 if number in LONG else 3 + number % 5


@pytest.fixture
def rips(tmp_path: Path) -> Path:
    folder = tmp_path / "rips"
    folder.mkdir()
    for number in range(CLIPS):
        make_clip(folder / f"disc {number}.mkv", frames=frames_of(number), width=48, height=32)
    broken = folder / f"disc {BROKEN}.mkv"
    broken.write_bytes(bytes(300) + broken.read_bytes()[300:])
    return folder


def results(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what changes if a result is written again."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("*.mkv")}


def is_in_the_middle_of_a_long_clip(folder: Path) -> bool:
    try:
        return len(list(folder.glob(".*.vsr/*.segment"))) > 1  # the short clips have one each
    except FileNotFoundError:  # the work folder of a clip that is finished while it is read
        return False


def stopped_when(due: Callable[[], bool], command: list[str]) -> str:
    """Run a command, send Ctrl-C when something is due, and return its messages."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 120
        while not due() and time.monotonic() < deadline and running.poll() is None:
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        _, text = running.communicate(timeout=120)
    assert running.returncode == 128 + signal.SIGINT, text
    return text


def lines_of(done: Outcome) -> list[str]:
    return done.err.splitlines()


def rows(report: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in report.read_text().splitlines()]


def test_forty_clips_one_of_them_broken_are_finished_after_two_interruptions(
    rips: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    target, report = tmp_path / "upscaled", tmp_path / "night.jsonl"
    words = ("upscale", str(rips), "--to", str(target), *QUICK, "--report", str(report))
    command = [sys.executable, "-m", "vsr", *words]

    def is_due() -> bool:
        return is_in_the_middle_of_a_long_clip(target)

    first = stopped_when(is_due, command)
    assert "the same command continues" in first
    after_first = results(target)
    assert len(after_first) == LONG[0]

    def is_due_again() -> bool:
        return len(results(target)) > LONG[0] + 1 and is_due()  # so the first long one's folder is gone

    second = stopped_when(is_due_again, command)
    assert "the same command continues; " in second
    assert "finished frames of the next file are kept" in second
    assert f"error: [{BROKEN + 1}/{CLIPS}]" in second
    after_second = results(target)
    assert len(after_second) == LONG[1] - 1, "all before the long one, without the broken one"

    third = run_cli(capfd, *words)
    assert third.code == 3, "the exit code of the file that failed"
    kept = re.search(r"resuming after (\d+) frames", third.err)
    assert kept is not None
    assert int(kept[1]) >= 25
    for number in set(range(CLIPS)) - {BROKEN}:
        assert numbers_of(target / f"disc {number}-2x.mkv") == [n % 256 for n in range(frames_of(number))]
    finished = results(target)
    assert len(finished) == CLIPS - 1
    assert finished.items() >= after_first.items() | after_second.items(), "nothing was made twice"
    last = re.fullmatch(r"vsr: 40 of 40 files: (\d+) done, (\d+) skipped, 1 failed", lines_of(third)[-1])
    assert last is not None
    left = CLIPS - LONG[1]
    assert int(last[1]) in (left, left + 1), "one may have been finished and not yet logged"
    assert int(last[1]) + int(last[2]) == CLIPS - 1
    assert f"disc {BROKEN}.mkv\tfailed\t3\t" in third.out

    log = rows(report)
    made = {Path(row["source"]).name: row["report"]["frames_out"] for row in log if row["status"] == "done"}
    assert made == {f"disc {number}.mkv": frames_of(number) for number in range(CLIPS) if number != BROKEN}
    assert {row["exit_code"] for row in log if Path(row["source"]).name == f"disc {BROKEN}.mkv"} == {3}
    assert {row["status"] for row in log} == {"done", "skipped", "failed"}

    again = run_cli(capfd, *words)
    assert again.code == 3
    assert lines_of(again)[-1] == f"vsr: 40 of 40 files: {CLIPS - 1} skipped, 1 failed"
    assert results(target) == finished
    assert not any(target.glob(".*.vsr")), "no unfinished work is left"
