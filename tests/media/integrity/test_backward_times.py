"""Times of Matroska that run back are reported as they come, and no frame or packet is lost."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.judges import ffprobe, run
from tests.media_maker import Audio, Subtitle, make_clip, numbers_of
from vsr.media.decode.source import open_video
from vsr.pipeline.run import upscale

LINES = ((0.2, 0.4, "a"), (0.8, 1.0, "b"), (1.4, 1.6, "c"))
FRAMES = 75
INSIDE = {b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75", b"\xa0"}
"""Segment, Cluster and BlockGroup."""
BLOCKS = {b"\xa3", b"\xa1"}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clean") / "clean.mkv"
    audio, lines = [Audio(codec="flac")], [Subtitle(lines=LINES)]
    return make_clip(path, frames=FRAMES, audio=audio, subtitles=lines)


def moved(source: Path, path: Path, track: int, move: Callable[[int], int]) -> Path:
    """Copy a Matroska file; `move` returns the milliseconds by which the n-th block of a track is moved."""
    data = bytearray(source.read_bytes())
    places = [at for at, number in blocks(data, 0, len(data)) if number == track]
    for number, at in enumerate(places):
        (time,) = struct.unpack_from(">h", data, at)
        struct.pack_into(">h", data, at, time + move(number))
    path.write_bytes(data)
    return path


def blocks(data: bytes, at: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield where the time of each block lies, and the number of its track."""
    while at < end:
        begin, at = at, at + width(data[at])
        kind = bytes(data[begin:at])
        size, content = number_at(data, at), at + width(data[at])
        if kind in INSIDE:
            yield from blocks(data, content, min(end, content + size))
        elif kind in BLOCKS:
            yield content + width(data[content]), number_at(data, content)
        at = content + size


def width(first: int) -> int:
    return 9 - first.bit_length()


def number_at(data: bytes, at: int) -> int:
    length = width(data[at])
    return int.from_bytes(data[at : at + length]) & ((1 << 7 * length) - 1)


def audio_md5(path: Path) -> str:
    return run("ffmpeg", "-v", "error", "-i", str(path), "-map", "0:a", "-f", "md5", "-")


def test_audio_that_runs_back_is_reported_before_the_last_frames_and_kept(
    clean: Path, tmp_path: Path
) -> None:
    source = moved(clean, tmp_path / "in.mkv", 2, lambda n: -150 if 8 <= n < 12 else 0)
    events: list[str | int] = []
    report = upscale(
        source,
        tmp_path / "out.mkv",
        model="bicubic",
        scale=2,
        on_progress=lambda progress: events.append(progress.frames),
        on_warning=events.append,
    )
    (line,) = [event for event in events if "runs back in time at 0.672 s" in str(event)]
    assert "audio of stream 1" in str(line)
    assert FRAMES in events[events.index(line) :]
    assert events.count(line) == 1
    assert line in report.warnings
    assert audio_md5(tmp_path / "out.mkv") == audio_md5(clean)
    assert report.exit_code == 0


def test_audio_far_from_its_video_is_damage(clean: Path, tmp_path: Path) -> None:
    source = moved(clean, tmp_path / "in.mkv", 2, lambda n: -700 if 12 <= n < 16 else 0)
    report = upscale(source, tmp_path / "out.mkv", model="bicubic", scale=2)
    assert report.exit_code == 10
    assert audio_md5(tmp_path / "out.mkv") == audio_md5(clean)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_frames_that_run_back_a_little_keep_their_times(clean: Path, tmp_path: Path, suffix: str) -> None:
    source = moved(clean, tmp_path / "in.mkv", 1, lambda n: -100 if 20 <= n < 23 else 0)
    report = upscale(source, tmp_path / f"out{suffix}", model="bicubic", scale=2)
    assert report.exit_code == 0
    assert [line for line in report.warnings if "repeats or decreases; it is kept" in line]
    assert shown_times(report.target) == pytest.approx(shown_times(source), abs=0.0006)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_clock_that_starts_over_is_damage_and_no_frame_is_lost(
    clean: Path, tmp_path: Path, suffix: str
) -> None:
    source = moved(clean, tmp_path / "in.mkv", 1, lambda n: -1400 if n >= 40 else 0)
    report = upscale(source, tmp_path / f"out{suffix}", model="bicubic", scale=2)
    assert report.exit_code == 10
    assert "the clock of the video starts over once: the file is damaged" in report.damage.notes
    assert numbers_of(Path(report.target)) == list(range(FRAMES))
    assert shown_times(report.target) == [number / 25 for number in range(FRAMES)]


def shown_times(path: Path | str) -> list[float]:
    packets = ffprobe(Path(path), "-show_packets", "-select_streams", "v")["packets"]
    return sorted(float(packet["pts_time"]) for packet in packets)


def test_a_file_in_order_is_not_reported(clean: Path) -> None:
    with open_video(clean) as video:
        assert len(list(video)) == FRAMES
        assert not [line for line in video.warnings if "back" in line]
        assert not video.damage


def texts(path: Path) -> list[tuple[float, float]]:
    """Return begin and duration of each text that is not blank."""
    packets = ffprobe(path, "-show_packets", "-select_streams", "s")["packets"]
    least = 2 if path.suffix == ".mp4" else 0
    return [(float(p["pts_time"]), float(p["duration_time"])) for p in packets if int(p["size"]) > least]


THREE = ((0.2, 0.4, "x"), (0.8, 1.0, "y"), (1.4, 1.9, "z"))


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("audio", [(), (Audio(codec="flac"),)], ids=["silent", "audio"])
def test_subtitles_that_come_too_late_in_the_file_are_shown_at_their_times(
    tmp_path: Path, suffix: str, audio: tuple[Audio, ...]
) -> None:
    lines = [Subtitle(lines=THREE)]
    clean = make_clip(tmp_path / "clean.mkv", frames=FRAMES, audio=audio, subtitles=lines)
    source = moved(clean, tmp_path / "in.mkv", 2 + len(audio), lambda n: 1900 if n == 0 else 0)
    assert [begin for begin, _ in texts(source)] == [2.1, 0.8, 1.4]  # else this shows nothing
    report = upscale(source, tmp_path / f"out{suffix}", model="bicubic", scale=2)
    expected = [(0.8, 0.2), (1.4, 0.5), (2.1, 0.2)]
    assert texts(Path(report.target)) == [pytest.approx(pair, abs=0.001) for pair in expected]
    assert report.exit_code == 0
    assert not [line for line in report.warnings if "back" in line]


def test_a_text_that_comes_far_too_late_is_reported_and_in_mp4_damage(tmp_path: Path) -> None:
    lines = [Subtitle(lines=((0.2, 0.4, "x"), (2.0, 2.5, "y"), (8.6, 9.0, "z")))]
    clean = make_clip(tmp_path / "clean.mkv", frames=250, audio=[Audio(codec="flac")], subtitles=lines)
    source = moved(clean, tmp_path / "in.mkv", 3, lambda n: -8000 if n == 2 else 0)
    report = upscale(source, tmp_path / "out.mp4", model="bicubic", scale=2)
    assert report.exit_code == 10
    assert [line for line in report.damage.notes if "1 texts of stream 2 come too late in the file" in line]
    assert [line for line in report.warnings if "subtitle of stream 2 runs back in time at 2.000 s" in line]
    report = upscale(source, tmp_path / "out.mkv", model="bicubic", scale=2)
    assert [line for line in report.warnings if "subtitle of stream 2 runs back in time at 2.000 s" in line]
    assert len(texts(tmp_path / "out.mkv")) == 3
