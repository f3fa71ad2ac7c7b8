"""What mkvmerge counts in tags of a track (BPS, NUMBER_OF_FRAMES) is true in the output, or left out."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from tests.judges import ffprobe, run
from tests.media.pass_through import pass_through
from tests.media_maker import Audio, make_clip

COUNTS = ("BPS", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "_STATISTICS_TAGS")


@pytest.fixture
def counted(tmp_path: Path) -> Path:
    clip = make_clip(tmp_path / "clip.mkv", frames=50, audio=[Audio()])
    run("mkvmerge", "-q", "-o", str(tmp_path / "in.mkv"), str(clip))
    return tmp_path / "in.mkv"


def stated(path: Path, kind: str) -> dict[str, str]:
    """Return the counts that a track states."""
    (stream,) = [one for one in ffprobe(path)["streams"] if one["codec_type"] == kind]
    return {key: value for key, value in stream.get("tags", {}).items() if key in COUNTS}


def packets(path: Path) -> int:
    return len(ffprobe(path, "-show_packets", "-select_streams", "a")["packets"])


def test_counts_of_a_copied_track_are_kept_and_those_of_the_video_are_not(counted: Path) -> None:
    out = pass_through(counted, counted.with_name("out.mkv")).path
    assert stated(counted, "video").keys() == set(COUNTS)
    assert stated(out, "video") == {}
    assert stated(out, "audio") == stated(counted, "audio")
    assert int(stated(out, "audio")["NUMBER_OF_FRAMES"]) == packets(out)


@pytest.mark.parametrize("part", [{"start": Fraction(1)}, {"end": Fraction(1)}])
def test_counts_of_a_whole_track_are_left_out_of_a_part(part: dict[str, Fraction], counted: Path) -> None:
    out = pass_through(counted, counted.with_name("out.mkv"), **part).path
    assert packets(out) < packets(counted)
    assert stated(out, "audio") == {}
