"""`vsr upscale` on the command line: what it prints, and what it says before the work."""

from __future__ import annotations

import json
from pathlib import Path

import av
import pytest
import torch
from safetensors.torch import save_file

from tests.cli.run_cli import run_cli
from tests.media.fake_gpu import FakeGpu
from tests.media_maker import Audio, Subtitle, make_clip, numbers_of
from vsr.media.decode import hwaccel
from vsr.models.archs.compact import Compact, CompactConfig
from vsr.pipeline.estimate.dry_run import dry_run
from vsr.pipeline.run import upscale
from vsr.settings.schema import EncoderSettings, UpscaleSettings

Capture = pytest.CaptureFixture[str]
QUICK = ("--model", "bicubic", "--scale", "2", "--preset", "ultrafast", "--device", "cpu")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mkv", frames=6)


def test_a_clip_is_upscaled_and_the_summary_names_the_bottleneck(
    clip: Path, tmp_path: Path, capfd: Capture
) -> None:
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.mkv", *QUICK)
    assert done.code == 0
    assert numbers_of(tmp_path / "out.mkv") == list(range(6))
    assert "6 frames" in done.err
    assert "bottleneck" in done.err
    assert done.out == ""  # only data go to stdout


def test_quiet_prints_nothing(clip: Path, tmp_path: Path, capfd: Capture) -> None:
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.mkv", *QUICK, "-q")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_dry_run_prints_the_plan_and_writes_nothing(tmp_path: Path, capfd: Capture) -> None:
    clip = make_clip(
        tmp_path / "in.mkv", frames=30, audio=[Audio()], attachments=[("a.ttf", "font/ttf", b"x" * 9)]
    )
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.mp4", *QUICK, "--dry-run")
    assert done.code == 0
    for word in ("64x48", "128x96", "fps measured", "MiB", "30 frames", "audio aac: copied", ".mkv"):
        assert word in done.out, done.out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mkv"]


def test_the_estimated_size_equals_that_of_the_run(tmp_path: Path) -> None:
    """For a clip no longer than the measurement, the estimate includes every frame."""
    clip = make_clip(tmp_path / "in.mkv", frames=30)
    wish = UpscaleSettings(model="bicubic", encoder=EncoderSettings(preset="slow"), device="cpu")
    forecast = dry_run(clip, tmp_path / "out.mkv", wish)
    upscale(clip, tmp_path / "out.mkv", wish)
    with av.open(str(tmp_path / "out.mkv")) as box:
        real = sum(packet.size for packet in box.demux(video=0))
    assert forecast.picture_bytes * 30 == pytest.approx(real, rel=0.02)  # the parameter sets in the header
    assert forecast.fps > 0


def test_report_is_written(clip: Path, tmp_path: Path, capfd: Capture) -> None:
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.mkv", *QUICK, "--report", tmp_path / "r.json")
    assert done.code == 0
    assert json.loads((tmp_path / "r.json").read_text())["frames_out"] == 6


def test_streams_that_a_container_cannot_hold_are_reported_before_the_work(
    tmp_path: Path, capfd: Capture
) -> None:
    clip = make_clip(
        tmp_path / "in.mkv", frames=3, subtitles=[Subtitle()], attachments=[("a.ttf", "font/ttf", b"x")]
    )
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.mp4", *QUICK)
    assert done.code == 0
    warnings = [line for line in done.err.splitlines() if "warning" in line and "attachment" in line]
    assert len(warnings) == 1
    assert ".mkv" in warnings[0]
    with av.open(str(tmp_path / "out.mp4")) as box:
        assert [s.type for s in box.streams] == ["video", "subtitle"]


