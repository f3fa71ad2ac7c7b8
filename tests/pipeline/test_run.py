"""File to file: every frame with its time and colour, and all other streams."""

from __future__ import annotations

import dataclasses
import json
import signal
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import nn

from tests.engine.fakes import BreaksIn16Bits, Hungry, Nearest
from tests.folders import names_in
from tests.media_maker import Audio, Subtitle, make_clip, number_in, numbers_of, pts_of, truncated
from vsr.color.spec import ColorSpec, Matrix, Primaries, Range, Transfer
from vsr.engine.memory import PROBE
from vsr.errors import ConfigError, DeviceError, DeviceMemoryError, InputError, ModelError, VsrError
from vsr.frame import YuvFrame
from vsr.media.mux.sink import VideoSink
from vsr.models.load import LoadedModel
from vsr.pipeline.flow import stages
from vsr.pipeline.job import warm_generator
from vsr.pipeline.job.job import TOGETHER
from vsr.pipeline.preparation import prepare
from vsr.pipeline.run import Progress, run, upscale
from vsr.settings.schema import EncoderSettings, UpscaleSettings

LOSSLESS = EncoderSettings(encoder="ffv1")
FAST = EncoderSettings(crf=12, preset="ultrafast")


def settings(**wishes: object) -> UpscaleSettings:
    values: dict[str, object] = {"model": "bicubic", "scale": Fraction(2), "encoder": FAST, "device": "cpu"}
    return UpscaleSettings(**(values | wishes))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def no_thread_stays_behind() -> Iterator[None]:
    yield
    assert [t.name for t in threading.enumerate() if t.name.startswith("vsr-")] == []


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_variable_rate_b_frames_and_offset_keep_every_timestamp(tmp_path: Path, suffix: str) -> None:
    pts = [3000, 4001, 4500, 9000, 9001, 12345, 20000, 20500, 33000, 33100, 40000]
    source = make_clip(
        tmp_path / "in.mp4",
        pts=pts,
        time_base=Fraction(1, 15000),
        frames=len(pts),
        bframes=2,
        audio=[Audio()],
    )
    target = tmp_path / f"out.{suffix}"
    report = upscale(source, target, settings())
    before, after = pts_of(source), pts_of(target)
    assert len(before) == len(pts)
    # Half a tick of the source, the smallest difference that a player can show.
    assert max(abs((b - before[0]) - (a - after[0])) for b, a in zip(before, after, strict=True)) <= Fraction(
        1, 30000
    )
    assert numbers_of(target) == list(range(len(pts)))
    assert report.frames_in == report.frames_out == len(pts)
    assert report.exit_code == 0


@pytest.mark.parametrize("frames", [1, 2, 3, 7])
@pytest.mark.parametrize("batch", [1, 2, 4])
def test_no_frame_is_lost_for_any_batch_and_length(tmp_path: Path, frames: int, batch: int) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=frames, bframes=2)
    target = tmp_path / "out.mkv"
    upscale(source, target, settings(batch=batch))
    assert numbers_of(target) == list(range(frames))


TAGS = {
    "601 limited": ColorSpec(
        matrix=Matrix.SMPTE170M,
        primaries=Primaries.SMPTE170M,
        transfer=Transfer.SMPTE170M,
        range=Range.LIMITED,
    ),
    "709 full": ColorSpec(
        matrix=Matrix.BT709, primaries=Primaries.BT709, transfer=Transfer.BT709, range=Range.FULL
    ),
    "2020 limited": ColorSpec(
        matrix=Matrix.BT2020_NCL, primaries=Primaries.BT2020, transfer=Transfer.BT2020_10, range=Range.LIMITED
    ),
}


@pytest.mark.parametrize("name", list(TAGS))
@pytest.mark.parametrize(
    "pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p12le", "yuv420p16le", "gray", "gbrp10le"]
)
def test_scale_1_bicubic_returns_every_code_value_within_one(tmp_path: Path, name: str, pix_fmt: str) -> None:
    color = TAGS[name] if pix_fmt.startswith("yuv") else ColorSpec()
    source = make_clip(
        tmp_path / "in.mkv", codec="ffv1", pix_fmt=pix_fmt, color=color, frames=2, width=50, height=38
    )
    target = tmp_path / "out.mkv"
    upscale(source, target, settings(scale=Fraction(1), encoder=LOSSLESS))
    with av.open(str(source)) as a, av.open(str(target)) as b:
        for before, after in zip(a.decode(video=0), b.decode(video=0), strict=True):
            assert after.format.name == before.format.name
            for p, q in zip(before.planes, after.planes, strict=True):
                assert np.abs(codes(p, before) - codes(q, after)).max() <= 1
            if color.matrix is not Matrix.UNSPECIFIED:
                assert (after.colorspace, after.color_range) == (color.matrix, color.range)


