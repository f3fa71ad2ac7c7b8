"""A frame or a text in which an edit of MP4 or QuickTime begins is shown, and the rest keeps its time."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest

from tests.judges import ffprobe, run
from tests.media.pass_through import pass_through
from tests.media.passthrough.test_edits import boxes, with_edits
from tests.media_maker import Audio, Subtitle, make_clip, numbers_of
from vsr.media.audit import verify
from vsr.media.decode.facts.probe import probe
from vsr.media.decode.source import open_video
from vsr.media.decoders.edited_times import LEAST
from vsr.media.formats.sample_times import showings_of

SLIDES = (0, 2000, 5000, 6000, 9000, 10000)
"""Milliseconds at which the frames of `slides` begin."""


def slides(path: Path, **more: object) -> Path:
    """Write frames that are shown for seconds."""
    shape = {"pts": SLIDES, "frames": len(SLIDES), "time_base": Fraction(1, 1000)}
    return make_clip(path, **{**shape, **more})


Edit = tuple[float, float | None]
"""Duration of an edit and the time at which it begins, in seconds; None shows nothing."""


def edited(whole: Path, path: Path, edits: Sequence[Edit]) -> Path:
    """Copy a film with these edits; times count from its first frame, which B-frames delay in its track."""
    film = boxes(dict(boxes(whole.read_bytes()))[b"moov"])
    track = boxes(next(content for kind, content in film if kind == b"trak"))
    scale = int.from_bytes(dict(boxes(dict(track)[b"mdia"]))[b"mdhd"][12:16], "big")
    delay = int.from_bytes(dict(boxes(dict(track)[b"edts"]))[b"elst"][12:16], "big")
    rows = [(length, -1 if begin is None else begin * scale + delay) for length, begin in edits]
    return with_edits(whole, path, [(length, ticks / scale) for length, ticks in rows])


def frame_times(path: Path) -> list[float]:
    frames = ffprobe(path, "-show_frames", "-select_streams", "v")["frames"]
    return [float(frame["best_effort_timestamp_time"]) for frame in frames]


def text_times(path: Path) -> list[tuple[float, float]]:
    """Return begin and duration of each text that is not blank."""
    packets = ffprobe(path, "-show_packets", "-select_streams", "s")["packets"]
    return [(float(p["pts_time"]), float(p["duration_time"])) for p in packets if int(p["size"]) > 3]


def lost(source: Path, made: Path) -> list[str]:
    """Return what `vsr verify` finds lost, except that the frames are not larger."""
    return [line for line in verify(source, made).lost if not line.startswith("size:")]


CODECS = {
    "mjpeg": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "x264": {"codec": "libx264"},
    "x264 with B-frames": {"codec": "libx264", "bframes": 2},
}


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
@pytest.mark.parametrize("codec", CODECS)
def test_a_frame_in_which_an_edit_begins_is_shown_and_the_rest_keeps_its_time(
    tmp_path: Path, codec: str, suffix: str
) -> None:
    whole = slides(tmp_path / "whole.mov", audio=[Audio(seconds=10)], **CODECS[codec])
    source = edited(whole, tmp_path / "in.mov", [(6.5, 3.0)])
    made = pass_through(source, tmp_path / f"out{suffix}").path
    assert numbers_of(made) == [1, 2, 3, 4]
    assert frame_times(made) == [0, 2, 3, 6]
    assert float(ffprobe(made)["format"]["duration"]) == pytest.approx(6.5, abs=0.05)
    assert lost(source, made) == []


def test_the_count_of_frames_includes_the_one_in_which_an_edit_begins(tmp_path: Path) -> None:
    whole = slides(tmp_path / "whole.mov", **CODECS["x264 with B-frames"])
    source = edited(whole, tmp_path / "in.mov", [(6.5, 3.0)])
    info = probe(source)
    assert info.frames_promised == 4
    assert info.start_seconds == 0
    with open_video(source) as video:
        assert len(list(video)) == 4
        assert not video.damage


@pytest.mark.parametrize(
    ("edits", "numbers", "times"),
    [
        ([(2.0, 3.0), (3.0, 7.0)], [1, 3, 4], [0, 2, 4]),
        ([(1.0, None), (3.0, 3.0)], [1, 2], [1, 3]),
        ([(2.0, 3.0), (2.0, 3.0)], [1, 1], [0, 2]),
        ([(1.5, 8.0), (2.5, 0.5)], [3, 4, 0, 1], [0, 1, 1.5, 3]),
        ([(2.0, 5.0), (3.0, 6.0)], [2, 3, 3], [0, 1, 2]),
        ([(2.0, 0.0), (3.0, 6.0), (1.0, 2.0)], [0, 3, 1], [0, 2, 5]),
    ],
    ids=[
        "two edits",
        "after an empty edit",
        "the same edit twice",
        "in another order",
        "between frames",
        "between frames, from the start",
    ],
)
@pytest.mark.parametrize("codec", CODECS)
def test_each_edit_may_begin_inside_a_frame_or_between_two(
    tmp_path: Path, codec: str, edits: Sequence[Edit], numbers: list[int], times: list[float]
) -> None:
    source = edited(slides(tmp_path / "whole.mov", **CODECS[codec]), tmp_path / "in.mov", edits)
    made = pass_through(source, tmp_path / "out.mkv").path
    assert numbers_of(made) == numbers
    assert [time - frame_times(made)[0] + times[0] for time in frame_times(made)] == times


def test_less_than_a_frame_of_the_usual_rate_is_left_out_as_players_do(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mov", codec="mjpeg", pix_fmt="yuvj420p", frames=50)
    source = edited(whole, tmp_path / "in.mov", [(1.0, 0.81)])
    made = pass_through(source, tmp_path / "out.mkv").path
    assert numbers_of(made) == list(range(21, 46))
    assert frame_times(made) == pytest.approx([number / 25 for number in range(25)])


def test_a_lossless_cut_by_ffmpeg_inside_a_long_frame_keeps_video_and_audio_together(tmp_path: Path) -> None:
    audio = [Audio(seconds=11)]
    whole = slides(tmp_path / "whole.mp4", options={"g": "1"}, gop=1, audio=audio)
    source = tmp_path / "in.mp4"
    run("ffmpeg", "-v", "error", "-ss", "3.0", "-i", str(whole), "-c", "copy", str(source))
    made = pass_through(source, tmp_path / "out.mkv").path
    assert frame_times(made) == pytest.approx([max(0, time / 1000 - 3) for time in SLIDES[1:]], abs=0.002)
    assert numbers_of(made) == [1, 2, 3, 4, 5]
    assert lost(source, made) == []


def test_a_part_of_such_a_film_has_the_same_frames(tmp_path: Path) -> None:
    whole = slides(tmp_path / "whole.mov", gop=2)
    source = edited(whole, tmp_path / "in.mov", [(6.5, 3.0)])
    with open_video(source) as video:
        frames = [frame.stamp for frame in video]
        assert [stamp.seconds for stamp in frames] == [0, 2, 3, 6]
        for first in range(4):
            assert [frame.stamp for frame in video.frames(first)] == frames[first:]
    made = pass_through(source, tmp_path / "out.mkv", start=Fraction(5, 2), end=Fraction(13, 2)).path
    assert numbers_of(made) == [3, 4]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
@pytest.mark.parametrize("cut", [0.7, 1.2], ids=["blank", "text"])
def test_texts_after_an_edit_that_begins_inside_one_keep_their_times(
    tmp_path: Path, suffix: str, cut: float
) -> None:
    lines = ((0.2, 0.3, "hidden"), (1.0, 1.5, "first"), (1.6, 1.7, "last"))
    whole = make_clip(
        tmp_path / "whole.mov",
        codec="mjpeg",
        pix_fmt="yuvj420p",
        frames=60,
        rate=Fraction(20),
        subtitles=[Subtitle(codec="mov_text", lines=lines)],
    )
    source = edited(whole, tmp_path / "in.mov", [(1.0, cut)])
    made = pass_through(source, tmp_path / f"out{suffix}").path
    expected = [(max(begin - cut, 0), end - max(begin, cut)) for begin, end, _ in lines[1:]]
    assert text_times(made) == [pytest.approx(pair, abs=0.002) for pair in expected]
    assert lost(source, made) == []


def test_a_film_without_edits_inside_frames_is_read_as_ffmpeg_does(tmp_path: Path) -> None:
    source = slides(tmp_path / "in.mov", **CODECS["x264 with B-frames"])
    made = pass_through(source, tmp_path / "out.mkv").path
    assert frame_times(made) == frame_times(source)


@pytest.mark.parametrize("speed", [0, 1 << 15, 1 << 17], ids=["a frame is held", "half", "twice"])
def test_another_speed_of_an_edit_is_reported_before_the_work(tmp_path: Path, speed: int) -> None:
    source = edited(slides(tmp_path / "whole.mov"), tmp_path / "in.mov", [(6.5, 3.0)])
    with open_video(source) as video:
        assert not video.warnings
    data = source.read_bytes()
    at = data.index(b"elst") + 20
    assert data[at : at + 4] == (1 << 16).to_bytes(4, "big")
    source.write_bytes(data[:at] + speed.to_bytes(4, "big") + data[at + 4 :])
    with open_video(source) as video:
        (line,) = video.warnings
    assert "play a part of it at another speed, or hold a frame" in line


def test_a_film_of_very_many_edits_keeps_the_times_of_ffmpeg(tmp_path: Path) -> None:
    edits = [(0.001, 0.5 + number % 7) for number in range(20_000)]
    source = edited(slides(tmp_path / "whole.mov"), tmp_path / "in.mov", edits)
    assert showings_of(str(source), 1, least=LEAST) == {}
