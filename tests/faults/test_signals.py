"""A signal at any step of a run's finish either stops the run without a result, or comes too late.

It is sent by the process itself at a step that is counted, so nothing depends on the speed of a machine.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import attacks
from tests.faults.oracle import pictures_in, remains
from tests.faults.processes.fork_server import ForkServer, Outcome

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ONE = ("upscale", "in.mp4", "out.mkv", *attacks.UPSCALE, "--report", "report.json")
QUEUE = ("upscale", "in.mp4", "two.mp4", "--to", "out", *attacks.UPSCALE, "--report", "report.json")
PICTURES = ("upscale", "in.mp4", "out/%03d.png", *attacks.UPSCALE)
FRAMES = 6
EARLY = [("_put_in_place", 0), ("check_written", 5), ("put_in_place", 0)]
"""Functions that run before the result gets its name, with steps after their beginning."""
LATE = [("move_new", 0), ("rename_new", 0), *(("rename_new", n) for n in (2, 5, 9, 14, 20))]
LATE += [("leave", 10), ("_after", 2), ("write_beside", 4), ("_flushed", 0)]
"""Those that run after the last moment at which the run can be stopped."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return attacks.two_films(tmp_path, FRAMES)


def clear(folder: Path) -> None:
    attacks.clear_all_but(folder, "in.mp4", "two.mp4")


def struck(
    server: ForkServer,
    folder: Path,
    words: tuple[str, ...],
    function: str,
    call: int,
    after: int,
    number: int,
) -> Outcome:
    """Run a command that sends itself a signal, in an empty folder."""
    clear(folder)
    outcome = server.run(words, folder=folder, signal_at=(function, call, after, number), seconds=120)
    assert outcome.wrong is None, (function, after, outcome)
    return outcome


def test_a_signal_before_the_result_has_its_name_leaves_no_result(server: ForkServer, folder: Path) -> None:
    for (function, after), number in zip(EARLY, NUMBERS, strict=True):
        outcome = struck(server, folder, ONE, function, 1, after, number)
        assert outcome.code == 128 + number, function
        assert "6 finished frames are kept; the same command resumes from there" in outcome.err
        left = remains(folder, "in.mp4", "two.mp4")
        assert [name for name in left if not name.endswith(".vsr")] == [], function


def test_a_signal_after_the_result_has_its_name_comes_too_late(server: ForkServer, folder: Path) -> None:
    for count, (function, after) in enumerate(LATE):
        outcome = struck(server, folder, ONE, function, 1, after, NUMBERS[count % len(NUMBERS)])
        assert outcome.code == 0, (function, after, outcome)
        assert "out.mkv: 6 frames in" in outcome.err
        assert remains(folder, "in.mp4", "two.mp4") == ["out.mkv", "report.json"]
        assert json.loads((folder / "report.json").read_text())["target_file"]["sha256"]


def test_a_queue_stops_after_a_file_that_is_finished_and_counts_it(server: ForkServer, folder: Path) -> None:
    outcome = struck(server, folder, QUEUE, "rename_new", 1, 5, signal.SIGTERM)
    assert outcome.code == 143
    assert "1 of 2 files: 1 done; the same command continues" in outcome.err
    assert remains(folder / "out", ".vsr-finished.jsonl") == ["in-2x.mp4"]
    assert len((folder / "report.json").read_text().splitlines()) == 1
    again = server.run(QUEUE, folder=folder, seconds=120)
    assert again.code == 0, again
    assert "in.mp4: already finished" in again.err


def test_a_signal_after_the_last_file_of_a_queue_stops_nothing(server: ForkServer, folder: Path) -> None:
    outcome = struck(server, folder, QUEUE, "rename_new", 2, 5, signal.SIGINT)
    assert outcome.code == 0, outcome
    assert len((folder / "report.json").read_text().splitlines()) == 2


def test_numbered_pictures_get_their_names_all_or_none(server: ForkServer, folder: Path) -> None:
    for function in ("_after", "_pictures"):  # the hidden video is complete, the pictures are not
        outcome = struck(server, folder, PICTURES, function, 1, 10, signal.SIGINT)
        assert (outcome.code, remains(folder / "out")) == (130, []), function
    outcome = struck(server, folder, PICTURES, "rename_new", 2, 5, signal.SIGINT)
    assert outcome.code == 0
    assert len(remains(folder / "out")) == FRAMES


def test_the_next_run_removes_what_a_killed_run_without_resume_has_left(
    server: ForkServer, folder: Path
) -> None:
    """A second signal ends the process as SIGKILL does: it can remove nothing itself."""
    words = (*ONE, "--no-resume")
    killed = server.run(words, folder=folder, signal_at=("_put_in_place", 1, 0, signal.SIGKILL), seconds=120)
    assert killed.signal == signal.SIGKILL
    (left,) = remains(folder, "in.mp4", "two.mp4")
    assert left.endswith(".vsr")
    again = server.run(words, folder=folder, seconds=120)
    assert again.code == 0, again
    assert remains(folder, "in.mp4", "two.mp4") == ["out.mkv", "report.json"]


def test_a_run_without_resume_keeps_the_finished_parts_of_another(server: ForkServer, folder: Path) -> None:
    struck(server, folder, ONE, "_put_in_place", 1, 0, signal.SIGINT)
    (kept,) = remains(folder, "in.mp4", "two.mp4")
    parts = remains(folder / kept)
    done = server.run((*ONE, "--no-resume"), folder=folder, seconds=120)
    assert done.code == 0, done
    assert remains(folder / kept) == parts


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_signal_while_python_shuts_down_does_not_make_a_finished_run_a_failed_one(
    moment: str, folder: Path
) -> None:
    """Functions for the shutdown run in reverse order, so one of them runs before and one after vsr's own."""
    program = f"""
import atexit, os, signal, sys
def strike():
    os.kill(os.getpid(), signal.SIGINT)
if {moment == "after"}:
    atexit.register(strike)
from vsr.__main__ import main
sys.argv = {["vsr", *ONE]!r}
try:
    main()
finally:
    if {moment == "before"}:
        atexit.register(strike)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert pictures_in(folder / "out.mkv") == FRAMES
