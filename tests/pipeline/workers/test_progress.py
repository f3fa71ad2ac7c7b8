"""The number of computed frames never falls and ends at their total, whatever happens to workers."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.job.interrupted import LENGTH
from tests.pipeline.workers.shared import FRAMES, TWO, upscaled
from vsr.errors import DeviceError
from vsr.pipeline.crew.crew import Crew
from vsr.pipeline.job.warm_generator import WarmGenerator
from vsr.pipeline.run import Progress
from vsr.pipeline.workers import many_devices
from vsr.pipeline.workers.claims import Claims
from vsr.settings.schema import UpscaleSettings

Message = dict[str, Any]


@pytest.fixture
def run_of(source: Path, warm: WarmGenerator, tmp_path: Path) -> Any:
    """Upscale the clip and return all progress, of which the number of frames never fell."""

    def run(settings: UpscaleSettings = TWO) -> list[Progress]:
        told: list[Progress] = []
        upscaled(source, tmp_path / "out.mkv", settings, warm, lambda job: told.append)
        numbers = [now.kept + now.frames for now in told]
        assert numbers == sorted(numbers)
        assert {now.total for now in told} == {FRAMES}
        assert numbers[-1] == FRAMES
        return told

    return run


def struck(monkeypatch: pytest.MonkeyPatch, then: Any) -> list[str]:
    """Call a function once, with the worker that has computed the third frame of a segment."""
    frame, struck = many_devices._frame, []

    def handled(state: Any, name: str, message: Message) -> None:
        frame(state, name, message)
        if not struck and message["frame"] % LENGTH == 2:
            struck.append(name)
            then(state, name)

    monkeypatch.setitem(many_devices._HANDLERS, "frame", handled)
    return struck


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_frames_of_a_worker_that_was_killed_count_once(run_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = struck(
        monkeypatch,
        lambda state, name: os.kill(state.crew._members[name].worker.process.pid, signal.SIGKILL),
    )
    run_of()
    assert killed


def test_frames_of_a_worker_whose_device_failed_count_once(
    run_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not started again, and another worker computes them."""
    failed = struck(
        monkeypatch,
        lambda state, name: many_devices._error(state, name, {"error": DeviceError.__name__, "text": "lost"}),
    )
    run_of()
    assert failed


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGSTOP")
def test_frames_that_two_workers_compute_count_once(run_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a cluster, an idle worker makes a segment that another one, which is stopped here, is making."""
    tell, given, twice, stopped = Crew.tell, set(), [], []

    def told(self: Crew, name: str, message: Message) -> None:
        tell(self, name, message)
        number = message.get("segment")
        if number in given:
            twice.append(number)
            os.kill(stopped[0], signal.SIGCONT)
        given.add(-1 if number is None else number)

    def stop(state: Any, name: str) -> None:
        stopped.append(state.crew._members[name].worker.process.pid)
        os.kill(stopped[0], signal.SIGSTOP)

    monkeypatch.setattr(many_devices, "Claims", lambda **facts: Claims(**facts | {"duplicates": True}))
    monkeypatch.setattr(Crew, "tell", told)
    struck(monkeypatch, stop)
    run_of()
    assert twice


def test_the_number_goes_on_where_the_driver_makes_a_segment_again(
    run_of: Any, segments_of_another_film: Callable[..., set[int]]
) -> None:
    """One that a worker has made from other frames."""
    wrong = segments_of_another_film(2)
    assert len(run_of()) == FRAMES + LENGTH
    assert not wrong


def test_frames_of_an_earlier_run_count(
    source: Path, warm: WarmGenerator, run_of: Any, tmp_path: Path
) -> None:
    def stop(now: Progress) -> None:
        if now.frames == 4 * LENGTH:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upscaled(source, tmp_path / "out.mkv", TWO, warm, lambda job: stop)
    first = run_of()[0]
    assert first.kept >= LENGTH
    assert first.frames == 1
