"""A run that was interrupted in any way resumes with the same command, and
gives the result of an uninterrupted run."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import pytest
import torch
from safetensors.torch import save_file

from tests.media.fake_gpu import FakeGpu
from tests.media_maker import Audio, Subtitle, make_clip, numbers_of
from vsr.engine.upscaler import Upscaler
from vsr.errors import ConfigError, DeviceError, OutputError
from vsr.frame import Damage
from vsr.media.decode import hwaccel
from vsr.media.decode.source import VideoSource
from vsr.media.encode import segments
from vsr.media.mux.resumable.journal import read_journal, write_journal
from vsr.media.mux.resumable.source_hash import SourceHashes
from vsr.media.mux.resumable.work_folder import WorkFolder
from vsr.models.archs.compact import Compact, CompactConfig
from vsr.pipeline.job import resume_key
from vsr.pipeline.run import Progress, upscale_video
from vsr.settings.schema import EncoderSettings, UpscaleSettings

FRAMES, LENGTH = 24, 5
"""Frames of the clip and of a segment; the last segment is shorter."""
SETTINGS = UpscaleSettings(
    model="bicubic",
    scale=Fraction(2),
    device="cpu",
    encoder=EncoderSettings(preset="ultrafast"),
    segment_seconds=Fraction(LENGTH, 25),
)


class CutOffError(Exception):
    """Stands for any error that ends a run."""


def stop_after(frames: int) -> Callable[[Progress], None]:
    def check(now: Progress) -> None:
        if now.frames >= frames:
            raise CutOffError

    return check


def cut_off(source: Path, target: Path, settings: UpscaleSettings, *, after: int) -> None:
    with pytest.raises(CutOffError):
        upscale_video(source, target, settings, on_progress=stop_after(after))
    assert not target.exists()


def contents(path: Path) -> list[tuple[object, ...]]:
    """Return times, duration, flags and bytes of every packet of every stream."""
    with av.open(str(path)) as box:
        return [
            (p.stream_index, p.pts, p.dts, p.duration, p.is_keyframe, hashlib.sha256(bytes(p)).digest())
            for p in box.demux()
            if p.size
        ]


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob(".*.vsr/*.segment"))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(
        tmp_path / "in.mkv",
        frames=FRAMES,
        bframes=2,
        audio=[Audio()],
        subtitles=[Subtitle()],
        chapters=[(0.0, 0.5, "one")],
    )


@pytest.mark.parametrize(
    ("encoder", "suffix"),
    [
        ("libx264", "mp4"),
        ("libx264", "mkv"),
        ("libx265", "mp4"),
        ("libsvtav1", "mkv"),
        ("libvpx-vp9", "webm"),
        ("prores_ks", "mov"),
        ("ffv1", "mkv"),
    ],
)
def test_a_resumed_run_ends_as_an_uninterrupted_one(
    clip: Path, tmp_path: Path, encoder: str, suffix: str
) -> None:
    settings = replace(SETTINGS, encoder=EncoderSettings(encoder=encoder))
    whole, resumed = tmp_path / f"whole.{suffix}", tmp_path / f"resumed.{suffix}"
    upscale_video(clip, whole, settings)
    cut_off(clip, resumed, settings, after=13)
    cut_off(clip, resumed, settings, after=3)
    report = upscale_video(clip, resumed, settings)
    assert contents(resumed) == contents(whole)
    assert numbers_of(resumed) == list(range(FRAMES))
    assert report.frames_in == report.frames_out == FRAMES
    assert not list(tmp_path.glob(".*"))


def test_variable_rate_and_an_offset_are_kept_across_segments(tmp_path: Path) -> None:
    times = [3000 + 401 * i + 97 * (i % 3) for i in range(FRAMES)]
    source = make_clip(
        tmp_path / "in.mp4", frames=FRAMES, pts=times, time_base=Fraction(1, 15000), audio=[Audio()]
    )
    settings = replace(SETTINGS, encoder=EncoderSettings(), segment_seconds=Fraction(1, 8))
    for suffix in ("mkv", "mp4"):
        upscale_video(source, tmp_path / f"straight.{suffix}", replace(settings, resume=False))
        upscale_video(source, tmp_path / f"parts.{suffix}", settings)
        straight, in_parts = (shown(tmp_path / f"{name}.{suffix}") for name in ("straight", "parts"))
        assert in_parts == straight


def shown(path: Path) -> list[tuple[object, ...]]:
    """Return the times at which a player shows the frames."""
    with av.open(str(path)) as box:
        return [(f.pts, f.time_base) for f in box.decode(video=0)]


@pytest.mark.parametrize("after", range(1, FRAMES + 1, 3))
def test_only_unfinished_segments_are_computed_again(clip: Path, tmp_path: Path, after: int) -> None:
    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=after)
    finished = LENGTH * len(parts(tmp_path))
    computed: list[int] = []
    report = upscale_video(
        clip, tmp_path / "out.mkv", SETTINGS, on_progress=lambda now: computed.append(now.frames)
    )
    assert report.frames_kept == finished
    assert len(computed) == FRAMES - finished
    assert finished >= after - LENGTH - 8  # one segment, and the frames that wait between the threads


def test_a_resumed_network_with_batches_gives_the_same_bits(clip: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_file(Compact(CompactConfig(nf=8, nc=2, scale=2)).state_dict(), tmp_path / "net.safetensors")
    settings = replace(
        SETTINGS, model=str(tmp_path / "net.safetensors"), batch=3, encoder=EncoderSettings(encoder="ffv1")
    )
    upscale_video(clip, tmp_path / "whole.mkv", settings)
    cut_off(clip, tmp_path / "out.mkv", settings, after=14)
    upscale_video(clip, tmp_path / "out.mkv", replace(settings, batch=1))  # resumes with its original batch
    assert contents(tmp_path / "out.mkv") == contents(tmp_path / "whole.mkv")


def test_a_damaged_or_missing_segment_is_made_again(clip: Path, tmp_path: Path) -> None:
    upscale_video(clip, tmp_path / "whole.mkv", SETTINGS)
    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=FRAMES)
    first, second, *_ = parts(tmp_path)
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    second.unlink()
    report = upscale_video(clip, tmp_path / "out.mkv", SETTINGS)
    assert report.frames_kept % LENGTH == 0
    assert contents(tmp_path / "out.mkv") == contents(tmp_path / "whole.mkv")


def test_a_truncated_journal_costs_one_segment_and_two_cost_all(clip: Path, tmp_path: Path) -> None:
    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=FRAMES)
    finished = len(parts(tmp_path))
    assert finished >= 2
    newest, older = sorted(tmp_path.glob(".*.vsr/journal-*.json"), key=lambda p: -turn_of(p))
    newest.write_bytes(newest.read_bytes()[:40])
    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=1)
    assert len(parts(tmp_path)) == finished - 1
    older.write_text("{}")
    newest.unlink(missing_ok=True)
    report = upscale_video(clip, tmp_path / "out.mkv", SETTINGS)
    assert (report.frames_kept, report.frames_out) == (0, FRAMES)


def turn_of(journal: Path) -> int:
    return int(json.loads(json.loads(journal.read_text())["journal"])["turn"])


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"scale": Fraction(3)}, "scale"),
        ({"model": "lanczos"}, "network"),
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
        upscale_video(clip, tmp_path / "out.mkv", replace(SETTINGS, **changed))  # type: ignore[arg-type]
    assert "`restart=True`" in str(refused.value)
    assert parts(tmp_path) == kept  # the job of the first command is still there
    report = upscale_video(clip, tmp_path / "out.mkv", replace(SETTINGS, **changed, restart=True))  # type: ignore[arg-type]
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
        upscale_video(clip, tmp_path / "out.mkv", wished)


def test_another_input_of_the_same_name_is_rejected(clip: Path, tmp_path: Path) -> None:
    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=20)
    make_clip(clip, frames=FRAMES, first_number=1, audio=[Audio()])
    with pytest.raises(ConfigError, match="input"):
        upscale_video(clip, tmp_path / "out.mkv", SETTINGS)


def test_a_new_modification_time_and_another_folder_are_the_same_job(clip: Path, tmp_path: Path) -> None:
    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=20)
    os.utime(clip, (1, 1))
    assert upscale_video(clip, tmp_path / "out.mkv", SETTINGS).frames_kept


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
        upscale_video(clip, tmp_path / "out.mkv", SETTINGS)
    assert parts(tmp_path) == kept
    assert not (tmp_path / "out.mkv").exists()
    upscale_video(clip, tmp_path / "out.mkv", replace(SETTINGS, restart=True))
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
        upscale_video(clip, tmp_path / "out.mkv", SETTINGS)


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
    report = upscale_video(clip, tmp_path / "out.mkv", SETTINGS)
    assert report.frames_kept
    cut_off(clip, tmp_path / "more.mkv", SETTINGS, after=12)
    os.utime(clip, (1, 1))
    monkeypatch.setattr(SourceHashes, "of", lambda self, number: "a third")
    with pytest.raises(ConfigError, match="the input changed"):
        upscale_video(clip, tmp_path / "more.mkv", SETTINGS)


def test_a_copy_of_the_input_can_be_resumed(clip: Path, tmp_path: Path) -> None:
    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=20)
    copy = tmp_path / "copy.mkv"
    copy.write_bytes(clip.read_bytes())
    copy.replace(clip)
    assert upscale_video(clip, tmp_path / "out.mkv", SETTINGS).frames_kept


def test_a_kill_that_leaves_two_names_of_a_file_loses_no_file(clip: Path, tmp_path: Path) -> None:
    """On file systems with hard links only, a kill between two steps
    leaves the file under the hidden name too."""
    film = tmp_path / "out.mkv"
    upscale_video(clip, film, SETTINGS)
    whole = film.read_bytes()
    work = WorkFolder(film)
    finish = work.path
    os.close(os.open(finish / "00000000.segment", os.O_CREAT))  # keeps the folder
    work.leave(done=False)
    os.link(film, finish / "result.tmp")
    os.link(film, finish / "00000000.part")
    with pytest.raises(ConfigError):  # any error before the work
        upscale_video(clip, film, SETTINGS, model="no such model")
    with pytest.raises(CutOffError):
        upscale_video(
            clip, film, replace(SETTINGS, scale=Fraction(3)), overwrite=True, on_progress=stop_after(9)
        )
    assert film.read_bytes() == whole


def failing_to_read(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make reading fail after the segment's header."""
    real = segments._packet

    def broken(file: BinaryIO, end: int) -> object:
        if file.tell():
            raise OSError(5, "Input/output error")
        return real(file, end)

    monkeypatch.setattr(segments, "_packet", broken)


