"""The last frame of an MP4 or QuickTime file lasts until the end of its edit list.

With B-frames and a variable rate, FFmpeg's muxer writes steps that add up to less than the film.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from tests import judges
from tests.judges import ffprobe
from tests.media.pass_through import pass_through
from tests.media_maker import Audio, make_clip
from vsr.media.decode.facts.probe import probe
from vsr.media.formats.boxes import box, edited, find_boxes
from vsr.media.formats.edit_list import end_by_edits
from vsr.pipeline.run import upscale

TICK = Fraction(1, 12800)
STEP = 512
TIMES = [STEP * (n if n < 20 else 3 * n) for n in range(40)]
"""Frames of 25 a second, then of a third of that; the last one is at 4.68 s, and lasts for 0.04 s."""
Change = Callable[[bytes], bytes | None]


def clip(path: Path, **knobs: object) -> Path:
    return make_clip(path, frames=40, pts=TIMES, time_base=TICK, bframes=2, gop=40, **knobs)


def changed(path: Path, change: Change, *boxes: bytes) -> Path:
    """Edit a box of the first track; the index is at the end of the file, so nothing else moves."""
    data = path.read_bytes()
    with path.open("rb") as file:
        ((start, end),) = find_boxes(file, 0, len(data), b"moov")
    index = edited(data[start:end], change, b"trak", *boxes)
    path.write_bytes(data[: start - 8] + box(b"moov", index) + data[end:])
    return path


def with_edits(path: Path, *rows: tuple[int, int]) -> Path:
    """Give the first track an edit list with these durations (in milliseconds) and starts (in ticks)."""
    data = path.read_bytes()
    (rate,) = struct.unpack_from(">I", data, data.index(b"mvhd") + 16)
    lengths = [duration * rate // 1000 for duration, _ in rows]
    table = (struct.pack(">IiI", n, begin, 1 << 16) for n, (_, begin) in zip(lengths, rows, strict=True))
    content = struct.pack(">II", 0, len(rows)) + b"".join(table)
    return changed(path, lambda _: content, b"edts", b"elst")


def last_frame(path: Path) -> tuple[float, float]:
    """Return when the last frame is shown, and for how long."""
    packets = ffprobe(path, "-show_packets", "-select_streams", "v")["packets"]
    found = max(packets, key=lambda packet: float(packet["pts_time"]))
    return float(found["pts_time"]), float(found["duration_time"])


@pytest.mark.parametrize("target", ["mkv", "mp4", "mov"])
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_the_last_frame_of_a_variable_rate_with_b_frames_keeps_its_duration(
    tmp_path: Path, suffix: str, target: str
) -> None:
    source = clip(tmp_path / f"a.{suffix}", audio=[Audio()])
    made = pass_through(source, tmp_path / f"b.{target}").path
    assert last_frame(made) == pytest.approx((4.68, 0.04), abs=0.001)


@pytest.mark.parametrize(
    ("rows", "begin", "length"),
    [
        pytest.param([(4700, 1024)], 4.68, 0.02, id="cut"),
        pytest.param([(1000, -1), (4720, 1024)], 5.68, 0.04, id="late"),
        pytest.param([(400, 1024), (4720, 1024)], 5.08, 0.04, id="two"),
    ],
)
def test_edit_lists_of_every_kind_tell_the_end(
    tmp_path: Path, rows: list[tuple[int, int]], begin: float, length: float
) -> None:
    made = pass_through(with_edits(clip(tmp_path / "a.mp4"), *rows), tmp_path / "b.mkv").path
    assert last_frame(made) == pytest.approx((begin, length), abs=0.001)


def test_without_an_edit_list_the_duration_of_the_track_tells_the_end(tmp_path: Path) -> None:
    source = changed(clip(tmp_path / "a.mp4"), lambda _: None, b"edts")
    made = pass_through(source, tmp_path / "b.mkv").path
    assert last_frame(made) == pytest.approx((4.76, 0.04), abs=0.001)


def test_an_edit_that_is_much_longer_than_the_track_is_not_believed(tmp_path: Path) -> None:
    """The last frame then ends with the track, or lasts for its own step of 0.12 s."""
    made = pass_through(with_edits(clip(tmp_path / "a.mp4"), (9000, 1024)), tmp_path / "b.mkv").path
    assert 0 < last_frame(made)[1] < 0.1205


def test_a_file_of_one_fragment_states_its_end_in_the_header(tmp_path: Path) -> None:
    source = clip(tmp_path / "a.mp4", container_options={"movflags": "frag_keyframe"})
    made = pass_through(source, tmp_path / "b.mkv").path
    assert last_frame(made)[1] == pytest.approx(0.04, abs=0.001)


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_files_of_another_ffmpeg_end_as_they_say(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"a.{suffix}"
    pictures = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1.6"]
    times = ["-vf", r"setpts='if(lt(N,20),N,N*3)/(25*TB)'", "-fps_mode", "vfr"]
    judges.run("ffmpeg", "-v", "error", *pictures, *times, "-c:v", "libx264", "-bf", "2", str(source))
    made = pass_through(source, tmp_path / "b.mkv").path
    assert last_frame(made) == pytest.approx((4.68, 0.04), abs=0.001)


def test_a_range_may_begin_in_the_last_frames(tmp_path: Path) -> None:
    """They are after the sum of all steps, which was taken for the duration of the film."""
    source = clip(tmp_path / "a.mp4")
    assert probe(source).duration_seconds == Fraction("4.72")
    made = tmp_path / "b.mkv"
    upscale(source, made, model="bicubic", scale=2, encoder="libx264", preset="ultrafast", start=4.6)
    assert last_frame(made)[1] == pytest.approx(0.04, abs=0.001)


def test_damaged_boxes_tell_nothing_and_raise_nothing(tmp_path: Path) -> None:
    """Each byte of the boxes in turn is replaced; the end is a number or None."""
    source = clip(tmp_path / "a.mp4")
    data = source.read_bytes()
    start = data.index(b"moov") - 4
    for place in [*range(start, start + 130), *range(data.index(b"edts") - 4, data.index(b"mdhd") + 40)]:
        for value in (0, 1, 255):
            source.write_bytes(data[:place] + bytes([value]) + data[place + 1 :])
            found = end_by_edits(str(source), 1, first=0)
            assert found is None or isinstance(found, int)
    for length in range(start, len(data), 7):
        source.write_bytes(data[:length])
        end_by_edits(str(source), 1, first=0)
