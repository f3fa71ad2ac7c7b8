"""`--progress json`: every line on standard error is an object of the schema; the last says the result."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.cli.run_cli import run_cli
from tests.media_maker import make_clip, numbers_of, truncated
from tests.schemas import schema, validate
from tests.training.photographs import write_photographs, write_recipe
from vsr.cli import console
from vsr.cli.interruption import guard, watchdog
from vsr.cli.records import events

Capture = pytest.CaptureFixture[str]
QUICK = ("--model", "bicubic", "--scale", "2", "--preset", "ultrafast", "--device", "cpu")


def objects(text: str) -> list[dict[str, Any]]:
    """Parse every line and check it with the schema of its event."""
    found = [json.loads(line) for line in text.splitlines()]
    rules = schema("progress-1")["$defs"]
    for row in found:
        validate(row, "progress-1")
        assert row.keys() <= rules[row["event"]]["properties"].keys(), row
    assert found[0]["event"] == "start"
    assert [row["event"] for row in found].count("end") == 1
    assert found[-1]["event"] == "end"
    return found


def kinds(rows: list[dict[str, Any]]) -> set[str]:
    return {row["event"] for row in rows}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mkv", frames=6)


def test_a_run_is_objects_from_start_to_end_with_the_report(
    clip: Path, tmp_path: Path, capfd: Capture
) -> None:
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.mkv", *QUICK, "--progress", "json")
    assert (done.code, done.out) == (0, "")
    rows = objects(done.err)
    assert kinds(rows) >= {"start", "plan", "progress", "warning", "message", "finishing", "end"}
    *_, last = [row for row in rows if row["event"] == "progress"]
    assert (last["frames"], last["frames_total"], last["seconds_left"]) == (6, 6, 0)
    end = rows[-1]
    assert (end["status"], end["exit_code"], end["files"]) == ("done", 0, None)
    validate(end["report"], "report-1")
    assert end["report"]["frames_out"] == 6
    assert (rows[0]["version"], rows[0]["command"][1]) == (events.VERSION, "upscale")
    assert next(row for row in rows if row["event"] == "plan")["report"]["status"] == "unfinished"


def test_a_queue_has_an_object_for_each_file_and_counts_at_the_end(tmp_path: Path, capfd: Capture) -> None:
    rips = tmp_path / "rips"
    rips.mkdir()
    make_clip(rips / "0.mkv", frames=3)
    (rips / "1.mkv").write_bytes(b"not a video" * 99)
    truncated(make_clip(tmp_path / "whole.mkv", frames=30), rips / "cut.mkv", 0.7)
    done = run_cli(capfd, "upscale", rips, "--to", tmp_path / "out", *QUICK, "--progress=json")
    assert (done.code, done.out) == (3, "")
    rows = objects(done.err)
    files = [(row["number"], row["count"], row["status"]) for row in rows if row["event"] == "file"]
    assert files == [(1, 3, "done"), (2, 3, "failed"), (3, 3, "damaged")]
    assert rows[-1]["files"] == {
        "count": 3,
        "done": 1,
        "damaged": 1,
        "failed": 1,
        "skipped": 0,
        "not tried": 0,
    }
    assert rows[-1]["exit_code"] == 3


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("none.mkv", "out.mkv"), 3),
        (("in.mkv", "out.avi"), 2),
        (("in.mkv", "out.mkv", "--nonsense"), 2),
        (("in.mkv", "out.mkv", "--model", "none.pth"), 5),
        (("in.mkv", "none/out.mkv"), 4),
        ((), 2),
    ],
)
def test_every_error_is_an_object_and_the_end_names_it(
    clip: Path, words: tuple[str, ...], code: int, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clip.parent)
    done = run_cli(capfd, "upscale", *words, "--progress", "json")
    rows = objects(done.err)
    (error,) = [row["text"] for row in rows if row["event"] == "error"]
    assert (rows[-1]["status"], rows[-1]["exit_code"], rows[-1]["report"]) == ("failed", code, None)
    assert rows[-1]["message"] == error


def test_a_report_on_standard_output_is_not_mixed_with_progress(
    clip: Path, tmp_path: Path, capfd: Capture
) -> None:
    words = ("upscale", clip, tmp_path / "out.mkv", *QUICK, "--progress", "json", "--report", "-", "-q")
    done = run_cli(capfd, *words)
    validate(json.loads(done.out), "report-1")
    assert kinds(objects(done.err)) == {"start", "plan", "finishing", "end"}, (
        "with --quiet, no more than needed"
    )


def test_a_damaged_input_says_so_at_the_end(tmp_path: Path, capfd: Capture) -> None:
    cut = truncated(make_clip(tmp_path / "whole.mkv", frames=60, gop=10), tmp_path / "cut.mkv", 0.6)
    done = run_cli(capfd, "upscale", cut, tmp_path / "out.mkv", *QUICK, "--progress", "json")
    assert (done.code, objects(done.err)[-1]["status"]) == (10, "damaged")


def test_a_training_tells_its_steps_and_its_figures(tmp_path: Path, capfd: Capture) -> None:
    recipe, data = write_recipe(tmp_path), write_photographs(tmp_path / "photographs", 4, side=72)
    words = ("train", recipe, "--data", data, "-o", tmp_path / "out.safetensors", "--device", "cpu")
    done = run_cli(capfd, *words, "--steps", "3", "--progress", "json")
    assert (done.code, done.out) == (0, ""), done.err
    rows = objects(done.err)
    steps = [row for row in rows if row["event"] == "training"]
    assert steps
    assert steps[0]["step"] == 1
    assert Path(rows[-1]["report"]["output"]) == tmp_path / "out.safetensors"
    assert "gain" in rows[-1]["report"]["figures"]


# Everything that could print text


def test_warnings_and_failures_in_other_threads_are_objects(capfd: Capture) -> None:
    with events.installed(["upscale"], "0"):
        warnings.simplefilter("default")  # the tests turn warnings into errors
        warnings.warn("careful\x1b[2J", UserWarning, stacklevel=1)
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
        console.out("a result")
        events.end(0)
    rows = objects(capfd.readouterr().err)
    assert [row["event"] for row in rows] == ["start", "warning", "log", "output", "end"]
    assert rows[1]["text"] == "careful\x1b[2J"
    assert "ZeroDivisionError" in rows[2]["text"]


def test_stacks_of_a_run_that_hangs_are_an_object(capfd: Capture) -> None:
    ended = threading.Event()
    with events.installed([], "0"), watchdog.watchdog(1e-9, tick=0.01, end=lambda _: ended.set()):
        assert ended.wait(60)
    rows = objects(capfd.readouterr().err)
    (log,) = [row for row in rows if row["event"] == "log"]
    assert "thread" in log["text"].lower()
    assert rows[-1]["status"] == "failed"


def test_a_process_that_has_to_end_at_once_says_so_in_an_object(capfd: Capture) -> None:
    with events.installed([], "0"):
        os.write(2, guard.last_words())
    (last,) = [row for row in objects(capfd.readouterr().err) if row["event"] == "end"]
    assert (last["status"], last["exit_code"]) == ("stopped", None)
    assert guard.last_words().startswith(b"vsr: "), "text again, once it is off"


def test_numbers_that_json_lacks_are_null_and_stray_bytes_are_escaped() -> None:
    row = json.loads(events.as_line({"a": float("nan"), "b": float("inf"), "c": "\udcff\n", "d": [1e-9]}))
    assert row == {"a": None, "b": None, "c": "\\udcff\n", "d": [1e-9]}


@pytest.mark.parametrize(
    ("words", "is_asked"),
    [
        (["upscale", "--progress", "json"], True),
        (["upscale", "--progress=json"], True),
        (["upscale", "--progress", "plain"], False),
        (["upscale", "--", "--progress", "json"], False),
        (["upscale", "json"], False),
    ],
)
def test_the_words_of_the_command_line_say_whether_objects_are_asked_for(
    words: list[str], is_asked: bool
) -> None:
    assert events.asked_for(words) == is_asked


def test_no_object_holds_the_credentials_of_a_url(capfd: Capture) -> None:
    done = run_cli(
        capfd, "upscale", "s3://bucket/in.mkv?X-Amz-Signature=secret", "o.mkv", "--progress", "json"
    )
    assert objects(done.err)[0]["command"][2] == "s3://bucket/in.mkv"
    assert "secret" not in done.err


# Other kinds


def test_progress_may_be_plain_or_none_and_nothing_else(clip: Path, tmp_path: Path, capfd: Capture) -> None:
    for kind in ("auto", "plain", "none"):
        done = run_cli(capfd, "upscale", clip, tmp_path / "out.mkv", *QUICK, "-y", "--progress", kind)
        assert done.code == 0
        assert "6 frames in" in done.err
    wrong = run_cli(capfd, "upscale", clip, tmp_path / "out.mkv", *QUICK, "-y", "--progress", "loud")
    assert wrong.code == 2
    assert "auto, plain, none, json" in wrong.line


# Readers and signals


def test_a_reader_that_goes_away_does_not_end_the_film(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=60)
    words = [sys.executable, "-m", "vsr", "upscale", str(clip), str(tmp_path / "out.mkv"), *QUICK]
    with subprocess.Popen([*words, "--progress", "json"], stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert json.loads(process.stderr.readline())["event"] == "start"
        process.stderr.close()
        assert process.wait(300) == 0
    assert numbers_of(tmp_path / "out.mkv") == list(range(60))


def test_a_signal_ends_in_an_object_that_says_what_is_kept(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=1500, width=160, height=120)
    words = [sys.executable, "-m", "vsr", "upscale", str(clip), str(tmp_path / "out.mkv"), *QUICK]
    words += ["--scale", "6", "--segment", "0.4", "--progress", "json"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = ""
        while '"progress"' not in first:
            first = process.stderr.readline()
            assert first, "the run ended before its first frame"
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=300)
    assert process.returncode == 143
    last = json.loads(rest.splitlines()[-1])
    assert (last["event"], last["status"]) == ("end", "stopped")
    assert last["exit_code"] in (143, None)
