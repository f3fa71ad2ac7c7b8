"""Which runs are the same job, so that one resumes the other."""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from tests.media.fake_gpu import FakeGpu
from tests.media_maker import Audio, make_clip, numbers_of
from tests.pipeline.job.interrupted import (
    FRAMES,
    LENGTH,
    SETTINGS,
    contents,
    cut_off,
    parts,
)
from vsr.errors import ConfigError
from vsr.frame import Damage
from vsr.media.decode import hwaccel
from vsr.media.decode.source import VideoSource
from vsr.media.mux.resumable.source_hash import SourceHashes
from vsr.media.mux.resumable.work_folder import WorkFolder
from vsr.pipeline.job import resume_key
from vsr.pipeline.queue.record import NAME
from vsr.pipeline.run import upscale
from vsr.settings.schema import EncoderSettings


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"scale": Fraction(3)}, "output size"),
        ({"model": "lanczos"}, "by another model"),
        ({"encoder": EncoderSettings(preset="ultrafast", crf=30)}, "crf"),
        ({"start": Fraction(1, 10)}, "start"),
        ({"segment_seconds": Fraction(1)}, "segment"),
    ],
)
def test_another_job_is_rejected_with_the_difference(
    clip: Path, tmp_path: Path, changed: dict[str, object], named: str
) -> None:
    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=20)
    kept = parts(tmp_path)
    with pytest.raises(ConfigError, match=named) as refused:
        upscale(clip, tmp_path / "out.mkv", replace(SETTINGS, **changed))  # type: ignore[arg-type]
    assert "`restart=True`" in str(refused.value)
    assert parts(tmp_path) == kept  # the job of the first command is still there
    report = upscale(clip, tmp_path / "out.mkv", replace(SETTINGS, **changed, restart=True))  # type: ignore[arg-type]
    assert report.frames_kept == 0


def test_a_run_decoded_by_a_gpu_is_not_resumed_in_software(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wished = replace(SETTINGS, hwaccel="auto")
    with monkeypatch.context() as patch:
        FakeGpu().install(patch)
        cut_off(clip, tmp_path / "out.mkv", wished, after=20)
    monkeypatch.setattr(hwaccel, "missing", lambda card: "no card")
    with pytest.raises(ConfigError, match="with decoder cuda, not software"):
        upscale(clip, tmp_path / "out.mkv", wished)


def test_another_input_of_the_same_name_is_rejected(clip: Path, tmp_path: Path) -> None:
    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=20)
    make_clip(clip, frames=FRAMES, first_number=1, audio=[Audio()])
    with pytest.raises(ConfigError, match="input"):
        upscale(clip, tmp_path / "out.mkv", SETTINGS)


def test_a_new_modification_time_and_another_folder_are_the_same_job(clip: Path, tmp_path: Path) -> None:
    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=20)
    os.utime(clip, (1, 1))
    assert upscale(clip, tmp_path / "out.mkv", SETTINGS).frames_kept


@pytest.mark.parametrize("whole_job", [False, True])
def test_finished_segments_of_other_frames_are_not_used(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_job: bool
) -> None:
    """Changes that samples of the file do not show appear in its frames: a
    completed download, an edit in place."""
    monkeypatch.setattr(resume_key, "fingerprint", lambda path: "equal samples")
    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=FRAMES if whole_job else 16)
    kept = parts(tmp_path)
    make_clip(clip, frames=FRAMES, first_number=1, audio=[Audio()])
    with pytest.raises(
        ConfigError, match="input changed since its finished parts were made, from frame 0 on"
    ):
        upscale(clip, tmp_path / "out.mkv", SETTINGS)
    assert parts(tmp_path) == kept
    assert not (tmp_path / "out.mkv").exists()
    upscale(clip, tmp_path / "out.mkv", replace(SETTINGS, restart=True))
    assert numbers_of(tmp_path / "out.mkv") == list(range(1, FRAMES + 1))


@pytest.mark.parametrize("change", ["fewer frames", "other times"])
def test_segments_must_have_the_same_number_of_frames_and_times(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(resume_key, "fingerprint", lambda path: "equal samples")
    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=FRAMES)
    if change == "fewer frames":
        make_clip(clip, frames=LENGTH - 1, bframes=2)
    else:
        make_clip(clip, frames=FRAMES, bframes=2, pts=[40 * i + i % 2 for i in range(FRAMES)])
    with pytest.raises(ConfigError, match="the input changed since its finished parts were made"):
        upscale(clip, tmp_path / "out.mkv", SETTINGS)


def test_damage_that_decodes_differently_is_the_same_input(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How decoders conceal damage depends on their threads; this is no change if the file is untouched."""
    whole = clip.read_bytes()
    clip.write_bytes(whole[: len(whole) * 3 // 4])
    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=12)
    assert parts(tmp_path)
    monkeypatch.setattr(SourceHashes, "of", lambda self, number: "another")
    monkeypatch.setattr(VideoSource, "damage", Damage(broken_packets=1))
    report = upscale(clip, tmp_path / "out.mkv", SETTINGS)
    assert report.frames_kept
    cut_off(clip, tmp_path / "more.mkv", SETTINGS, after=12)
    os.utime(clip, (1, 1))
    monkeypatch.setattr(SourceHashes, "of", lambda self, number: "a third")
    with pytest.raises(ConfigError, match="the input changed"):
        upscale(clip, tmp_path / "more.mkv", SETTINGS)


def test_a_copy_of_the_input_can_be_resumed(clip: Path, tmp_path: Path) -> None:
    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=20)
    copy = tmp_path / "copy.mkv"
    copy.write_bytes(clip.read_bytes())
    copy.replace(clip)
    assert upscale(clip, tmp_path / "out.mkv", SETTINGS).frames_kept


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_segments_for_one_container_can_be_used_for_another(clip: Path, tmp_path: Path, codec: str) -> None:
    """Frames that MP4 rejects at the end can be written to Matroska without computing them again."""
    settings = replace(SETTINGS, encoder=EncoderSettings(encoder=codec, preset="ultrafast"))
    upscale(clip, tmp_path / "whole.mkv", settings)
    cut_off(clip, tmp_path / "out.mp4", settings, after=FRAMES)
    kept = len(parts(tmp_path)) * LENGTH
    assert kept
    assert upscale(clip, tmp_path / "out.mkv", settings).frames_kept == kept
    assert contents(tmp_path / "out.mkv") == contents(tmp_path / "whole.mkv")
    assert upscale(clip, tmp_path / "out.mp4", settings).frames_kept == kept  # its own segments still exist
    assert {path.name for path in tmp_path.glob(".*")} == {NAME}


def test_segments_of_another_job_are_not_used(clip: Path, tmp_path: Path) -> None:
    cut_off(clip, tmp_path / "out.mp4", SETTINGS, after=FRAMES)
    kept = parts(tmp_path)
    assert not upscale(clip, tmp_path / "out.mkv", replace(SETTINGS, scale=Fraction(3))).frames_kept
    assert parts(tmp_path) == kept
    held = WorkFolder(tmp_path / "out.mp4")
    assert not upscale(clip, tmp_path / "out.mov", SETTINGS).frames_kept  # another run uses that folder
    held.leave(done=False)
