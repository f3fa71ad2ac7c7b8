"""Whole runs: what is checked before the first frame, what is told meanwhile, and the report."""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction
from pathlib import Path

import pytest

from tests.folders import names_in
from tests.media_maker import make_clip, numbers_of
from tests.pipeline.run.runs import settings
from vsr.errors import ConfigError, ModelError
from vsr.pipeline.job.job import TOGETHER
from vsr.pipeline.preparation import prepare
from vsr.pipeline.run import Progress, run, upscale


@pytest.mark.parametrize(("start", "end"), [(10, 5), (3, 3), (500, None)])
def test_an_empty_time_range_is_rejected_before_any_work(tmp_path: Path, start: int, end: int | None) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=5)
    with pytest.raises(ConfigError):
        upscale(source, tmp_path / "out.mkv", settings(start=start, end=end))


def test_a_start_in_a_later_part_of_a_joined_recording_is_after_no_end(tmp_path: Path) -> None:
    """FFmpeg states the length of one part."""
    parts = [make_clip(tmp_path / f"{first}.ts", frames=10, first_number=first) for first in (0, 10)]
    source = tmp_path / "in.ts"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    upscale(source, tmp_path / "out.mkv", settings(start=Fraction(12, 25)))
    assert numbers_of(tmp_path / "out.mkv") == [*range(12, 20)]


def test_the_report_is_json_and_describes_the_run(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=4)
    report = upscale(source, tmp_path / "out.mkv", settings())
    report.write(tmp_path / "report.json")
    table = json.loads((tmp_path / "report.json").read_text())
    assert table["frames_in"] == table["frames_out"] == 4
    assert table["bytes_out"] == (tmp_path / "out.mkv").stat().st_size
    assert set(table["busy_seconds"]) == {stage for thread in TOGETHER for stage in thread}
    assert table["model"]["name"] == "bicubic"
    assert "not fully tagged" in "".join(table["warnings"])


@pytest.mark.parametrize(("start", "end"), [("0.1", "0.3"), ("0.09", "0.32"), ("0.3", None), (None, "0.41")])
def test_progress_of_a_range_counts_its_frames(tmp_path: Path, start: str | None, end: str | None) -> None:
    source = make_clip(tmp_path / "in.mp4", frames=12)
    seen: list[Progress] = []
    limits = {"start": start and Fraction(start), "end": end and Fraction(end)}
    report = upscale(source, tmp_path / "out.mp4", settings(**limits), on_progress=seen.append)
    assert {one.total for one in seen} == {report.frames_out}


def test_progress_has_the_expected_number_of_frames(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", frames=9)
    seen: list[Progress] = []
    upscale(source, tmp_path / "out.mp4", settings(), on_progress=seen.append)
    assert [p.frames for p in seen] == list(range(1, 10))
    assert {p.total for p in seen} == {9}


def test_everything_is_checked_before_the_first_frame(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=3)
    with (
        pytest.raises(ModelError, match="known models are"),
        prepare(source, tmp_path / "out.mkv", settings(model="no-such-model"), overwrite=False),
    ):
        pass
    assert names_in(tmp_path) == ["in.mkv"]


def test_a_prepared_job_that_does_not_run_leaves_no_file(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=3)
    with prepare(source, tmp_path / "out.mkv", settings(), overwrite=False) as job:
        assert dataclasses.is_dataclass(job)
    assert names_in(tmp_path) == ["in.mkv"]


def test_run_accepts_a_prepared_job(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=3)
    with prepare(source, tmp_path / "out.mkv", settings(), overwrite=False) as job:
        run(job)
        assert job.report.frames_out == 3
    assert (tmp_path / "out.mkv").exists()
