"""A trimmed video begins with the timecode of its first frame."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from pathlib import Path

import pytest

from tests.judges import ffprobe
from tests.media.pass_through import pass_through
from tests.media_maker import Audio, make_clip, numbers_of
from vsr.media.decode.facts.probe import probe
from vsr.media.metadata.timecode import later

NTSC = Fraction(30000, 1001)


def counted(nominal: int, dropped: int, mark: str) -> list[str]:
    """Return all timecodes of the first 21 minutes, counted one by one."""
    return [
        f"00:{minute:02d}:{second:02d}{mark}{frame:02d}"
        for minute in range(21)
        for second in range(60)
        for frame in range(nominal)
        if not (second == 0 and frame < dropped and minute % 10)
    ]


@pytest.mark.parametrize(
    ("rate", "codes"),
    [
        (Fraction(25), counted(25, 0, ":")),
        (Fraction(24000, 1001), counted(24, 0, ":")),
        (NTSC, counted(30, 0, ":")),
        (NTSC, counted(30, 2, ";")),
        (2 * NTSC, counted(60, 4, ";")),
    ],
)
def test_timecodes_are_counted_as_in_the_standard(rate: Fraction, codes: list[str]) -> None:
    for distance in (0, 1, 29, 1798, 17981, 17982, 17999, 20000):
        pairs = zip(codes, islice(codes, distance, None), strict=False)
        assert all(later(before, distance, rate) == after for before, after in list(pairs)[::97])


def test_a_day_ends_at_midnight() -> None:
    assert later("23:59:59:24", 1, Fraction(25)) == "00:00:00:00"
    assert later("23:59:59;29", 1, NTSC) == "00:00:00;00"


@pytest.mark.parametrize("text", ["", "1:2:3", "00:00:00", "later"])
def test_text_that_is_not_a_timecode_is_unchanged(text: str) -> None:
    assert later(text, 10, Fraction(25)) == text


@pytest.mark.parametrize(
    ("suffix", "rate", "code", "start", "moved"),
    [
        (".mov", Fraction(25), "01:02:03:04", Fraction(2, 5), "01:02:03:14"),
        (".mp4", Fraction(25), "01:02:03:04", Fraction(1, 2), "01:02:03:17"),
        (".mkv", Fraction(25), "01:02:03:04", Fraction(2, 5), "01:02:03:14"),
        (".mov", NTSC, "00:00:59;25", Fraction(5) / NTSC, "00:01:00;02"),
    ],
)
def test_a_trimmed_video_begins_with_its_first_frames_timecode(
    tmp_path: Path, suffix: str, rate: Fraction, code: str, start: Fraction, moved: str
) -> None:
    source = make_clip(
        tmp_path / "in.mov",
        rate=rate,
        frames=20,
        video_metadata={"timecode": code},
        audio=[Audio(codec="pcm_s16le")],
    )
    made = pass_through(source, tmp_path / f"out{suffix}", start=start)
    skipped = numbers_of(made.path)[0]
    assert later(code, skipped, rate) == moved
    reported = ffprobe(made.path)
    found = {
        value
        for part in (reported["format"], *reported["streams"])
        for key, value in part.get("tags", {}).items()
        if key.lower() == "timecode"
    }
    assert found == {moved}


def test_a_start_between_two_frames_of_a_clock_of_frames_counts_from_the_frame_after_it(
    tmp_path: Path,
) -> None:
    """A tick of MXF lasts as long as a frame."""
    source = tmp_path / "in.mxf"
    make_clip(source, codec="mpeg2video", frames=20, metadata={"timecode": "01:02:03:04"})
    made = pass_through(source, tmp_path / "out.mov", start=Fraction(41, 100)).path
    assert numbers_of(made)[0] == 11
    assert ffprobe(made)["streams"][0]["tags"]["timecode"] == "01:02:03:15"


def test_a_timecode_that_matroska_keeps_as_a_tag_is_not_reported_as_left_out(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mov", frames=5, video_metadata={"timecode": "01:02:03:04"})
    passed = pass_through(source, tmp_path / "out.mkv")
    assert ffprobe(passed.path)["streams"][0]["tags"]["TIMECODE"] == "01:02:03:04"
    assert not any("left out" in warning for warning in passed.warnings)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_raw_dv_has_its_frame_rate_and_keeps_its_timecode(tmp_path: Path, suffix: str) -> None:
    source = make_clip(tmp_path / "in.dv", codec="dvvideo", width=720, height=576, frames=5)
    assert probe(source).frame_rate == 25
    passed = pass_through(source, tmp_path / f"out{suffix}")
    (video, *_) = ffprobe(passed.path)["streams"]
    assert video["r_frame_rate"] == video["avg_frame_rate"] == "25/1"
    assert not any("timecode" in warning for warning in passed.warnings)
