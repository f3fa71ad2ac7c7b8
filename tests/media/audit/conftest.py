"""Files changed by Debian's ffmpeg: what PyAV cannot write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.judges import run


@pytest.fixture
def edit() -> Callable[..., Path]:
    """Copy a file's packets with further arguments of ffmpeg."""

    def edited(source: Path, target: Path, *arguments: str) -> Path:
        words = ["-v", "error", "-y", "-i", str(source), "-map", "0", "-c", "copy", *arguments, str(target)]
        run("ffmpeg", *words)
        return target

    return edited
