"""Files changed by Debian's ffmpeg in ways that PyAV does not support."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.judges import run


@pytest.fixture
def edit() -> Callable[..., Path]:
    """Copy a file's packets with additional arguments of ffmpeg."""

    def edited(source: Path, target: Path, *arguments: str) -> Path:
        words = ["-v", "error", "-y", "-i", str(source), "-map", "0", "-c", "copy", *arguments, str(target)]
        run("ffmpeg", *words)
        return target

    return edited
