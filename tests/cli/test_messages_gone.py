"""The reader of a run's messages may disappear without ending the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.oracle import pictures_in
from tests.media_maker import make_clip


def upscale(folder: Path, stderr: int) -> subprocess.Popen[bytes]:
    words = ["upscale", "in.mkv", "out.mkv", "-m", "bicubic"]
    make_clip(folder / "in.mkv", frames=6)
    return subprocess.Popen([sys.executable, "-m", "vsr", *words], cwd=folder, stderr=stderr, close_fds=True)


def test_a_closed_pipe_for_messages_does_not_end_the_run(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = upscale(tmp_path, writer)
    os.close(writer)
    assert process.wait(60) == 0
    assert pictures_in(tmp_path / "out.mkv") == 6


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no /dev/full")
def test_a_log_on_a_full_disk_does_not_end_the_run(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        assert upscale(tmp_path, full.fileno()).wait(60) == 0
    assert pictures_in(tmp_path / "out.mkv") == 6


def test_a_closed_terminal_does_not_end_the_run(tmp_path: Path) -> None:
    """The hang-up signal of the terminal is excluded, as `nohup` and `setsid` do."""
    ours, theirs = os.openpty()
    process = upscale(tmp_path, theirs)
    os.close(theirs)
    assert os.read(ours, 1)  # the run has started
    os.close(ours)
    assert process.wait(60) == 0
    assert pictures_in(tmp_path / "out.mkv") == 6
