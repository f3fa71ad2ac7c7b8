"""Workers on several devices make the same file as one process, whatever happens to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.media_maker import truncated
from tests.pipeline.job.interrupted import LENGTH, contents
from tests.pipeline.workers.shared import FRAMES, ONE, TWO, processes, upscaled
from vsr.errors import ConfigError, DeviceError, InputError, OutputError, VsrError
from vsr.media.encode.segments import Segment
from vsr.media.mux.resumable.joining import Joining
from vsr.media.mux.resumable.resumable_sink import SegmentedSink
from vsr.media.mux.sink import VideoSink
from vsr.pipeline.crew import process
from vsr.pipeline.crew.crew import Crew
from vsr.pipeline.crew.task import Task
from vsr.pipeline.job.job import Job
from vsr.pipeline.job.warm_generator import WarmGenerator
from vsr.pipeline.preparation import prepare
from vsr.pipeline.run import Progress, run
from vsr.pipeline.workers import many_devices
from vsr.settings.schema import UpscaleSettings


@pytest.mark.parametrize("number", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_workers_make_the_same_file_as_one_process(
    number: int, source: Path, whole: Path, tmp_path: Path
) -> None:
    report = upscaled(source, tmp_path / "out.mkv", replace(ONE, device=f"cpu:{number}"))
    assert contents(tmp_path / "out.mkv") == contents(whole)
    assert (report.frames_in, report.frames_out) == (FRAMES, FRAMES)
    assert report.engine["workers"] == ["cpu"] * number


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"start": Fraction(1, 2), "end": Fraction(6, 5)}, id="a part of the video"),
        pytest.param({"model": "fast", "batch": 3}, id="a network in batches"),
        pytest.param({"filters_before": ("atadenoise",)}, id="a filter with a memory"),
    ],
)
def test_what_workers_make_does_not_depend_on_the_settings(
    changes: dict[str, object], source: Path, warm: WarmGenerator, tmp_path: Path
) -> None:
    alone, shared = tmp_path / "alone.mkv", tmp_path / "shared.mkv"
    upscaled(source, alone, replace(ONE, **changes))
    upscaled(source, shared, replace(TWO, **changes), warm)
    assert contents(shared) == contents(alone)


def test_workers_are_kept_from_file_to_file(
    source: Path, whole: Path, warm: WarmGenerator, tmp_path: Path
) -> None:
    seen = []
    for name in ("1.mkv", "2.mkv"):
        with prepare(source, tmp_path / name, TWO, overwrite=False, warm=warm) as job:
            run(job)
            seen.append([process.pid for process in processes(job)])
        assert contents(tmp_path / name) == contents(whole)
    assert seen[0] == seen[1]


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("at", [pytest.param([1], marks=pytest.mark.slow), [4, 17, 29]], ids=str)
def test_a_worker_that_is_killed_costs_only_its_segments(
    at: list[int], source: Path, whole: Path, warm: WarmGenerator, tmp_path: Path
) -> None:
    def on_job(job: Job) -> Callable[[Progress], None]:
        moments = list(at)

        def kill(now: Progress) -> None:
            if moments and now.frames >= moments[0]:
                moments.pop(0)
                os.kill(processes(job)[0].pid, signal.SIGKILL)

        return kill

    upscaled(source, tmp_path / "out.mkv", TWO, warm, on_job)
    assert contents(tmp_path / "out.mkv") == contents(whole)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mkv"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_segment_that_ends_every_worker_ends_the_run_after_all_others(
    source: Path, whole: Path, warm: WarmGenerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker is ended as it is told of the segment; at its first frame it may have finished all of them."""
    tell = Crew.tell

    def poisoned(self: Crew, name: str, message: dict[str, Any]) -> None:
        tell(self, name, message)
        if message.get("segment") == 2:
            os.kill(self._members[name].worker.process.pid, signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(Crew, "tell", poisoned)
        with pytest.raises(VsrError, match=r"frames 10 to 14 \(signal 9"):
            upscaled(source, tmp_path / "out.mkv", TWO, warm)
    assert not (tmp_path / "out.mkv").exists()
    report = upscaled(source, tmp_path / "out.mkv", ONE)
    assert report.frames_kept == FRAMES - LENGTH
    assert contents(tmp_path / "out.mkv") == contents(whole)


@pytest.mark.parametrize(("first", "then"), [(ONE, TWO), (TWO, ONE)], ids=["one then two", "two then one"])
def test_an_interrupted_run_resumes_with_any_number_of_workers(
    first: UpscaleSettings,
    then: UpscaleSettings,
    source: Path,
    whole: Path,
    warm: WarmGenerator,
    tmp_path: Path,
) -> None:
    def on_job(job: Job) -> Callable[[Progress], None]:
        def stop(now: Progress) -> None:
            if now.frames > 2 * LENGTH and isinstance(job.sink, SegmentedSink) and job.sink.frames:
                raise KeyboardInterrupt

        return stop

    with pytest.raises(KeyboardInterrupt):
        upscaled(source, tmp_path / "out.mkv", first, warm, on_job)
    assert not (tmp_path / "out.mkv").exists()
    report = upscaled(source, tmp_path / "out.mkv", then, warm)
    assert report.frames_kept > 0
    assert contents(tmp_path / "out.mkv") == contents(whole)


def test_a_segment_that_was_made_from_other_frames_is_made_again(
    source: Path,
    whole: Path,
    warm: WarmGenerator,
    tmp_path: Path,
    segments_of_another_film: Callable[..., set[int]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    segments_of_another_film(1, 3)
    report = upscaled(source, tmp_path / "out.mkv", TWO, warm)
    assert contents(tmp_path / "out.mkv") == contents(whole)
    assert report.frames_out == FRAMES
    assert len([line for line in caplog.messages if "it is made again" in line]) == 2


@pytest.fixture
def driver_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the driver decode the source to its end before the first segment is finished."""
    take = SegmentedSink.take

    def later(self: SegmentedSink, *rest: Any) -> None:
        for thread in threading.enumerate():
            if thread.name == "vsr-decode":
                thread.join()
        take(self, *rest)

    monkeypatch.setattr(SegmentedSink, "take", later)


@pytest.mark.usefixtures("driver_first")
@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_the_beginning_is_joined_while_later_segments_are_made(
    suffix: str, source: Path, warm: WarmGenerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the last segment, of which only the end of the run tells that it has no more frames."""
    complete, early = Joining.complete, []

    def completed(self: Joining, segments: dict[int, Segment]) -> VideoSink:
        early.extend(self._added)
        return complete(self, segments)

    alone, shared = tmp_path / f"alone.{suffix}", tmp_path / f"shared.{suffix}"
    upscaled(source, alone, ONE)
    monkeypatch.setattr(Joining, "complete", completed)
    upscaled(source, shared, TWO, warm)
    assert sorted(early) == list(range((FRAMES - 1) // LENGTH))
    assert contents(shared) == contents(alone)


@pytest.mark.usefixtures("driver_first")
@pytest.mark.parametrize("error", [OutputError("the disk is full"), KeyboardInterrupt()], ids=repr)
def test_a_run_that_ends_while_segments_are_joined_resumes(
    error: BaseException,
    source: Path,
    whole: Path,
    warm: WarmGenerator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    append = VideoSink.append

    def failing(self: VideoSink, *rest: Any) -> None:
        append(self, *rest)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(VideoSink, "append", failing)
        with pytest.raises(type(error)):
            upscaled(source, tmp_path / "out.mkv", TWO, warm)
    assert not (tmp_path / "out.mkv").exists()
    assert not [thread.name for thread in threading.enumerate() if thread.name == "vsr-join"]
    report = upscaled(source, tmp_path / "out.mkv", TWO, warm)
    assert report.frames_kept > 0
    assert contents(tmp_path / "out.mkv") == contents(whole)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mkv"]


def test_damage_is_counted_once(warm: WarmGenerator, source: Path, tmp_path: Path) -> None:
    cut = truncated(source, tmp_path / "cut.mkv", 0.6)
    alone = upscaled(cut, tmp_path / "alone.mkv", ONE)
    shared = upscaled(cut, tmp_path / "shared.mkv", TWO, warm)
    assert shared.damage == alone.damage
    assert shared.exit_code == 10
    assert shared.frames_out == alone.frames_out


def test_an_error_in_a_worker_is_that_of_the_run(
    source: Path, warm: WarmGenerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = many_devices._task

    def other(job: Job, sink: SegmentedSink) -> Task:
        task = make(job, sink)
        return replace(task, key={**task.key, "version of av": "1.0"})

    monkeypatch.setattr(many_devices, "_task", other)
    with pytest.raises(ConfigError, match=r"a worker on cpu has version of av .* not 1\.0"):
        upscaled(source, tmp_path / "out.mkv", TWO, warm)


def test_strict_ends_a_run_of_workers_too(warm: WarmGenerator, source: Path, tmp_path: Path) -> None:
    cut = truncated(source, tmp_path / "cut.mkv", 0.6)
    with pytest.raises(InputError):
        upscaled(cut, tmp_path / "out.mkv", replace(TWO, strict=True), warm)
    assert not (tmp_path / "out.mkv").exists()


def test_workers_that_cannot_start_end_the_run_with_their_last_words(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_MODULE", "no_such_module")
    with pytest.raises(DeviceError, match=r"no worker could start .*no_such_module"):
        upscaled(source, tmp_path / "out.mkv", TWO)
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_worker_that_ended_between_two_files_is_replaced(
    source: Path, whole: Path, warm: WarmGenerator, tmp_path: Path
) -> None:
    with prepare(source, tmp_path / "1.mkv", TWO, overwrite=False, warm=warm) as job:
        run(job)
        for process in processes(job):
            process.kill()
    upscaled(source, tmp_path / "2.mkv", TWO, warm)
    assert contents(tmp_path / "2.mkv") == contents(whole)


def test_workers_need_segments(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="share out the segments"):
        upscaled(source, tmp_path / "out.mkv", replace(TWO, resume=False))


@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_workers_end_with_the_process_that_started_them(source: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "vsr", "upscale", str(source), str(tmp_path / "out.mkv")]
    words += ["--model", "bicubic", "--scale", "2", "--device", "cpu:2"]
    with subprocess.Popen(words, stderr=subprocess.PIPE) as process:
        workers = _children(process.pid)
        while len(workers) < 2 and process.poll() is None:
            time.sleep(0.05)
            workers = _children(process.pid)
        process.kill()
    assert len(workers) == 2
    for _ in range(600):
        if not any(Path(f"/proc/{pid}").exists() for pid in workers):
            return
        time.sleep(0.05)
    raise AssertionError(f"{workers} still run half a minute later")


def _children(pid: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
        except (OSError, IndexError):
            continue
        if int(parent) == pid and b"vsr.pipeline.workers.worker" in words:
            found.append(int(folder.name))
    return found