def codes(plane: av.video.plane.VideoPlane, frame: av.VideoFrame) -> np.ndarray:
    wide = max(c.bits for c in frame.format.components) > 8
    values = np.frombuffer(bytes(plane), np.uint16 if wide else np.uint8)
    return values.reshape(plane.height, -1)[:, : plane.width].astype(np.int64)


def test_ten_bits_in_are_ten_bits_out_by_default(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", pix_fmt="yuv420p10le", frames=3)
    upscale(source, tmp_path / "out.mp4", settings())
    with av.open(str(tmp_path / "out.mp4")) as box:
        assert box.streams.video[0].codec_context.pix_fmt == "yuv420p10le"


def test_odd_sizes_are_upscaled_completely(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", width=53, height=37, frames=2)
    upscale(source, tmp_path / "out.mkv", settings())
    with av.open(str(tmp_path / "out.mkv")) as box:
        frame = next(box.decode(video=0))
        assert (frame.width, frame.height) == (106, 74)


def test_alpha_is_kept_in_a_container_that_supports_it(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="yuva444p", frames=2, width=32, height=24)
    upscale(source, tmp_path / "out.mkv", settings(encoder=LOSSLESS))
    with av.open(str(source)) as a, av.open(str(tmp_path / "out.mkv")) as b:
        before, after = next(a.decode(video=0)), next(b.decode(video=0))
        assert after.format.name == "yuva444p"
        # A gradient of the alpha plane at twice the size: its mean stays within one code value.
        assert abs(codes(before.planes[3], before).mean() - codes(after.planes[3], after).mean()) < 1


def test_audio_subtitles_and_chapters_are_kept(tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / "in.mkv",
        frames=25,
        audio=[Audio(), Audio(codec="flac", language="deu")],
        subtitles=[Subtitle()],
        chapters=[(0, 0.5, "One"), (0.5, 1, "Two")],
        metadata={"title": "A film"},
    )
    report = upscale(source, tmp_path / "out.mkv", settings())
    with av.open(str(tmp_path / "out.mkv")) as box:
        assert [s.type for s in box.streams] == ["video", "audio", "audio", "subtitle"]
        assert box.streams.audio[1].metadata["language"] == "deu"
        assert [c["metadata"]["title"] for c in box.chapters()] == ["One", "Two"]
        assert box.metadata["title"] == "A film"
    assert [one.fate for one in report.streams] == ["upscaled", *["copied"] * 3]


@pytest.mark.parametrize(
    ("wish", "size"), [({"scale": Fraction(3, 2)}, (96, 72)), ({"scale": Fraction(3)}, (192, 144))]
)
def test_any_scale(tmp_path: Path, wish: dict[str, Fraction], size: tuple[int, int]) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=2)
    with fake_model(Nearest()):
        upscale(source, tmp_path / "out.mkv", settings(**wish))
    with av.open(str(tmp_path / "out.mkv")) as box:
        frame = next(box.decode(video=0))
        assert (frame.width, frame.height) == size


def test_a_time_range_of_the_source_begins_at_zero_and_has_only_its_frames(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=50, audio=[Audio()])
    report = upscale(source, tmp_path / "out.mkv", settings(start=Fraction(4, 5), end=Fraction(6, 5)))
    assert numbers_of(tmp_path / "out.mkv") == list(range(20, 30))
    assert pts_of(tmp_path / "out.mkv")[0] == 0
    assert report.exit_code == 0


class fake_model:  # noqa: N801 - reads as a verb
    """A context in which every model name loads `network`."""

    def __init__(self, network: nn.Module) -> None:
        self.model = LoadedModel(
            network=network,
            name="fake",
            family="fake",
            config=None,
            scale=Fraction(2),
            receptive_radius=0,
            multiple=1,
            parameters=1,
        )

    def __enter__(self) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(warm_generator, "load_generator", lambda *_, **__: self.model)

    def __exit__(self, *_: object) -> None:
        self.patch.undo()


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


@pytest.mark.needs_cuda
def test_cuda_gives_the_result_of_the_cpu(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", frames=9, width=96, height=64)
    for device in ("cpu", "cuda"):
        upscale(
            source,
            tmp_path / f"{device}.mkv",
            settings(device=device, model="fast", encoder=LOSSLESS, batch=2),
        )
    with av.open(str(tmp_path / "cpu.mkv")) as a, av.open(str(tmp_path / "cuda.mkv")) as b:
        for cpu, cuda in zip(a.decode(video=0), b.decode(video=0), strict=True):
            assert number_in(cpu.to_ndarray(format="gray")) == number_in(cuda.to_ndarray(format="gray"))
            # bf16 or TF32 on one side: a few code values at most.
            assert np.abs(codes(cpu.planes[0], cpu) - codes(cuda.planes[0], cuda)).max() <= 4


def test_run_accepts_a_prepared_job(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", frames=3)
    with prepare(source, tmp_path / "out.mkv", settings(), overwrite=False) as job:
        run(job)
        assert job.report.frames_out == 3
    assert (tmp_path / "out.mkv").exists()
