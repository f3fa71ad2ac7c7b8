"""A worker decodes its own segments, and not all that lies between them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.media_maker import make_clip
from vsr.media.decode import source as source_module
from vsr.media.decode.source import VideoSource, open_video
from vsr.pipeline.workers import worker

LENGTH, FRAMES = 5, 400


class Desk:
    """Stands for the process that gives out segments."""

    def __init__(self, *segments: int) -> None:
        self.left = list(segments)
        self.said: list[dict[str, Any]] = []

    def ask(self, *, idle: bool) -> int | None:
        return self.left.pop(0) if self.left else None

    def say(self, **message: Any) -> None:
        self.said.append(message)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mkv", frames=FRAMES, options={"g": "10"})


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the numbers of the frames that come from the decoder."""
    seen: list[int] = []
    read = VideoSource._read

    def counted(self: VideoSource, *rest: Any) -> Iterator[Any]:
        for frame in read(self, *rest):
            seen.append(frame.stamp.index)
            yield frame

    monkeypatch.setattr(VideoSource, "_read", counted)
    return seen


def claimed(clip: Path, *segments: int) -> list[tuple[int, int]]:
    """Return the number and the time of each frame of some segments."""
    sink: Any = SimpleNamespace(length=LENGTH, hashes=SimpleNamespace(add=lambda frame: None))
    with open_video(clip) as source:
        frames = worker._claimed(source, sink, Desk(*segments[1:]), segments[0])  # type: ignore[arg-type]
        return [(frame.stamp.index, frame.stamp.pts) for frame in frames]


def of(clip: Path, *segments: int) -> list[tuple[int, int]]:
    with open_video(clip) as source:
        found = [(frame.stamp.index, frame.stamp.pts) for frame in source]
    return [one for one in found if one[0] // LENGTH in segments]


def test_a_distant_segment_is_decoded_from_a_key_frame_near_it(clip: Path, looked_at: list[int]) -> None:
    wanted = of(clip, 0, 2, 70, 79)
    looked_at.clear()
    assert claimed(clip, 0, 2, 70, 79) == wanted
    assert len(looked_at) < 100, "of 400"


def test_a_near_segment_is_reached_by_decoding_on(clip: Path, looked_at: list[int]) -> None:
    wanted = of(clip, 3, 6, 20)
    looked_at.clear()
    assert claimed(clip, 3, 6, 20) == wanted
    assert looked_at == list(range(15, 106))


def test_where_decoding_cannot_begin_late_it_does_not_begin_anew_for_each_segment(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    monkeypatch.setattr(source_module, "find_entry", lambda info, *, index, **rest: begun.append(index))
    segments = (2, 75, 79)
    assert claimed(clip, *segments) == of(clip, *segments)
    assert [index for index in begun if index] == [2 * LENGTH]


def test_a_source_that_an_error_elsewhere_closes_is_no_end_of_the_video(clip: Path) -> None:
    sink: Any = SimpleNamespace(length=LENGTH, hashes=SimpleNamespace(add=lambda frame: None))
    ended, closed = Desk(), Desk(1)
    with open_video(clip, end=Fraction(1)) as source:
        list(worker._claimed(source, sink, ended, 4))  # type: ignore[arg-type]
    with open_video(clip) as source:
        for _ in worker._claimed(source, sink, closed, 0):  # type: ignore[arg-type]
            source.close()
    assert [message for message in ended.said if "end" in message] == [{"end": 5}]
    assert [message for message in closed.said if "end" in message] == []
