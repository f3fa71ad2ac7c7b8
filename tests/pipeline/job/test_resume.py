"""A run that was interrupted in any way resumes with the same command, and
gives the result of an uninterrupted run."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch
from safetensors.torch import save_file

from tests.media_maker import Audio, make_clip, numbers_of
from tests.pipeline.job.interrupted import (
    FRAMES,
    LENGTH,
    SETTINGS,
    CutOffError,
    contents,
    cut_off,
    parts,
    stop_after,
)
from vsr.engine.upscaler import Upscaler
from vsr.errors import DeviceError
from vsr.media.decode.facts.probe import probe
from vsr.models.archs.compact import Compact, CompactConfig
from vsr.pipeline.queue.record import NAME
from vsr.pipeline.run import upscale
from vsr.settings.schema import EncoderSettings


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
    upscale(clip, whole, settings)
    cut_off(clip, resumed, settings, after=13)
    cut_off(clip, resumed, settings, after=3)
    report = upscale(clip, resumed, settings)
    assert contents(resumed) == contents(whole)
    assert numbers_of(resumed) == list(range(FRAMES))
    assert report.frames_in == report.frames_out == FRAMES
    assert {path.name for path in tmp_path.glob(".*")} == {NAME}


def test_a_resumed_run_keeps_the_transparency_of_vp9(tmp_path: Path) -> None:
    pts = [3000 + 401 * i + 97 * (i % 3) for i in range(FRAMES)]
    clip = make_clip(
        tmp_path / "in.mkv",
        codec="ffv1",
        pix_fmt="yuva420p",
        frames=FRAMES,
        pts=pts,
        time_base=Fraction(1, 15000),
    )
    for suffix, encoder in (("webm", None), ("mkv", "libvpx-vp9")):
        settings = replace(SETTINGS, encoder=EncoderSettings(encoder=encoder, preset="8"))
        whole, resumed = tmp_path / f"whole.{suffix}", tmp_path / f"resumed.{suffix}"
        upscale(clip, whole, settings)
        cut_off(clip, resumed, settings, after=13)
        report = upscale(clip, resumed, settings)
        assert report.frames_kept > 0
        assert contents(resumed) == contents(whole)
        assert alpha_packets(resumed) == alpha_packets(whole)
        assert len(alpha_packets(whole)) == FRAMES
        assert probe(resumed).pixel_format == "yuva420p"


def alpha_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as box:
        packets = [packet for packet in box.demux(video=0) if packet.size]
        return [bytes(packet.get_sidedata("matroska_block_additional")) for packet in packets]


def test_variable_rate_and_an_offset_are_kept_across_segments(tmp_path: Path) -> None:
    times = [3000 + 401 * i + 97 * (i % 3) for i in range(FRAMES)]
    source = make_clip(
        tmp_path / "in.mp4", frames=FRAMES, pts=times, time_base=Fraction(1, 15000), audio=[Audio()]
    )
    settings = replace(SETTINGS, encoder=EncoderSettings(), segment_seconds=Fraction(1, 8))
    for suffix in ("mkv", "mp4"):
        upscale(source, tmp_path / f"straight.{suffix}", replace(settings, resume=False))
        upscale(source, tmp_path / f"parts.{suffix}", settings)
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
    report = upscale(
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
    upscale(clip, tmp_path / "whole.mkv", settings)
    cut_off(clip, tmp_path / "out.mkv", settings, after=14)
    upscale(clip, tmp_path / "out.mkv", replace(settings, batch=1))  # resumes with its original batch
    assert contents(tmp_path / "out.mkv") == contents(tmp_path / "whole.mkv")


def test_an_existing_output_stays_until_the_new_one_is_complete(clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    target.write_bytes(b"old")
    with pytest.raises(CutOffError):
        upscale(clip, target, SETTINGS, overwrite=True, on_progress=stop_after(20))
    assert target.read_bytes() == b"old"
    upscale(clip, target, SETTINGS, overwrite=True)
    assert numbers_of(target) == list(range(FRAMES))


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
        upscale(clip, tmp_path / "out.mkv", settings)
    assert calls == 15  # a lost context is not used again
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    kept = len(parts(tmp_path))
    assert kept
    assert upscale(clip, tmp_path / "out.mkv", settings).frames_kept == kept * LENGTH
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
    assert {path.name for path in tmp_path.glob(".*")} <= {NAME}