def test_a_segment_that_cannot_be_read_is_an_error_of_the_disk(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=20)
    with monkeypatch.context() as patch:
        failing_to_read(parts(tmp_path)[0], patch)
        with pytest.raises(
            OutputError, match=r"segment: a finished part cannot be read \(Input/output error"
        ):
            upscale_video(clip, tmp_path / "out.mkv", SETTINGS)
    assert upscale_video(clip, tmp_path / "out.mkv", SETTINGS).frames_kept


@pytest.mark.parametrize(
    "facts",
    [
        {"engine": 5, "file": None},
        {"engine": {"batch": "x", "tile": 0, "backend": "torch"}, "file": None},
        {"engine": {"batch": 1, "tile": 0, "backend": "magic"}, "file": None},
        {"engine": {"batch": 1}, "file": None},
        {"engine": {"batch": 1, "tile": 0, "backend": "torch"}, "file": "x"},
    ],
)
def test_a_journal_with_wrong_types_gives_a_clear_error(
    clip: Path, tmp_path: Path, facts: dict[str, object]
) -> None:
    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=20)
    for path in tmp_path.glob(".*.vsr/journal-*.json"):
        journal = read_journal(path)
        assert journal is not None
        journal.facts = facts
        write_journal(path, journal)
    with pytest.raises(ConfigError, match="`restart`"):
        upscale_video(clip, tmp_path / "out.mkv", SETTINGS)
    assert upscale_video(clip, tmp_path / "out.mkv", SETTINGS, restart=True).frames_out == FRAMES


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_segments_for_one_container_can_be_used_for_another(clip: Path, tmp_path: Path, codec: str) -> None:
    """Frames that MP4 rejects at the end can be written to Matroska without computing them again."""
    settings = replace(SETTINGS, encoder=EncoderSettings(encoder=codec, preset="ultrafast"))
    upscale_video(clip, tmp_path / "whole.mkv", settings)
    cut_off(clip, tmp_path / "out.mp4", settings, after=FRAMES)
    kept = len(parts(tmp_path)) * LENGTH
    assert kept
    assert upscale_video(clip, tmp_path / "out.mkv", settings).frames_kept == kept
    assert contents(tmp_path / "out.mkv") == contents(tmp_path / "whole.mkv")
    assert (
        upscale_video(clip, tmp_path / "out.mp4", settings).frames_kept == kept
    )  # its own segments still exist
    assert not list(tmp_path.glob(".*"))


