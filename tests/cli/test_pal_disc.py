"""A user has a PAL disc: interlaced, anamorphic; the result is to be 1080p50 with square pixels."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

import vsr
from tests.cli.run_cli import run_cli
from tests.judges import ffprobe, mediainfo, mkvmerge
from tests.media_maker import Audio, make_clip

WIDE = Fraction(64, 45)


def test_one_command_makes_1080p50_with_square_pixels(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    disc = make_clip(
        tmp_path / "disc.mpg",
        codec="mpeg2video",
        options={"b:v": "2M"},
        width=720,
        height=576,
        frames=5,
        sar=WIDE,
        interlaced="top",
        audio=[Audio(codec="mp2")],
    )
    result = tmp_path / "film.mkv"
    words = ("--deinterlace", "double", "--height", "1080", "--square-pixels")
    quick = ("--model", "bicubic", "--preset", "ultrafast")
    planned = run_cli(capfd, "upscale", disc, result, *words, *quick, "--dry-run")
    assert "1920x1080" in planned.out
    assert "each field of interlaced frames becomes a frame" in planned.out
    done = run_cli(capfd, "upscale", disc, result, *words, *quick)
    assert done.code == 0, done.err
    assert "1920x1080" in done.err
    video, audio = ffprobe(result)["streams"]
    assert (video["width"], video["height"]) == (1920, 1080)
    assert (video["sample_aspect_ratio"], video["display_aspect_ratio"]) == ("1:1", "16:9")
    assert (video["avg_frame_rate"], video["field_order"]) == ("50/1", "progressive")
    assert audio["codec_name"] == "mp2"
    times = [
        float(one["pts_time"]) for one in ffprobe(result, "-show_packets", "-select_streams", "v")["packets"]
    ]
    steps = [b - a for a, b in zip(sorted(times), sorted(times)[1:], strict=False)]
    assert len(times) == 10
    assert all(abs(step - 0.02) < 1e-6 for step in steps)
    shown = mediainfo(result)[1]
    assert (shown["Width"], shown["Height"], shown["FrameRate"]) == ("1920", "1080", "50.000")
    assert (shown["PixelAspectRatio"], shown["DisplayAspectRatio"]) == ("1.000", "1.778")
    assert shown["ScanType"] == "Progressive"
    judged = run_cli(capfd, "verify", disc, result)
    assert judged.code == 0
    assert "that --deinterlace double makes of the source" in judged.out


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov", "webm"])
def test_square_pixels_are_stated_by_container_and_stream(tmp_path: Path, suffix: str) -> None:
    source = make_clip(tmp_path / "in.mkv", width=72, height=58, frames=3, sar=WIDE)
    result = tmp_path / f"out.{suffix}"
    vsr.upscale(source, result, model="bicubic", square_pixels=True)
    video = ffprobe(result)["streams"][0]
    assert (video["width"], video["height"], video["sample_aspect_ratio"]) == (204, 116, "1:1")
    if suffix in ("mkv", "webm"):
        track = mkvmerge(result)["tracks"][0]["properties"]
        assert track["display_dimensions"] == track["pixel_dimensions"] == "204x116"
    assert mediainfo(result)[1]["PixelAspectRatio"] == "1.000"
    assert vsr.verify(source, result).lost == ()


def test_without_the_flag_the_pixels_keep_their_shape(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", width=72, height=58, frames=3, sar=WIDE)
    vsr.upscale(source, tmp_path / "out.mkv", model="bicubic")
    assert ffprobe(tmp_path / "out.mkv")["streams"][0]["sample_aspect_ratio"] == "64:45"
