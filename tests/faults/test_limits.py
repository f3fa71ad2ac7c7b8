"""Tiny frames, unusual metadata, few descriptors, no home: a run ends with one line or a complete file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.oracle import pictures_in
from tests.faults.processes.fork_server import ForkServer
from tests.media_maker import Audio, make_clip
from vsr.media.files.opening import open_media


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (2, 64), (64, 2)], ids=str)
def test_a26_the_smallest_frames_are_upscaled(
    size: tuple[int, int], server: ForkServer, tmp_path: Path
) -> None:
    width, height = size
    make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="yuv444p", width=width, height=height, frames=3)
    for target in ("out.mkv", "out.mp4"):
        for model in ("bicubic", "fast-x2"):
            outcome = server.run(["upscale", "in.mkv", target, "-m", model, "-y"], folder=tmp_path)
            assert outcome.code == 0, outcome
            assert pictures_in(tmp_path / target) == 3


def test_a38_metadata_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=2, metadata={"title": "ABCDEFGH"})
    data = clip.read_bytes()
    assert data.count(b"ABCDEFGH") >= 1
    clip.write_bytes(data.replace(b"ABCDEFGH", b"\xff\xfe\xc3(\xa0\xa1\x80\x1b"))
    with open_media(clip) as media:
        assert "ABCDEFGH" not in media.metadata["title"]


def test_c17_with_few_descriptors_a_run_ends_with_one_line_or_succeeds(
    server: ForkServer, tmp_path: Path
) -> None:
    make_clip(tmp_path / "in.mp4", frames=6, audio=[Audio()])
    codes = set()
    for files in range(4, 20, 2):
        outcome = server.run(["upscale", "in.mp4", "out.mkv", "-m", "bicubic"], folder=tmp_path, files=files)
        assert outcome.wrong is None, (files, outcome)
        assert (tmp_path / "out.mkv").exists() == (outcome.code == 0)
        codes.add(outcome.code)
        if outcome.code:
            assert "oo many" in outcome.lines[0], outcome
        else:
            (tmp_path / "out.mkv").unlink()
    assert 0 in codes
    assert len(codes) > 1


def test_b18_without_a_home_or_any_environment_a_run_succeeds(tmp_path: Path) -> None:
    make_clip(tmp_path / "in.mp4", frames=2)
    words = [sys.executable, "-m", "vsr", "upscale", "in.mp4", "out.mp4", "-m", "fast-x2"]
    done = subprocess.run(words, cwd=tmp_path, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert pictures_in(tmp_path / "out.mp4") == 2