def test_segments_of_another_job_are_not_used(clip: Path, tmp_path: Path) -> None:
    cut_off(clip, tmp_path / "out.mp4", SETTINGS, after=FRAMES)
    kept = parts(tmp_path)
    assert not upscale_video(clip, tmp_path / "out.mkv", replace(SETTINGS, scale=Fraction(3))).frames_kept
    assert parts(tmp_path) == kept
    held = WorkFolder(tmp_path / "out.mp4")
    assert not upscale_video(clip, tmp_path / "out.mov", SETTINGS).frames_kept  # another run uses that folder
    held.leave(done=False)


def test_no_file_is_left_if_no_segment_was_finished(clip: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, segment_seconds=Fraction(10))
    cut_off(clip, tmp_path / "out.mkv", settings, after=10)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mkv"]


def test_without_resume_no_segment_is_kept(clip: Path, tmp_path: Path) -> None:
    cut_off(clip, tmp_path / "out.mkv", replace(SETTINGS, resume=False), after=20)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mkv"]


def test_two_runs_cannot_write_the_same_output(clip: Path, tmp_path: Path) -> None:
    held = WorkFolder(tmp_path / "out.mkv")
    with pytest.raises(OutputError, match="another vsr"):
        upscale_video(clip, tmp_path / "out.mkv", SETTINGS)
    held.leave(done=False)
    assert upscale_video(clip, tmp_path / "out.mkv", SETTINGS).frames_out == FRAMES


