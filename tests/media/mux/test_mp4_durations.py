"""Subtitles and data of unknown duration are complete in MP4, which has no times of its own for the last."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.judges import ffprobe
from tests.media.pass_through import pass_through
from tests.media_maker import make_clip
from vsr.media.mux.mp4_durations import dvd_duration

UNKNOWN = 2**32 - 1
"""Milliseconds that FFmpeg writes into Matroska for a subtitle whose end it does not know."""
TICK = Fraction(1, 1000)


def dvd_subtitle(stop: int | None) -> bytes:
    """Return a picture of 8x4 pixels with the commands to show it and to end it after `stop` units."""
    line = b"\x00\x01"  # one colour to the end of the line
    picture = line * 4
    first = 4 + len(picture)
    area = b"\x05" + bytes.fromhex("008 00f 008 00b".replace(" ", ""))
    show = b"\x01\x03\x32\x10\x04\xff\xff" + area + b"\x06" + struct.pack(">HH", 4, 8) + b"\xff"
    second = first + 4 + len(show)
    commands = struct.pack(">HH", 0, first if stop is None else second) + show
    if stop is not None:
        commands += struct.pack(">HH", stop, second) + b"\x02\xff"
    body = picture + commands
    return struct.pack(">HH", 4 + len(body), first) + body


def with_packets(path: Path, codec: str, packets: list[tuple[int, int, bytes]], video: Path) -> Path:
    """Add a stream to a clip; its packets are (milliseconds, duration, content)."""
    with av.open(str(video)) as source, av.open(str(path), "w") as made:
        shown = made.add_stream_from_template(source.streams.video[0], opaque=True)
        stream = made.add_mux_stream(codec, time_base=TICK)
        made.start_encoding()
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = shown
                made.mux(packet)
        for at, duration, content in packets:
            packet = av.Packet(content)
            packet.pts = packet.dts = at
            packet.duration, packet.time_base, packet.stream = duration, TICK, stream
            made.mux(packet)
    return path


def packets_of(path: Path) -> list[dict[str, str]]:
    return ffprobe(path, "-show_packets", "-select_streams", "1")["packets"]


@pytest.mark.parametrize("duration", [0, UNKNOWN, 200])
@pytest.mark.parametrize("stop", [None, 30, 0xFFFF])
def test_dvd_subtitles_are_complete_and_end_as_they_say(
    tmp_path: Path, duration: int, stop: int | None
) -> None:
    video = make_clip(tmp_path / "video.mkv", frames=25)
    packets = [(at, duration, dvd_subtitle(stop)) for at in (100, 500)]
    source = with_packets(tmp_path / "in.mkv", "dvd_subtitle", packets, video)
    made = pass_through(source, tmp_path / "out.mp4").path
    begins = [float(packet["pts_time"]) for packet in packets_of(made)]
    assert begins == pytest.approx([0.1, 0.5], abs=0.001)
    (track,) = (s for s in ffprobe(made)["streams"] if s["codec_type"] == "subtitle")
    last = float(track["start_time"]) + float(track["duration"]) - begins[-1]
    if duration == 200:
        assert last == pytest.approx(0.2, abs=0.001)
    elif stop == 30:
        assert last == pytest.approx(30 * 1024 / 90000, abs=0.001)
    else:
        assert last == pytest.approx(0, abs=0.0015)


@pytest.mark.parametrize("stop", [None, 0xFFFF])
def test_a_dvd_subtitle_without_an_end_has_no_duration(stop: int | None) -> None:
    assert dvd_duration(dvd_subtitle(stop)) is None


def test_a_damaged_dvd_subtitle_has_no_duration() -> None:
    whole = dvd_subtitle(30)
    assert dvd_duration(whole) == 30 * Fraction(1024, 90000)
    for length in range(len(whole)):
        assert dvd_duration(whole[:length]) is None
    for place in range(2, len(whole)):
        for value in (0, 1, 12, 255):
            dvd_duration(whole[:place] + bytes([value]) + whole[place + 1 :])


def test_data_of_unknown_duration_is_complete(tmp_path: Path) -> None:
    """As FFmpeg's own demuxers return data of cameras (GPMF) from other containers."""
    video = make_clip(tmp_path / "video.mkv", frames=25)
    packets = [(at, 100, b"DEVC\0\0\0\0") for at in range(0, 500, 100)]
    source = with_packets(tmp_path / "in.mp4", "bin_data", packets, video)
    for suffix in ("mp4", "mov"):
        made = pass_through(source, tmp_path / f"out.{suffix}").path
        assert len(packets_of(made)) == 5


@pytest.mark.parametrize("codec", ["klv", "timed_id3"])
@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov"])
def test_data_that_would_be_unreadable_is_named_before_the_work(
    tmp_path: Path, codec: str, suffix: str
) -> None:
    """FFmpeg's muxers write both into MP4, but no demuxer finds their packets or their codec there."""
    video = make_clip(tmp_path / "video.mkv", frames=25)
    content = b"ID3\x04\0\0\0\0\0\0" if codec == "timed_id3" else bytes.fromhex("060e2b34020b0101") + bytes(9)
    source = with_packets(tmp_path / "in.ts", codec, [(at, 0, content) for at in (0, 500)], video)
    passed = pass_through(source, tmp_path / f"out.{suffix}")
    assert any(f"stream 1 (data {codec}) is left out" in warning for warning in passed.warnings)
    assert len(ffprobe(passed.path)["streams"]) == 1
