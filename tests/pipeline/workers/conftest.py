"""Workers that the tests of a file share, and a clip."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.media_maker import Audio, make_clip
from tests.pipeline.workers.shared import FRAMES, ONE, upscaled
from vsr.media.encode.segments import Segment
from vsr.media.mux.resumable.resumable_sink import SegmentedSink
from vsr.pipeline.job.warm_generator import WarmGenerator


@pytest.fixture(scope="module")
def warm() -> Iterator[WarmGenerator]:
    """Workers that all tests of a file share, because a process takes seconds to start."""
    kept = WarmGenerator()
    yield kept
    kept.close()
    kept._kept = None
    gc.collect()  # ends the threads of its network, which tests of other files would count


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mkv", frames=FRAMES, audio=[Audio()])


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of the clip."""
    target = tmp_path_factory.mktemp("whole") / "out.mkv"
    upscaled(source, target, ONE)
    return target


@pytest.fixture
def segments_of_another_film(monkeypatch: pytest.MonkeyPatch) -> Callable[..., set[int]]:
    """Return a function that takes numbers of segments, which workers then make from other frames, once each.

    It returns those that no worker has made yet.
    """

    def use(*numbers: int) -> set[int]:
        add, wrong = SegmentedSink._add, set(numbers)

        def added(self: SegmentedSink, number: int, segment: Segment, digest: str, **rest: Any) -> None:
            if number in wrong:
                wrong.remove(number)
                segment = replace(segment, source="of another film")
            add(self, number, segment, digest, **rest)

        monkeypatch.setattr(SegmentedSink, "_add", added)
        return wrong

    return use