def test_a_planted_link_is_not_followed(clip: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").write_text("kept")
    probe = WorkFolder(tmp_path / "out.mkv")
    probe.leave(done=True)
    probe.path.symlink_to(elsewhere)
    with pytest.raises(OutputError, match="cannot be used"):
        upscale_video(clip, tmp_path / "out.mkv", SETTINGS)
    assert [p.name for p in elsewhere.iterdir()] == ["mine"]


def test_the_longest_file_name_leaves_room_for_segments(clip: Path, tmp_path: Path) -> None:
    target = tmp_path / ("n" * 251 + ".mkv")
    cut_off(clip, target, SETTINGS, after=20)
    assert upscale_video(clip, target, SETTINGS).frames_kept


def test_an_existing_output_stays_until_the_new_one_is_complete(clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    target.write_bytes(b"old")
    with pytest.raises(CutOffError):
        upscale_video(clip, target, SETTINGS, overwrite=True, on_progress=stop_after(20))
    assert target.read_bytes() == b"old"
    upscale_video(clip, target, SETTINGS, overwrite=True)
    assert numbers_of(target) == list(range(FRAMES))


def test_a_full_disk_keeps_finished_segments(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs

    def nearly_full(path: object) -> os.statvfs_result:
        found = real(path)  # type: ignore[arg-type]
        return os.statvfs_result([*found[:2], found[2], 0, 0, *found[5:]])

    cut_off(clip, tmp_path / "out.mkv", SETTINGS, after=14)
    kept = len(parts(tmp_path))
    monkeypatch.setattr(os, "statvfs", nearly_full)
    with pytest.raises(OutputError, match="make room, then run it again"):
        upscale_video(clip, tmp_path / "out.mkv", SETTINGS)
    monkeypatch.undo()
    assert upscale_video(clip, tmp_path / "out.mkv", SETTINGS).frames_kept == kept * LENGTH


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel errors might be ..."),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"),
    ],
)
def test_a_lost_gpu_ends_the_run_at_once_and_the_same_command_resumes(
    error: Exception, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    real = Upscaler._attempt

    def failing(self: Upscaler, *arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls > 14:
            raise error
        return real(self, *arguments)  # type: ignore[arg-type]

    settings = replace(SETTINGS, batch=1)
    monkeypatch.setattr(Upscaler, "_attempt", failing)
    words = r"cpu failed \(.*(launch failure|EXECUTION_FAILED|illegal memory access was encountered)\)"
    with pytest.raises(DeviceError, match=words) as caught:
        upscale_video(clip, tmp_path / "out.mkv", settings)
    assert calls == 15  # a lost context is not used again
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    kept = len(parts(tmp_path))
    assert kept
    assert upscale_video(clip, tmp_path / "out.mkv", settings).frames_kept == kept * LENGTH
    assert numbers_of(tmp_path / "out.mkv") == list(range(FRAMES))


def test_kills_at_random_times_do_not_change_the_result(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=60, audio=[Audio()])
    flags = ["-m", "bicubic", "--scale", "2", "--segment", "0.2", "--preset", "ultrafast", "-q"]
    command = [sys.executable, "-m", "vsr", "upscale", str(clip)]
    subprocess.run([*command, str(tmp_path / "whole.mkv"), *flags], check=True)
    began = time.monotonic()
    subprocess.run([*command, str(tmp_path / "warm.mkv"), *flags], check=True)
    usual = time.monotonic() - began
    random_ = random.Random(4)
    for _ in range(3):
        run = subprocess.Popen([*command, str(tmp_path / "out.mkv"), *flags])
        time.sleep(usual * random_.uniform(0.5, 0.95))
        run.send_signal(signal.SIGKILL)
        run.wait()
    target = tmp_path / "out.mkv"
    if not target.exists():  # a late kill lets it finish
        subprocess.run([*command, str(target), *flags], check=True)
    assert contents(target) == contents(tmp_path / "whole.mkv")
    assert not list(tmp_path.glob(".*"))
