"""Matroska files have ticks finer than the milliseconds of FFmpeg's muxer."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.media_maker import Audio, make_clip
from vsr.media.decode.facts.probe import probe
from vsr.media.formats.matroska import (
    INFO,
    MILLISECOND,
    SEGMENT,
    TIMESTAMP_SCALE,
    children,
    codec_delay,
    rescale_file,
    tick_for,
)
from vsr.media.formats.matroska_track import finish_track

NS = 10**9


@pytest.mark.parametrize(
    "base",
    [Fraction(1, 15360), Fraction(1, 90000), Fraction(1, 30000), Fraction(1001, 30000), Fraction(1, 19184)],
)
def test_every_frame_time_is_off_by_at_most_a_quarter_of_its_tick(base: Fraction) -> None:
    tick = tick_for(base)
    errors = [abs(Fraction(round(n * base * NS / tick) * tick, NS) - n * base) for n in range(2000)]
    assert max(errors) <= base / 4


@pytest.mark.parametrize("base", [Fraction(1, 1000), Fraction(1, 25), Fraction(1, 10**6), Fraction(1, 10000)])
def test_ticks_of_whole_nanoseconds_are_exact(base: Fraction) -> None:
    tick = tick_for(base)
    assert base * NS % tick == 0


@pytest.mark.parametrize("audio", [Fraction(1, 48000), Fraction(1, 44100), Fraction(1, 8000)])
def test_audio_times_round_back_to_the_source_tick(audio: Fraction) -> None:
    tick = tick_for(Fraction(1, 25), [audio])
    for n in range(0, 100_000, 1024):
        written = Fraction(round(n * audio * NS / tick) * tick, NS)
        assert round(written / audio) == n


def test_millisecond_sources_keep_the_usual_scale() -> None:
    assert tick_for(Fraction(1, 1000), [Fraction(1, 1000)]) == MILLISECOND
    assert tick_for(Fraction(1, 25)) == MILLISECOND


def test_rescaling_divides_times_tags_and_duration_alike(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", frames=10, container_options={"write_crc32": "0"})
    with av.open(str(clip)) as box:
        before = [frame.pts * frame.time_base for frame in box.decode(video=0)]
        length = box.duration
    rescale_file(clip, 8000)
    with av.open(str(clip)) as box:
        after = [frame.pts * frame.time_base for frame in box.decode(video=0)]
        assert box.duration == pytest.approx(length * 0.008, abs=1)
        assert box.streams.video[0].metadata["DURATION"] == "00:00:00.003200000"
    assert after == [time * Fraction(8000, MILLISECOND) for time in before]


def test_rescaling_refuses_a_file_that_was_rescaled_before(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", frames=2, container_options={"write_crc32": "0"})
    rescale_file(clip, 8000)
    with pytest.raises(ValueError, match="not a millisecond"):
        rescale_file(clip, 8000)


def test_walk_finds_the_elements_that_the_muxer_wrote(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", frames=2)
    with clip.open("rb") as file:
        size = clip.stat().st_size
        segment = next(e for e in children(file, 0, size) if e.id == SEGMENT)
        info = next(e for e in children(file, segment.start, size) if e.id == INFO)
        scale = next(e for e in children(file, info.start, info.start + info.size) if e.id == TIMESTAMP_SCALE)
        file.seek(scale.start)
        assert int.from_bytes(file.read(scale.size), "big") == MILLISECOND


def test_walk_stops_at_a_truncated_end() -> None:
    assert list(children(io.BytesIO(b"\x1a\x45"), 0, 2)) == []
    assert list(children(io.BytesIO(b"\x00\x00"), 0, 2)) == []


def test_writing_track_properties_needs_the_placeholder(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", frames=2)
    with pytest.raises(ValueError, match="placeholder"):
        finish_track(clip, probe(clip), width=64, height=48, whole_pixels=False)


def test_codec_delay_is_what_the_source_declares(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", frames=5, audio=[Audio(codec="libopus"), Audio(codec="flac")])
    with av.open(str(clip)) as box:
        assert codec_delay(box.streams.audio[0]) == 6_500_000  # libopus looks 312 samples ahead at 48 kHz
        assert codec_delay(box.streams.audio[1]) == 0
