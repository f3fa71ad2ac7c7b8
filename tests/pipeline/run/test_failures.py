"""Whole runs that meet errors, interrupts and damage: no frame is lost unnoticed, no half file stays."""

from __future__ import annotations

import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.engine.fakes import BreaksIn16Bits, Hungry, Nearest
from tests.folders import names_in
from tests.media_maker import Audio, make_clip, numbers_of, truncated
from tests.pipeline.run.runs import fake_model, settings
from vsr.engine.memory import PROBE
from vsr.errors import DeviceError, DeviceMemoryError, InputError, VsrError
from vsr.frame import YuvFrame
from vsr.media.mux.sink import VideoSink
from vsr.pipeline.flow import stages
from vsr.pipeline.run import Progress, upscale


def test_out_of_memory_during_the_run_loses_no_frame(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=7)
    with fake_model(Hungry(limit=64 * 48)):
        report = upscale(source, tmp_path / "out.mkv", settings(batch=4))
    assert numbers_of(tmp_path / "out.mkv") == list(range(7))
    assert report.engine["redone_smaller"] > 0


def test_broken_frames_are_recomputed_and_counted(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=5)
    with fake_model(BreaksIn16Bits(float("nan"))):
        report = upscale(source, tmp_path / "out.mkv", settings(precision="bf16", batch=2))
    assert numbers_of(tmp_path / "out.mkv") == list(range(5))
    assert report.engine["redone_in_fp32"] == 5


class FailsAt(Nearest):
    """Raises an error at its n-th frame."""

    def __init__(self, error: Exception, at: int) -> None:
        super().__init__()
        self.error, self.left = error, [at]

    def __deepcopy__(self, memo: object) -> FailsAt:
        return self

    def to(self, *args: object, **kwargs: object) -> FailsAt:
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] == PROBE:
            return x.repeat_interleave(2, -1).repeat_interleave(2, -2)
        self.left[0] -= 1
        if self.left[0] < 0:
            raise self.error
        return super().forward(x)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (RuntimeError("a bug"), RuntimeError),
        (RuntimeError("CUDA error: an illegal address"), DeviceError),
        (DeviceMemoryError("none left"), DeviceMemoryError),
    ],
)
def test_an_error_during_the_run_leaves_only_the_old_file(
    tmp_path: Path, error: Exception, raised: type[Exception]
) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=12)
    target = tmp_path / "out.mkv"
    target.write_bytes(b"what was there before")
    with fake_model(FailsAt(error, at=6)), pytest.raises(raised):
        upscale(source, target, settings(), overwrite=True)
    assert target.read_bytes() == b"what was there before"
    assert names_in(tmp_path) == ["in.mkv", "out.mkv"]


def test_an_interrupt_leaves_no_file(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=30)

    def interrupt(progress: Progress) -> None:
        if progress.frames == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upscale(source, tmp_path / "out.mkv", settings(), on_progress=interrupt)
    assert names_in(tmp_path) == ["in.mkv"]


