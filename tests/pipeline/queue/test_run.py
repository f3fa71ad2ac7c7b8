"""A queue that is ended at any moment loses neither a result nor what is known of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.media_maker import make_clip, numbers_of, truncated
from vsr.media.mux.resumable.work_folder import WorkFolder
from vsr.pipeline.job.report import Report
from vsr.pipeline.preparation import prepare
from vsr.pipeline.queue.run import Outcome, run_queue
from vsr.pipeline.run import compute, finish
from vsr.settings.schema import UpscaleSettings

SETTINGS = UpscaleSettings(model="bicubic", device="cpu")


def work(source: Path, target: Path, on_complete: Callable[[Report], None]) -> Report:
    with prepare(source, target, SETTINGS, overwrite=False, hashes=True) as job:
        finish(job, compute(job), on_complete)
        return job.report


def ended_at_its_name(source: Path, target: Path, on_complete: Callable[[Report], None]) -> Report:
    """Upscale, and end as by a signal when the result has its name and its parts are still there."""

    leave = WorkFolder.leave

    def end(self: WorkFolder, *, done: bool, keep_note: bool = False) -> None:
        leave(self, done=False, keep_note=keep_note)
        if target.exists():
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(WorkFolder, "leave", end)
        return work(source, target, on_complete)


def outcomes(source: Path, target: Path, how: object = work) -> list[Outcome]:
    return list(run_queue([(source, target)], SETTINGS, how))  # type: ignore[arg-type]


def test_a_run_that_ends_at_the_name_of_a_damaged_result_reports_the_damage_the_next_time(
    tmp_path: Path,
) -> None:
    source = truncated(make_clip(tmp_path / "whole.mkv", frames=30), tmp_path / "cut.mkv", 0.7)
    target = tmp_path / "out.mkv"
    with pytest.raises(KeyboardInterrupt):
        outcomes(source, target, ended_at_its_name)
    assert list(tmp_path.glob(".*.vsr/*.segment"))
    made = target.stat().st_mtime_ns
    (found,) = outcomes(source, target)
    assert (found.status, found.exit_code) == ("damaged", 10)
    row = json.loads(json.dumps(found.as_dict()))
    assert row["report"]["frames_out"] == len(numbers_of(target))
    assert row["report"]["damage"]["notes"]
    assert row["report"]["target_file"]["path"] == str(target)
    assert len(row["report"]["target_file"]["sha256"]) == 64
    assert not list(tmp_path.glob(".*.vsr")), "its parts, as large as a film, do not stay"
    assert target.stat().st_mtime_ns == made, "it is not made again"
    (found,) = outcomes(source, target)
    assert (found.status, found.exit_code, found.as_dict()["report"]) == ("skipped", 10, None)


def test_an_outcome_that_nobody_wrote_down_comes_again(tmp_path: Path) -> None:
    sources = [make_clip(tmp_path / f"{number}.mkv", frames=3) for number in range(2)]
    pairs = [(source, source.with_name(f"big-{source.name}")) for source in sources]
    queue = run_queue(pairs, SETTINGS, work)
    assert next(queue).status == "done"
    queue.close()  # type: ignore[attr-defined]
    again = list(run_queue(pairs, SETTINGS, work))
    assert [one.status for one in again] == ["done", "done"]
    assert again[0].as_dict()["report"]["frames_out"] == 3
    assert [one.status for one in run_queue(pairs, SETTINGS, work)] == ["skipped", "skipped"]
