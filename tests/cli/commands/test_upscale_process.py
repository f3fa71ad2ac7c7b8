"""The process of `vsr upscale`: signals, full disks, closed streams, and what it imports."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.media_maker import make_clip, numbers_of

Capture = pytest.CaptureFixture[str]
QUICK = ("--model", "bicubic", "--scale", "2", "--preset", "ultrafast", "--device", "cpu")
COMMAND = (sys.executable, "-m", "vsr")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mkv", frames=6)


def test_a_full_disk_is_exit_4_and_leaves_no_file(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=30, width=128, height=96)

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = subprocess.run(
        [*COMMAND, "upscale", str(clip), str(tmp_path / "out.mkv"), *QUICK, "--crf", "1"],
        capture_output=True,
        text=True,
        preexec_fn=small_files,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "vsr: error:" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mkv"]


@pytest.mark.parametrize(
    ("number", "code", "resume"),
    [
        (signal.SIGINT, 130, True),
        (signal.SIGTERM, 143, False),
        pytest.param(signal.SIGINT, 130, False, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 143, True, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_the_run_within_10_s_without_incomplete_files(
    resume: bool, number: signal.Signals, code: int, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=2000, width=160, height=120)
    words = [*COMMAND, "upscale", str(clip), str(tmp_path / "out.mkv"), *QUICK, "--scale", "6"]
    words += ["--segment", "0.4"] if resume else ["--no-resume"]
    begun = ".*.vsr/*1.segment" if resume else ".*.vsr/result.tmp"
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not any(p.stat().st_size > 20000 for p in tmp_path.glob(begun)):
            assert time.monotonic() < deadline, "the run did not start to write"
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate(
            timeout=10
        )  # the documented limit; the grace period in the code is shorter
    finally:
        process.kill()
        process.wait()
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert ("frames are kept; the same command resumes" in err) == resume
    assert sorted(p.name for p in tmp_path.iterdir() if not (resume and p.name.endswith(".vsr"))) == [
        "in.mkv"
    ]
    assert [p.suffix for p in tmp_path.glob(".*.vsr/*.part")] == []


@pytest.mark.parametrize("words", [["--help"], ["upscale", "--help"], ["info", "{clip}"], ["--version"]])
def test_commands_without_a_network_do_not_import_torch(words: list[str], clip: Path) -> None:
    """Importing torch takes seconds; without it these commands answer in well under half a second."""
    program = """
import sys
from vsr.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code
heavy = {"torch", "kornia", "vsr.pipeline.run"} & set(sys.modules)
assert not heavy, heavy
"""
    arguments = [w.format(clip=clip) for w in words]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_reader_that_closes_the_pipe_is_exit_141_without_a_message(clip: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, "info", str(clip)], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert done.returncode == 141, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("closed", [(2,), (0, 1, 2)])
def test_closed_standard_streams_do_no_harm(closed: tuple[int, ...], clip: Path, tmp_path: Path) -> None:
    def close() -> None:
        for number in closed:
            os.close(number)

    words = [*COMMAND, "upscale", str(clip), str(tmp_path / "out.mkv"), *QUICK]
    done = subprocess.run(words, preexec_fn=close, check=False)
    assert done.returncode == 0
    assert numbers_of(tmp_path / "out.mkv") == list(range(6))
