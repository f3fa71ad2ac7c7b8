"""`vsr upscale` with many files: each is finished once, and a broken one ends itself alone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.run_cli import run_cli
from tests.media_maker import make_clip, numbers_of, truncated
from vsr.pipeline.job import warm_generator
from vsr.pipeline.queue.record import NAME

Capture = pytest.CaptureFixture[str]
QUICK = ("--model", "bicubic", "--scale", "2", "--preset", "ultrafast", "--device", "cpu")


@pytest.fixture
def rips(tmp_path: Path) -> Path:
    folder = tmp_path / "rips"
    folder.mkdir()
    for number in range(3):
        make_clip(folder / f"{number}.mkv", frames=4 + number)
    return folder


def results(folder: Path) -> dict[str, int]:
    return {path.name: len(numbers_of(path)) for path in sorted(folder.glob("*.mkv"))}


def facts(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())}


def test_a_folder_becomes_a_folder_and_the_second_run_does_nothing(
    rips: Path, tmp_path: Path, capfd: Capture
) -> None:
    target = tmp_path / "new" / "out"
    done = run_cli(capfd, "upscale", rips, "--to", target, *QUICK)
    assert (done.code, done.out) == (0, "")
    assert results(target) == {"0-2x.mkv": 4, "1-2x.mkv": 5, "2-2x.mkv": 6}
    assert "3 of 3 files: 3 done" in done.err
    assert done.err.count("bicubic on cpu") == 1, "how all files are computed is said once"
    assert "[1/3] bicubic on cpu" in done.err
    assert "[3/3] " in done.err
    assert "2-2x.mkv: 128x96, 6 frames in " in done.err
    before = facts(target)
    again = run_cli(capfd, "upscale", rips, "--to", target, *QUICK)
    assert again.code == 0
    assert "3 of 3 files: 3 skipped" in again.err
    assert facts(target) == before


def test_a_broken_file_fails_alone_and_the_summary_names_it(
    rips: Path, tmp_path: Path, capfd: Capture
) -> None:
    (rips / "0.mkv").write_bytes(b"not a video" * 99)
    truncated(make_clip(tmp_path / "whole.mkv", frames=30), rips / "cut.mkv", 0.7)
    report = tmp_path / "report.jsonl"
    done = run_cli(capfd, "upscale", rips, "--to", tmp_path / "out", *QUICK, "--report", report)
    assert done.code == 3
    rows = [json.loads(line) for line in report.read_text().splitlines()]
    assert [(Path(row["source"]).name, row["status"], row["exit_code"]) for row in rows] == [
        ("0.mkv", "failed", 3),
        ("1.mkv", "done", 0),
        ("2.mkv", "done", 0),
        ("cut.mkv", "damaged", 10),
    ]
    assert rows[1]["report"]["frames_out"] == 5
    assert "4 of 4 files: 2 done, 1 damaged, 1 failed" in done.err
    assert f"{rips / '0.mkv'}\tfailed\t3\t" in done.out
    assert done.out.count(str(rips / "0.mkv")) == 1, "the reason does not repeat the name"
    again = run_cli(capfd, "upscale", rips, "--to", tmp_path / "out", *QUICK)
    assert again.code == 3, "what was wrong is said again"
    assert "4 of 4 files: 3 skipped, 1 failed" in again.err


def test_one_input_needs_no_output(rips: Path, capfd: Capture) -> None:
    done = run_cli(capfd, "upscale", rips / "1.mkv", *QUICK)
    assert done.code == 0
    assert len(numbers_of(rips / "1-2x.mkv")) == 5
    assert "1-2x.mkv: 5 frames" in done.err


def test_files_dropped_on_the_command_are_upscaled(rips: Path, capfd: Capture) -> None:
    assert run_cli(capfd, rips / "1.mkv", *QUICK).code == 0
    assert len(numbers_of(rips / "1-2x.mkv")) == 5


def test_inputs_may_come_from_a_list_on_standard_input(rips: Path, tmp_path: Path) -> None:
    names = "".join(f"{path}\n" for path in (rips / "2.mkv", rips / "0.mkv"))
    command = [
        sys.executable,
        "-m",
        "vsr",
        "upscale",
        "--files-from",
        "-",
        "--to",
        str(tmp_path / "out"),
        *QUICK,
    ]
    done = subprocess.run(command, input=names, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert results(tmp_path / "out") == {"0-2x.mkv": 4, "2-2x.mkv": 6}


def test_a_result_of_other_settings_or_of_somebody_else_is_not_replaced(
    rips: Path, tmp_path: Path, capfd: Capture
) -> None:
    target = tmp_path / "out"
    assert run_cli(capfd, "upscale", rips, "--to", target, *QUICK).code == 0
    (target / "2-2x.mkv").write_bytes(b"somebody's")
    before = facts(target)
    other = ("upscale", rips, "--to", target, *QUICK, "--crf", "30")
    done = run_cli(capfd, *other)
    assert done.code == 2
    assert (
        done.err.count("exists already, and is not a finished result of this input with these settings") == 3
    )
    assert "replace it with --overwrite, or choose another --name" in done.out, "the table has flags, too"
    assert facts(target) == before
    kept = run_cli(capfd, *other, "--skip-existing")
    assert "2 skipped, 1 failed" in kept.err, "a name alone does not make a result"
    assert facts(target) == before
    assert run_cli(capfd, *other, "-y").code == 0
    assert results(target) == {"0-2x.mkv": 4, "1-2x.mkv": 5, "2-2x.mkv": 6}


def test_an_input_that_changed_is_upscaled_again_only_with_overwrite(
    rips: Path, tmp_path: Path, capfd: Capture
) -> None:
    target = tmp_path / "out"
    assert run_cli(capfd, "upscale", rips, "--to", target, *QUICK).code == 0
    make_clip(rips / "0.mkv", frames=9)
    done = run_cli(capfd, "upscale", rips, "--to", target, *QUICK)
    assert "2 skipped, 1 failed" in done.err


def test_the_generator_is_loaded_once_for_all_files(
    rips: Path, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []
    load = warm_generator.load_generator
    monkeypatch.setattr(warm_generator, "load_generator", lambda *a, **k: loads.append(a) or load(*a, **k))
    assert run_cli(capfd, "upscale", rips, "--to", tmp_path / "out", *QUICK, "--model", "fast-x2").code == 0
    assert len(loads) == 1


def test_a_record_that_is_damaged_or_planted_destroys_nothing(
    rips: Path, tmp_path: Path, capfd: Capture
) -> None:
    target = tmp_path / "out"
    assert run_cli(capfd, "upscale", rips, "--to", target, *QUICK).code == 0
    record = target / NAME
    lines = record.read_text().splitlines()
    record.write_text("\n".join(["{", "[]", '{"name": 3}', *lines[:1]]))
    done = run_cli(capfd, "upscale", rips, "--to", target, *QUICK)
    assert "1 skipped, 2 failed" in done.err
    precious = tmp_path / "precious"
    precious.write_text("kept")
    record.unlink()
    record.symlink_to(precious)
    done = run_cli(capfd, "upscale", rips, "--to", target, *QUICK, "-y")
    assert done.code == 4
    assert "is not a regular file" in done.err
    assert precious.read_text() == "kept"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["a", "film.mkv"], "'{folder}/a film.mkv' does; put the name in quotes"),
        (["0.mkv", "1.mkv", "out.mkv"], "2 inputs cannot have one OUTPUT; name a folder"),
        (["0.mkv", "-", "2.mkv"], "- is a pipe; a pipe requires exactly one INPUT and one OUTPUT"),
    ],
)
def test_words_that_cannot_be_meant_are_told_with_what_to_do(
    rips: Path, capfd: Capture, words: list[str], line: str
) -> None:
    make_clip(rips / "a film.mkv", frames=2)
    given = [word if word == "-" or word == "film.mkv" else rips / word for word in words]
    done = run_cli(capfd, "upscale", *given, "--name", "{stem}-new", *QUICK)
    assert done.code == 2
    assert line.format(folder=rips) in done.line


@pytest.mark.parametrize("words", [("a", "film.mkv"), ("a", "film.mkv", "out.mkv")])
@pytest.mark.parametrize("command", [(), ("upscale",)])
def test_a_name_with_spaces_that_is_not_in_quotes_gets_a_hint(
    rips: Path,
    capfd: Capture,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    words: tuple[str, ...],
) -> None:
    make_clip(rips / "a film.mkv", frames=2)
    monkeypatch.chdir(rips)
    done = run_cli(capfd, *command, *words)
    assert done.code == 2
    assert "a: does not exist, but 'a film.mkv' does; put the name in quotes" in done.line


@pytest.mark.parametrize("name", ["none.mp4", "none.JPG"])
def test_a_file_that_is_missing_is_called_missing_and_no_command(
    tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run_cli(capfd, name)
    assert done.code == 3
    assert f"{name}: no such file" in done.line
    wrong = run_cli(capfd, "none")
    assert wrong.code == 2
    assert wrong.line == "vsr: error: No such command 'none'; see vsr --help"


FRAMES = (20, 600, 20)
"""Of three clips: the second takes seconds, so a signal after the first always comes while it is made."""


def test_a_queue_that_is_interrupted_continues_where_it_was(tmp_path: Path) -> None:
    rips, target = tmp_path / "rips", tmp_path / "out"
    rips.mkdir()
    for number in range(3):
        make_clip(rips / f"{number}.mkv", frames=FRAMES[number])
    command = [sys.executable, "-m", "vsr", "upscale", str(rips), "--to", str(target), *QUICK]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 120
        while not (target / "0-2x.mkv").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        _, text = running.communicate(timeout=120)
    assert running.returncode == 128 + signal.SIGINT
    assert "the same command continues" in text
    first = (target / "0-2x.mkv").stat().st_ino
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert results(target) == dict(zip(("0-2x.mkv", "1-2x.mkv", "2-2x.mkv"), FRAMES, strict=True))
    assert (target / "0-2x.mkv").stat().st_ino == first