def test_the_header_and_the_dry_run_name_encoder_quality_filters_and_strength(
    clip: Path, tmp_path: Path, capfd: Capture
) -> None:
    words = (
        "upscale",
        clip,
        tmp_path / "out.mkv",
        "-p",
        "anime",
        "--device",
        "cpu",
        "--encoder",
        "libx264",
        "-y",
    )
    facts = (
        "libx264, crf 17, preset medium",
        "strength 0",
        "filters before: deblock=",
        "filters after: deband=",
    )
    dry = run_cli(capfd, *words, "--dry-run").out
    run = run_cli(capfd, *words).err
    for text in (dry, run):
        assert [fact for fact in (*facts, "settings of anime") if fact not in text] == []
        assert "libx264 replaces libx265" in text
        assert "tune=animation left out" in text


def test_the_reason_for_auto_claims_no_speed(clip: Path, tmp_path: Path, capfd: Capture) -> None:
    """What is real time depends on the size of the frames and on the machine; `vsr bench` measures it."""
    done = run_cli(capfd, "upscale", clip, tmp_path / "out.mkv", "--device", "cpu")
    assert "auto: an eighth of the work of compact, for a CPU" in done.err
    assert "real time" not in done.err


def test_without_a_command_help_is_shown_without_an_error(capfd: Capture) -> None:
    done = run_cli(capfd)
    assert done.code == 2
    assert "Usage" in done.out + done.err
    assert "error" not in done.err


def test_names_with_control_characters_do_not_reach_the_terminal(tmp_path: Path, capfd: Capture) -> None:
    done = run_cli(capfd, "upscale", tmp_path / "evil\x1b[2J.mp4", tmp_path / "out.mkv", *QUICK)
    assert done.code == 3
    assert "\x1b[2J" not in done.err


def test_strength_interpolates_two_files_and_requires_a_second(
    clip: Path, tmp_path: Path, capfd: Capture
) -> None:
    for seed, name in enumerate(("a", "b")):
        torch.manual_seed(seed)
        save_file(Compact(CompactConfig(nf=8, nc=2, scale=2)).state_dict(), tmp_path / f"{name}.safetensors")
    words = (
        "upscale",
        clip,
        tmp_path / "out.mkv",
        "-m",
        tmp_path / "a.safetensors",
        "--strength",
        "0.5",
        "-y",
    )
    alone = run_cli(capfd, *words)
    assert alone.code == 2
    assert "partner" in alone.line
    done = run_cli(capfd, *words, "--partner", tmp_path / "b.safetensors")
    assert done.code == 0, done.err


def test_a_gpu_that_decodes_is_named_and_does_not_change_the_result(
    clip: Path, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, plain = tmp_path / "card.json", tmp_path / "plain.mkv"
    assert run_cli(capfd, "upscale", clip, plain, *QUICK).code == 0
    FakeGpu().install(monkeypatch)
    words = ("upscale", clip, tmp_path / "card.mkv", *QUICK, "--hwaccel", "cuda")
    assert "yuv420p, h264 decoded on cuda:0" in run_cli(capfd, *words, "--dry-run").out
    done = run_cli(capfd, *words, "--report", told)
    assert "in.mkv 64x48 yuv420p decoded on cuda:0 -> " in done.err
    assert json.loads(told.read_text())["decoder"] == "cuda:0"
    with av.open(str(tmp_path / "card.mkv")) as ours, av.open(str(plain)) as expected:
        assert [(p.pts, bytes(p)) for p in ours.demux()] == [(p.pts, bytes(p)) for p in expected.demux()]


def test_without_a_gpu_auto_decodes_in_software_with_a_message_and_cuda_is_rejected(
    clip: Path, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hwaccel, "missing", lambda card: f"no card {card}")
    words = ("upscale", clip, tmp_path / "out.mkv", *QUICK, "--hwaccel")
    refused = run_cli(capfd, *words, "cuda")
    assert refused.code == 7
    assert refused.line.endswith(
        "--hwaccel cuda is impossible: no card 0; use --hwaccel auto, or leave it out"
    )
    assert not (tmp_path / "out.mkv").exists()
    done = run_cli(capfd, *words, "auto")
    assert done.code == 0
    assert done.err.count("--hwaccel auto: no card 0; software decodes the same frames instead") == 1
    assert numbers_of(tmp_path / "out.mkv") == list(range(6))
