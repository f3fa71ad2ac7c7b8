"""The clip of the tests of resuming."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.media_maker import Audio, Subtitle, make_clip
from tests.pipeline.job.interrupted import FRAMES


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(
        tmp_path / "in.mkv",
        frames=FRAMES,
        bframes=2,
        audio=[Audio()],
        subtitles=[Subtitle()],
        chapters=[(0.0, 0.5, "one")],
    )
