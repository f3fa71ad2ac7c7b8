"""Progress of several workers is that of all of them: one number of frames, one speed, one remaining time."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.cli.run_cli import run_cli
from tests.media_maker import make_clip
from vsr.cli.records import events
from vsr.pipeline import run
from vsr.pipeline.crew.crew import Crew
from vsr.pipeline.run import Progress
from vsr.pipeline.workers import many_devices

FLAGS = ("--model", "bicubic", "--scale", "2", "--preset", "ultrafast", "--segment", "0.2", "--progress=json")


class Heard:
    """Makes each frame an event, with a clock that goes on by a quarter of a second between them.

    The driver waits at the first frame until two workers have said something, so that both get segments.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.workers: set[str] = set()
        """Names of the workers that have computed frames."""
        names: set[str] = set()
        both = Event()
        hear, frame, clock = Crew._hear, many_devices._frame, itertools.count()

        def heard(crew: Crew, name: str, message: dict[str, Any] | None) -> None:
            names.add(name)
            if len(names) == 2:
                both.set()
            hear(crew, name, message)

        def computed(state: Any, name: str, message: dict[str, Any]) -> None:
            assert both.wait(300)
            self.workers.add(name)
            frame(state, name, message)

        patch.setattr(Crew, "_hear", heard)
        patch.setitem(many_devices._HANDLERS, "frame", computed)
        patch.setattr(events, "EVERY_SECONDS", 0.0)
        patch.setattr(run, "Progress", lambda **facts: Progress(**facts | {"seconds": next(clock) / 4}))


def check_progress(text: str, *, frames: int) -> None:
    """Check the events on standard error of a run of a number of frames under `Heard`."""
    rows = [row for row in map(json.loads, text.splitlines()) if row["event"] == "progress"]
    assert [row["frames"] for row in rows] == list(range(1, frames + 1))
    assert {row["frames_total"] for row in rows} == {frames}
    assert [row["fps"] for row in rows] == [None] + [4.0] * (frames - 1)
    left = [(frames - done) / 4 for done in range(2, frames + 1)]
    assert [row["seconds_left"] for row in rows] == [None, *left]


def test_frames_speed_and_remaining_time_are_those_of_all_workers(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard(monkeypatch)
    clip = make_clip(tmp_path / "in.mkv", frames=33)
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.mkv", "--device", "cpu:2", *FLAGS)
    assert done.code == 0
    assert len(heard.workers) == 2
    check_progress(done.err, frames=33)
