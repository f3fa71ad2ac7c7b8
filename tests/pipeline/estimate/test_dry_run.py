"""`vsr.estimate` and `--dry-run`: what a run will need, and how certain that is."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

import vsr
from tests.folders import names_in
from tests.media_maker import make_clip
from vsr.pipeline.estimate import dry_run as trial

QUICK = {"model": "bicubic", "scale": 2, "preset": "ultrafast", "device": "cpu"}


def quiet_then_busy(path: Path) -> Path:
    """A clip whose first fifth is one colour and whose rest is noise: its beginning says little."""
    noise = np.random.default_rng(0)
    with av.open(str(path), "w") as box:
        stream = box.add_stream("libx264", rate=25, options={"g": "25", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(200):
            image = np.full((48, 64, 3), 90, np.uint8)
            if number >= 40:
                image = noise.integers(0, 255, (48, 64, 3), np.uint8)
            box.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        box.mux(stream.encode(None))
    return path


def video_bytes(path: Path) -> int:
    with av.open(str(path)) as box:
        return sum(packet.size for packet in box.demux(video=0))


def test_the_size_of_a_film_whose_beginning_is_still_lies_in_the_range(tmp_path: Path) -> None:
    clip, made = quiet_then_busy(tmp_path / "in.mkv"), tmp_path / "out.mkv"
    found = vsr.estimate(clip, made, **QUICK)
    assert found.frames == 200
    assert found.frames_measured == trial.FRAMES
    vsr.upscale(clip, made, **QUICK)
    low, high = found.video_bytes_range or (0, 0)
    assert low <= video_bytes(made) <= high
    assert found.picture_bytes * 200 < low, "the trial alone would be far too low"


def test_a_clip_that_the_trial_covers_has_a_certain_size_and_an_uncertain_time(tmp_path: Path) -> None:
    found = vsr.estimate(make_clip(tmp_path / "in.mkv", frames=20), tmp_path / "out.mkv", **QUICK)
    assert found.video_bytes_range == (found.video_bytes, found.video_bytes)
    low, high = found.seconds_range or (0, 0)
    assert low < (found.seconds or 0) < high
    assert (high - low) / high >= trial.LEAST_ERROR
    assert found.host_bytes > 0
    assert found.report.encoder["preset"] == "ultrafast"


def test_nothing_is_left_behind_and_an_existing_target_stays(tmp_path: Path) -> None:
    clip, old = make_clip(tmp_path / "in.mkv", frames=20), tmp_path / "out.mkv"
    old.write_bytes(b"old")
    vsr.estimate(clip, old, **QUICK)
    assert old.read_bytes() == b"old"
    assert names_in(tmp_path) == ["in.mkv", "out.mkv"]


def test_where_a_source_cannot_be_sampled_the_range_of_the_size_is_wide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "size_ratio", lambda *_: None)
    clip = make_clip(tmp_path / "in.mkv", frames=60)
    found = vsr.estimate(clip, tmp_path / "out.mkv", **QUICK)
    assert found.size_error == (1 / trial.UNSAMPLED, trial.UNSAMPLED)


def test_pipes_pictures_and_wrong_settings_are_refused(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=3)
    with pytest.raises(vsr.ConfigError, match="requires files"):
        vsr.estimate("-", tmp_path / "out.mkv")
    with pytest.raises(vsr.ConfigError, match="unknown setting 'skale'"):
        vsr.estimate(clip, tmp_path / "out.mkv", skale=2)  # type: ignore[call-arg]


def test_workers_that_share_the_cores_have_the_memory_of_each_and_the_time_of_one(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=20)
    found = vsr.estimate(clip, tmp_path / "out.mkv", **{**QUICK, "device": "cpu:2"})
    alone = vsr.estimate(clip, tmp_path / "out.mkv", **QUICK)
    assert (found.workers, alone.workers) == (2, 1)
    assert found.seconds == pytest.approx(20 / found.fps)
    assert (found.host_bytes, found.engine_bytes) == (alone.host_bytes, alone.engine_bytes)
    (memory,) = [line for line in found.lines() if line.startswith("memory")]
    assert memory.endswith("in each of 2 workers")
    assert not any("each" in line for line in alone.lines())


def test_a_run_on_other_machines_is_not_measured_here(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=3)
    with pytest.raises(vsr.ConfigError, match="measures this machine"):
        vsr.estimate(clip, tmp_path / "out.mkv", **{**QUICK, "on": "ray"})
