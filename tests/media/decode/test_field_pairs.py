"""H.264 whose two fields are packets of their own: each frame counts once and lasts for both."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from tests.judges import ffprobe
from tests.media.pass_through import pass_through
from tests.paff_maker import write_paff
from vsr.media.decode.source import open_video


@pytest.mark.parametrize("bottom_first", [False, True])
@pytest.mark.parametrize("suffix", ["ts", "mkv", "mp4", "mov"])
def test_a_frame_of_two_packets_counts_once_and_lasts_for_both(
    tmp_path: Path, suffix: str, bottom_first: bool
) -> None:
    source = tmp_path / f"in.{suffix}"
    write_paff(source, 25, bottom_first=bottom_first)
    assert len(ffprobe(source, "-show_packets")["packets"]) == 50
    assert len(ffprobe(source, "-show_frames")["frames"]) == 25
    with open_video(source, threads=1) as video:
        frames = list(video.frames())
        assert not video.damage, video.damage.notes
        assert video.info.field_order == ("bottom-first" if bottom_first else "top-first")
    assert len(frames) == 25
    ticks = [frame.stamp.duration * frame.stamp.time_base for frame in frames]
    assert all(abs(length - Fraction(1, 25)) <= Fraction(1, 500) for length in ticks)


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_the_last_frame_is_as_long_as_the_others_in_the_output(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / "in.ts"
    write_paff(source, 25)
    made = pass_through(source, tmp_path / f"out.{suffix}").path
    assert float(ffprobe(made)["format"]["duration"]) == pytest.approx(1.0, abs=0.001)


def test_fields_that_are_cut_off_are_missing(tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    write_paff(source, 25)
    data = source.read_bytes()
    at = data.index(b"mdat") + 40_000
    source.write_bytes(data[:at] + bytes(60_000) + data[at + 60_000 :])
    with open_video(source, threads=1) as video:
        frames = sum(1 for _ in video.frames())
        assert frames == 25 or video.damage.missing_frames or video.damage.broken_packets
        assert video.damage


@pytest.mark.parametrize("suffix", ["ts", "mkv", "mp4"])
def test_a_range_of_such_a_video_has_the_same_frames_and_no_damage(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"in.{suffix}"
    write_paff(source, 100, every=20)
    with open_video(source, threads=1) as video:
        whole = [frame.stamp.seconds for frame in video.frames()]
    with open_video(source, threads=1, start=Fraction(3)) as video:
        ranged = [frame.stamp.seconds for frame in video.frames()]
        assert not video.damage, video.damage.notes
    assert ranged == whole[75:]
