"""The time that is left is that of the last minute, without pauses, of the frames that are really to come."""

from __future__ import annotations

import pytest

from vsr.cli.progress import WINDOW_SECONDS, Line, Speed
from vsr.pipeline.run import Progress


def speed(times: list[float]) -> float | None:
    found = Speed()
    for frames, seconds in enumerate(times, 1):
        found.add(seconds, frames)
    return found.fps


def test_the_first_frame_pays_for_the_start_and_does_not_count() -> None:
    assert speed([30.0, 30.5, 31.0]) == pytest.approx(2)
    assert speed([30.0]) is None


def test_only_the_last_minute_counts() -> None:
    slow = [float(second) for second in range(300)]
    fast = [300 + frame / 10 for frame in range(int(WINDOW_SECONDS) * 10 + 5)]
    assert speed(slow + fast) == pytest.approx(10, rel=0.01)


def test_a_pause_does_not_count_and_a_slow_frame_does() -> None:
    steady = [frame / 2 for frame in range(20)]
    assert speed([*steady, steady[-1] + 3600, steady[-1] + 3600.5]) == pytest.approx(2, rel=0.06)
    assert speed([*steady, steady[-1] + 9]) == pytest.approx(20 / 18.5)


def words(frames: int, *, total: int | None, kept: int = 0) -> str:
    line, text = Line(), ""
    for frame in range(1, frames + 1):
        now = Progress(frames=frame, kept=kept, total=total, seconds=frame / 4, bottleneck="upscale")
        text = line(now)
    return text


def test_frames_of_an_interrupted_run_count_as_finished() -> None:
    assert words(20, total=100, kept=40).startswith("60 of 100 frames (60 %), 4.00 fps, 0:00:10 left")


def test_a_container_that_promises_too_few_frames_never_shows_more_than_all() -> None:
    assert words(3, total=2).startswith("3 of 3 frames (100 %), 4.00 fps, 0:00:00 left")


def test_without_a_total_there_is_no_time_left() -> None:
    assert words(3, total=None) == "3 frames, 4.00 fps, limited by upscale"
