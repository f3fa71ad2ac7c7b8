"""The command line with what only Linux has taken away; .github/workflows/laptops.yml runs a real macOS."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.media_maker import Audio, make_clip, numbers_of
from vsr.pipeline.queue.record import NAME

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.skipif(sys.platform != "linux", reason="the stand-ins are made of Linux's own functions")
def test_a_video_is_upscaled_and_nothing_is_left_behind(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=8, audio=[Audio()])
    flags = ("--model", "fast-x2", "--device", "auto", "--segment", "0.2", "--preset", "ultrafast")
    words = ("upscale", str(clip), str(tmp_path / "out.mkv"), *flags)
    command = [sys.executable, "-m", "tests.system.as_macos", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert numbers_of(tmp_path / "out.mkv") == list(range(8))
    assert {path.name for path in tmp_path.iterdir()} == {"in.mkv", "out.mkv", NAME}, (
        "and the record of results"
    )
