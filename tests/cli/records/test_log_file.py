"""`--log-file` and `-v`: everything that is said and decided, with times; a log destroys no other file."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from tests.cli.run_cli import run_cli
from tests.media_maker import make_clip
from vsr.cli.records import log_file

Capture = pytest.CaptureFixture[str]
QUICK = ("--model", "bicubic", "--scale", "2", "--preset", "ultrafast", "--device", "cpu")
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d (debug|info|warning|error) vsr\S*: .*")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mkv", frames=3)


def test_a_log_file_holds_messages_and_decisions_with_times_and_goes_on(
    clip: Path, tmp_path: Path, capfd: Capture
) -> None:
    log = tmp_path / "run.log"
    done = run_cli(capfd, "--log-file", log, "upscale", clip, tmp_path / "out.mkv", *QUICK)
    assert done.code == 0
    first = log.read_text(encoding="utf-8").splitlines()
    assert all(LINE.fullmatch(line) for line in first), first
    text = "\n".join(first)
    for said in (
        "3 frames in",
        "colour is not fully tagged",
        "vsr.pipeline.preparation: encoder: ",
    ):
        assert text.count(said) >= 1, said
    assert "vsr.pipeline" not in done.err, "the terminal shows no more than before"
    failed = run_cli(capfd, "upscale", tmp_path / "none.mkv", tmp_path / "new.mkv", "-q", "--log-file", log)
    assert failed.code == 3
    last = log.read_text(encoding="utf-8").splitlines()
    assert last[: len(first)] == first
    assert " error vsr: " in last[-1]
    assert "none.mkv" in last[-1]


def test_every_message_is_in_the_log_once(clip: Path, tmp_path: Path, capfd: Capture) -> None:
    log = tmp_path / "run.log"
    run_cli(capfd, "upscale", clip, tmp_path / "out.mkv", *QUICK, "-v", f"--log-file={log}")
    lines = [line.split(": ", 1)[1] for line in log.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize("at", ["before", "after"])
def test_verbose_shows_what_was_decided(clip: Path, tmp_path: Path, capfd: Capture, at: str) -> None:
    words: list[object] = ["upscale", clip, tmp_path / "out.mkv", *QUICK]
    done = run_cli(capfd, *(["-v", *words] if at == "before" else [*words, "--verbose"]))
    assert done.code == 0
    assert "engine: {" in done.err
    assert "stream 0, video h264: upscaled" in done.err


@pytest.mark.parametrize("name", ["in.mkv", "notes.txt", ".", "none/run.log"])
def test_a_log_destroys_no_other_file(clip: Path, tmp_path: Path, capfd: Capture, name: str) -> None:
    (tmp_path / "notes.txt").write_text("mine\n")
    before = clip.read_bytes()
    done = run_cli(capfd, "--log-file", tmp_path / name, "upscale", clip, tmp_path / "out.mkv", *QUICK)
    assert done.code in (2, 4)
    assert "--log-file" in done.line
    assert (clip.read_bytes(), (tmp_path / "notes.txt").read_text()) == (before, "mine\n")
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no /dev/full")
def test_a_full_disk_of_the_log_is_said_once_and_ends_no_run(
    clip: Path, tmp_path: Path, capfd: Capture
) -> None:
    done = run_cli(capfd, "--log-file", "/dev/full", "upscale", clip, tmp_path / "out.mkv", *QUICK)
    assert done.code == 0
    assert done.err.count("cannot be written any more") == 1


def test_control_characters_are_escaped(tmp_path: Path) -> None:
    with log_file.log_file(tmp_path / "a.log"):
        from vsr.cli import console

        console.configure()
        logging.getLogger("vsr.any").warning("evil\x1b[2J\nnew")
    (line,) = (tmp_path / "a.log").read_text(encoding="utf-8").splitlines()
    assert line.endswith("evil\\x1b[2J\\nnew")
