"""Finds an `ffmpeg` that is new enough, on the PATH or in the package imageio-ffmpeg."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from importlib.util import find_spec

import pytest

# `-enc_time_base filter` was added in ffmpeg 6.1; Debian 12 has 5.1.
_ASKED = ("-v", "error", "-f", "lavfi", "-i", "nullsrc=size=16x16:duration=0.04", "-enc_time_base", "filter")


def ffmpeg() -> str:
    """Return its path; skips the test if there is none."""
    found = next((one for one in _candidates() if _is_new_enough(one)), None)
    if found is None:
        pytest.skip("there is no ffmpeg 6.1 or later on the PATH, and imageio-ffmpeg is not installed")
    return found


def _candidates() -> list[str]:
    found = [path] if (path := shutil.which("ffmpeg")) else []
    if find_spec("imageio_ffmpeg") is not None:
        import imageio_ffmpeg

        found.append(imageio_ffmpeg.get_ffmpeg_exe())
    return found


@cache
def _is_new_enough(path: str) -> bool:
    return subprocess.run([path, *_ASKED, "-f", "null", "-"], capture_output=True).returncode == 0
