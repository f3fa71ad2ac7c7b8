"""Progress of a run on Ray is that of all its workers, from its first frames on."""

from __future__ import annotations

import queue
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ray", reason="Ray is not installed")

import vsr_ray

from plugins.ray.conftest import FRAMES
from tests.cli.records import test_progress_of_workers as progress
from tests.cli.run_cli import run_cli


@pytest.mark.slow
def test_frames_speed_and_remaining_time_are_those_of_all_workers_of_the_cluster(
    source: Path,
    cluster: Any,
    free_cores: None,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard = progress.Heard(monkeypatch)
    words = ("upscale", source, tmp_path / "out.mkv", "--on", "ray", "--device", "cpu:2", *progress.FLAGS)
    done = run_cli(capfd, *words)
    assert done.code == 0, done.err
    assert len(heard.workers) == 2
    progress.check_progress(done.err, frames=FRAMES)


def test_a_worker_gathers_the_first_frames_of_a_film_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise a second of all workers' frames would arrive at once, and seem to be the speed."""
    waits: list[float] = []

    class Said:
        """Has a frame, then nothing until the time is over."""

        def get(self, timeout: float) -> dict[str, Any]:
            waits.append(timeout)
            if timeout == vsr_ray._SECONDS:
                return {"frame": 0}
            raise queue.Empty

    monkeypatch.setattr(vsr_ray, "WorkerProcess", lambda *rest: SimpleNamespace(tell=lambda message: None))
    monkeypatch.setattr(vsr_ray, "time", SimpleNamespace(monotonic=lambda: 0.0))
    relay = vsr_ray._Relay("w1", "cpu", 1)
    relay._said = Said()  # type: ignore[assignment]
    for _ in range(2):
        relay.tell({"task": {}})
        waits.clear()
        for _ in range(5):
            assert relay.listen(1.0) == [{"frame": 0}]
        assert waits[1::2] == [1 / 8, 1 / 4, 1 / 2, 1, 1]
