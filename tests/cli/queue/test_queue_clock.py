"""The time that is left for a queue: of work alone, without the start, pauses and frames made before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.media_maker import make_clip
from vsr.cli.progress import Speed
from vsr.cli.queue_clock import QueueClock
from vsr.pipeline.run import Progress
from vsr.settings.schema import UpscaleSettings

FRAMES = 40


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    return [make_clip(folder / f"{number}.mkv", frames=FRAMES) for number in range(4)]


def progress(frames: int, seconds: float, *, kept: int = 0, total: int = FRAMES) -> Progress:
    return Progress(frames=frames, kept=kept, total=total, seconds=seconds, bottleneck="upscale")


def left(clock: QueueClock, times: list[float], *, kept: int = 0, total: int = FRAMES) -> float | None:
    """Return what a clock says after frames that are finished at these seconds."""
    speed, found = Speed(), None
    for frames, seconds in enumerate(times, 1):
        now = progress(frames, seconds, kept=kept, total=total)
        speed.add(seconds, frames)
        found = clock.seconds_left(now, speed)
    return found


def steady(frames: int, first: float = 1.0) -> list[float]:
    """Return times of frames that take a second each."""
    return [first + number for number in range(frames)]


def test_the_start_of_the_first_file_is_not_expected_of_the_others(clips: list[Path]) -> None:
    clock = QueueClock(clips, UpscaleSettings())
    clock.begins(1)
    assert left(clock, steady(20, first=300)) == pytest.approx(20 + 3 * FRAMES, rel=0.06)
    left(clock, steady(FRAMES, first=300))
    clock.ended(360 + FRAMES, computed=True)
    clock.begins(2)
    assert left(clock, steady(20)) == pytest.approx(20 + 2 * FRAMES, rel=0.06)


def test_a_pause_is_no_work(clips: list[Path]) -> None:
    clock = QueueClock(clips, UpscaleSettings())
    clock.begins(1)
    slept = [*steady(30), *steady(10, first=30 + 8 * 3600)]
    assert left(clock, slept) == pytest.approx(3 * FRAMES, rel=0.06)
    clock.ended(40 + 8 * 3600, computed=True)
    clock.begins(2)
    assert left(clock, [*steady(10), *steady(10, first=10 + 3600)]) == pytest.approx(20 + 2 * FRAMES, rel=0.1)


def test_frames_of_an_interrupted_run_are_neither_work_nor_left(clips: list[Path]) -> None:
    clock = QueueClock(clips, UpscaleSettings())
    clock.begins(1)
    assert left(clock, steady(10), kept=20) == pytest.approx(10 + 3 * FRAMES, rel=0.12)


def test_skipped_and_failed_files_are_not_left_and_say_nothing_of_the_speed(clips: list[Path]) -> None:
    clock = QueueClock(clips, UpscaleSettings())
    for number in (1, 2):
        clock.begins(number)
        clock.ended(0.001, computed=False)
    clock.begins(3)
    assert left(clock, steady(20)) == pytest.approx(20 + FRAMES, rel=0.06)


def test_only_the_part_between_start_and_end_is_left(clips: list[Path], tmp_path: Path) -> None:
    film = make_clip(tmp_path / "film.mkv", frames=10 * FRAMES)
    clock = QueueClock([clips[0], film], UpscaleSettings(end=1))
    clock.begins(1)
    assert left(clock, steady(20), total=25) == pytest.approx(5 + 25, rel=0.06)


def test_what_matters_fits_into_a_narrow_terminal(clips: list[Path]) -> None:
    clock = QueueClock(clips[:1], UpscaleSettings())
    clock.begins(1)
    words = clock.words()
    for frames, seconds in enumerate(steady(20), 1):
        text = words(progress(frames, seconds))
    assert text == "[1/1] 20 of 40 frames (50 %), 1.00 fps, 0:00:20 left, 0:00:19 for all, limited by upscale"
    long = text.replace("[1/1]", "[12/40]").replace("20 of 40", "12000 of 34000")
    assert len(long.partition(", limited")[0]) <= 80
