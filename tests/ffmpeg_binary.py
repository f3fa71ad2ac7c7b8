"""The real `ffmpeg`, where there is one: on the PATH, or in the package imageio-ffmpeg."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

import pytest


def ffmpeg() -> str:
    """Its path; skips the test where there is none."""
    found = shutil.which("ffmpeg")
    if found is None and find_spec("imageio_ffmpeg") is not None:
        import imageio_ffmpeg

        found = imageio_ffmpeg.get_ffmpeg_exe()
    if found is None:
        pytest.skip("no ffmpeg on the PATH, and imageio-ffmpeg is not installed")
    return found
