"""A run that was cut off gives the same packets as one that was not, whatever the source contains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from tests.judges import ffprobe, run
from tests.media.message_maker import active_format, ambient, caption, carrying_clip, dynamic, user_data
from tests.media.passthrough import test_image_subtitles as images
from tests.media.passthrough.test_edits import with_edits
from tests.media_maker import Audio, Subtitle, make_clip
from tests.pipeline.job.interrupted import SETTINGS, contents, cut_off
from vsr.media.audit import verify
from vsr.pipeline.run import upscale


def pgs(folder: Path) -> Path:
    return images.film(folder, "in.m2ts")


def vobsub(folder: Path) -> Path:
    source = images.film(folder, "pgs.mkv")
    run("ffmpeg", "-v", "error", "-i", str(source), "-c:v", "copy", "-c:s", "dvdsub", str(folder / "in.mkv"))
    return folder / "in.mkv"


def dvb(folder: Path) -> Path:
    source = images.film(folder, "pgs.mkv")
    run("ffmpeg", "-v", "error", "-i", str(source), "-c:v", "copy", "-c:s", "dvbsub", str(folder / "in.ts"))
    return folder / "in.ts"


def edited(folder: Path) -> Path:
    """Edits of video, audio and texts that begin inside a frame, a packet and a blank text."""
    lines = ((0.2, 0.3, "hidden"), (2.0, 2.4, "first"), (2.8, 3.4, "last"))
    whole = make_clip(
        folder / "whole.mov",
        pts=[number * 400 for number in range(24)],
        frames=24,
        time_base=Fraction(1, 1000),
        audio=[Audio(seconds=9)],
        subtitles=[Subtitle(codec="mov_text", lines=lines)],
    )
    return with_edits(whole, folder / "in.mov", [(8.0, 1.0)])


def side_data(folder: Path) -> Path:
    makers = (caption, active_format, user_data, ambient, dynamic)
    return carrying_clip(folder / "in.mkv", "hevc", *makers, frames=24, pix_fmt="yuv420p10le")


@pytest.mark.parametrize("make", [pgs, vobsub, dvb, edited, side_data])
def test_a_run_that_was_cut_off_gives_the_same_packets(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    source = make(tmp_path)
    codec = "libx265" if make is side_data else "libx264"
    settings = replace(SETTINGS, encoder=replace(SETTINGS.encoder, encoder=codec))
    whole, resumed = tmp_path / "whole.mkv", tmp_path / "resumed.mkv"
    upscale(source, whole, settings)
    cut_off(source, resumed, settings, after=12)
    report = upscale(source, resumed, settings)
    assert report.frames_kept > 0
    assert contents(resumed) == contents(whole)
    assert verify(source, resumed).lost == ()


def test_side_data_of_every_kind_is_in_every_frame_of_a_resumed_run(tmp_path: Path) -> None:
    source = side_data(tmp_path)
    settings = replace(SETTINGS, encoder=replace(SETTINGS.encoder, encoder="libx265"))
    cut_off(source, tmp_path / "out.mkv", settings, after=12)
    upscale(source, tmp_path / "out.mkv", settings)
    before, after = (kinds(path) for path in (source, tmp_path / "out.mkv"))
    assert len(after) == 24
    assert after == before
    assert "HDR Dynamic Metadata SMPTE2094-40 (HDR10+)" in after[0]


def kinds(path: Path) -> list[set[str]]:
    frames = ffprobe(path, "-show_frames", "-select_streams", "v")["frames"]
    return [{data["side_data_type"] for data in frame.get("side_data_list", ())} for frame in frames]
