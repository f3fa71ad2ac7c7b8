"""Known failures with PyAV 19, which contains FFmpeg 9; each use gives its reason."""

from __future__ import annotations

import av
import pytest


def fails_with_ffmpeg_9(reason: str) -> None:
    """End the test as an expected failure if FFmpeg 9 is in use."""
    if int(av.__version__.partition(".")[0]) >= 19:
        pytest.xfail(f"FFmpeg 9 (PyAV {av.__version__}): {reason}")
