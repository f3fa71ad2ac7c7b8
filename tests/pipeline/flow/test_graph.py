"""A separate thread for the generator changes neither the result nor the way in which runs end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch

from tests.media_maker import make_clip, numbers_of
from vsr.engine.backends.openvino import backend as openvino
from vsr.engine.upscaler import Upscaler
from vsr.errors import DeviceMemoryError, InputError
from vsr.pipeline.job.job import SPREAD, TOGETHER, Job
from vsr.pipeline.run import Progress, upscale
from vsr.settings.schema import EncoderSettings, UpscaleSettings

pytestmark = pytest.mark.skipif(not openvino.available(), reason="the extra `openvino` is not installed")

FRAMES = 12
SETTINGS = UpscaleSettings(
    model="fast-x2", backend="openvino", device="cpu", encoder=EncoderSettings(encoder="ffv1")
)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mkv", frames=FRAMES)


@pytest.fixture(autouse=True)
def threads_as_before() -> object:
    """Check that torch's number of threads is unchanged and no thread is left after each test."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("vsr")]


def test_a_thread_for_the_generator_does_not_change_the_result(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spread = upscale(clip, tmp_path / "spread.mkv", SETTINGS)
    monkeypatch.setattr(Job, "spread", False)
    together = upscale(clip, tmp_path / "together.mkv", SETTINGS)
    assert packets(tmp_path / "spread.mkv") == packets(tmp_path / "together.mkv")
    assert numbers_of(tmp_path / "spread.mkv") == list(range(FRAMES))
    for report, table in ((spread, SPREAD), (together, TOGETHER)):
        assert set(report.busy_seconds) == {stage for thread in table for stage in thread}
        assert report.bottleneck in report.busy_seconds


def packets(path: Path) -> list[tuple[object, ...]]:
    """Return times and bytes of all packets of a file; FFV1's bytes are those of the frames."""
    with av.open(str(path)) as box:
        return [(p.stream_index, p.pts, p.dts, bytes(p)) for p in box.demux()]


def fails(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make the generator fail after its fifth frame."""
    real, calls = Upscaler._attempt, iter(range(1000))

    def attempt(self: Upscaler, *arguments: object) -> object:
        if next(calls) >= 4:
            raise error
        return real(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Upscaler, "_attempt", attempt)


@pytest.mark.parametrize(
    ("error", "raised"),
    [(RuntimeError("a bug"), RuntimeError), (DeviceMemoryError("none left"), DeviceMemoryError)],
)
def test_an_error_of_the_generator_ends_the_run_without_leaving_files(
    error: Exception, raised: type[Exception], clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails(monkeypatch, error)
    with pytest.raises(raised, match=str(error)):
        upscale(clip, tmp_path / "out.mkv", SETTINGS)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mkv"]


def test_an_error_of_the_decoder_passes_through_both_threads(clip: Path, tmp_path: Path) -> None:
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    with pytest.raises(InputError):
        upscale(clip, tmp_path / "out.mkv", UpscaleSettings(model="fast-x2", backend="openvino", strict=True))


@pytest.mark.parametrize("after", [1, 5, FRAMES])
def test_stopping_the_run_does_not_wait_for_a_thread(after: int, clip: Path, tmp_path: Path) -> None:
    def stop() -> Callable[[Progress], None]:
        def check(now: Progress) -> None:
            if now.frames >= after:
                raise KeyboardInterrupt

        return check

    with pytest.raises(KeyboardInterrupt):
        upscale(clip, tmp_path / "out.mkv", SETTINGS, on_progress=stop())
    assert not (tmp_path / "out.mkv").exists()


def test_duplicates_and_time_ranges_work_as_in_other_modes(clip: Path, tmp_path: Path) -> None:
    report = upscale(
        clip,
        tmp_path / "out.mkv",
        replace(SETTINGS, start=Fraction(4, 25), end=Fraction(9, 25)),
    )
    assert report.frames_out == 5
    assert numbers_of(tmp_path / "out.mkv") == list(range(4, 9))