def test_damage_is_counted_and_the_run_continues(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mkv", frames=60, gop=10)
    source = truncated(whole, tmp_path / "in.mkv", 0.5)
    report = upscale(source, tmp_path / "out.mkv", settings())
    assert 0 < report.frames_out < 60
    assert report.damage.missing_frames > 0
    assert report.exit_code == 10
    assert len(numbers_of(tmp_path / "out.mkv")) == report.frames_out


def test_damage_of_audio_also_counts(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.ts", frames=30, audio=[Audio()])
    data = bytearray(source.read_bytes())
    headers = [n for n in range(len(data) - 3) if data[n : n + 3] == b"\xff\xf1\x4c"]
    data[headers[20] + 2] |= 0x3C  # a sampling rate that does not exist
    source.write_bytes(data)
    report = upscale(source, tmp_path / "out.mkv", settings())
    assert report.frames_out == 30
    assert report.damage.broken_packets > 0
    assert report.exit_code == 10


def test_out_of_memory_outside_the_generator_is_retried_and_then_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=6)
    real, calls = stages.to_planes, []

    def scarce(image, color, layout, *, every: int):  # type: ignore[no-untyped-def]
        calls.append(1)
        if len(calls) % every == 0:
            raise RuntimeError("CUDA out of memory")
        return real(image, color, layout)

    monkeypatch.setattr(stages, "to_planes", partial(scarce, every=3))
    upscale(source, tmp_path / "out.mkv", settings())
    assert numbers_of(tmp_path / "out.mkv") == list(range(6))
    monkeypatch.setattr(stages, "to_planes", partial(scarce, every=1))
    with pytest.raises(DeviceMemoryError, match="after all retries"):
        upscale(source, tmp_path / "none.mkv", settings())
    assert names_in(tmp_path) == ["in.mkv", "out.mkv"]


class Slow(FailsAt):
    """Takes a long time for each frame."""

    def __init__(self) -> None:
        super().__init__(RuntimeError("never"), at=10**9)
        self.begun, self.released = threading.Event(), threading.Event()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] != PROBE:
            self.begun.set()
            self.released.wait(60)
        return super().forward(x)


def test_an_interrupt_during_computation_removes_the_file_at_once(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=3)
    network = Slow()
    seen_at_abort: list[list[str]] = []

    def interrupt() -> None:
        network.begun.wait(30)
        time.sleep(0.2)  # the main thread is waiting for its first frame
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # as the kernel does

    def look() -> None:
        network.begun.wait(30)
        time.sleep(5)  # after the interrupt, and before the network is released
        seen_at_abort.append(names_in(tmp_path))
        network.released.set()

    threads = [threading.Thread(target=interrupt), threading.Thread(target=look)]
    for thread in threads:
        thread.start()
    with fake_model(network), pytest.raises(KeyboardInterrupt):
        upscale(source, tmp_path / "out.mkv", settings())
    for thread in threads:
        thread.join()
    assert seen_at_abort == [["in.mkv"]], "the temporary file existed during the wait for the thread"


def test_an_interrupt_during_encoding_removes_the_file_before_waiting_for_the_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=30)
    encoding, seen = threading.Event(), list[list[str]]()
    real = VideoSink.write

    def slow(sink: VideoSink, frame: YuvFrame) -> None:
        encoding.set()
        time.sleep(1)
        seen.append(sorted(p.name for p in tmp_path.rglob("*") if p.is_file()))
        real(sink, frame)

    def interrupt(_: Progress) -> None:
        encoding.wait(30)
        raise KeyboardInterrupt

    monkeypatch.setattr(VideoSink, "write", slow)
    with pytest.raises(KeyboardInterrupt):
        upscale(source, tmp_path / "out.mkv", settings(resume=False), on_progress=interrupt)
    assert seen == [["in.mkv", "lock"]]  # of the work folder only its lock is left
    assert names_in(tmp_path) == ["in.mkv"]


def test_an_input_that_changes_during_the_run_is_reported(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=20)

    def disturb(_: Progress) -> None:
        with source.open("ab") as file:
            file.write(b"x")

    report = upscale(source, tmp_path / "out.mkv", settings(), on_progress=disturb)
    assert report.exit_code == 10
    assert any("changed while it was read" in note for note in report.damage.notes)


def test_strict_stops_at_damage_and_leaves_no_file(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mkv", frames=60, gop=10)
    source = truncated(whole, tmp_path / "in.mkv", 0.5)
    with pytest.raises(InputError):
        upscale(source, tmp_path / "out.mkv", settings(strict=True))
    assert not (tmp_path / "out.mkv").exists()


def test_a_lost_frame_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=6)
    real = stages.download

    def leaky(*args, **kwargs):  # type: ignore[no-untyped-def]
        return (f for i, f in enumerate(real(*args, **kwargs)) if i != 3)

    monkeypatch.setattr(stages, "download", leaky)
    with pytest.raises(VsrError, match="6 frames were read but 5"):
        upscale(source, tmp_path / "out.mkv", settings())
    assert not (tmp_path / "out.mkv").exists()
