"""Recorded broadcasts: their clocks do not begin at zero, and they may begin between two key frames."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.judges import ffprobe
from tests.media.pass_through import pass_through, tracks
from tests.media_maker import Audio, make_clip, numbers_of, pts_of

HOURS = 125_000
"""Frames at 25 per second, nearly an hour and a half."""
WRAP = 2**33
"""Ticks of 1/90000 s after which MPEG's clock wraps."""


def recording(path: Path, *, first: int = HOURS, late: float = 0.1) -> Path:
    """Write one second of MPEG-2 whose clock has counted `first` frames before; its audio begins `late` s
    later.
    """
    audio = Audio(codec="mp2", start=first / 25 + late)
    times = [first + number for number in range(25)]
    return make_clip(path, codec="mpeg2video", bframes=2, pts=times, audio=[audio])


def pva_of(source: Path, path: Path) -> Path:
    """Write the same packets in the format of early DVB cards: headers of eight bytes, times in 1/90000 s."""
    counters = {1: 0, 2: 0}
    with av.open(str(source)) as box, path.open("wb") as file:
        for packet in box.demux():
            if packet.size and packet.dts is not None:
                kind = 1 if packet.stream.type == "video" else 2
                for block in _pva_blocks(kind, counters, packet):
                    file.write(block)
    return path


def _pva_blocks(kind: int, counters: dict[int, int], packet: av.Packet) -> Iterator[bytes]:
    ticks = round((packet.dts if packet.pts is None else packet.pts) * packet.time_base * 90000)
    data = bytes(packet)
    for begin in range(0, len(data), 6000):
        time = struct.pack(">I", ticks % 2**32)
        content = data[begin : begin + 6000]
        if kind == 1:  # a time before the first block only
            flags, body = (0x10, time + content) if not begin else (0, content)
        else:  # a PES packet
            header = b"\x80\x80\x05" + _pes_time(ticks)
            pes = b"\0\0\1\xc0" + struct.pack(">H", len(header) + len(content)) + header + content
            flags, body = 0x10, pes
        yield b"AV" + bytes([kind, counters[kind], 0x55, flags]) + struct.pack(">H", len(body)) + body
        counters[kind] = (counters[kind] + 1) % 256


def _pes_time(ticks: int) -> bytes:
    parts = (0x21 | (ticks >> 29) & 0x0E), ((ticks >> 14) & 0xFFFE) | 1, ((ticks << 1) & 0xFFFE) | 1
    return struct.pack(">BHH", *parts)


def starts(path: Path) -> dict[str, float]:
    """Return when the first stream of each kind begins, in seconds, by ffprobe."""
    found = ffprobe(path)["streams"]
    return {stream["codec_type"]: float(stream["start_time"]) for stream in found}


@pytest.mark.parametrize("target", ["out.mkv", "out.mp4"])
@pytest.mark.parametrize("name", ["in.ts", "in.m2ts", "in.mpg", "in.vob", "in.wtv", "in.pva", "wrap.ts"])
def test_a_recording_begins_at_zero_whatever_its_clock(tmp_path: Path, name: str, target: str) -> None:
    first = WRAP // 3600 - 12 if name == "wrap.ts" else HOURS if name != "in.pva" else 1000
    source = recording(tmp_path / ("in.ts" if name == "in.pva" else name), first=first)
    if name == "in.pva":
        source = pva_of(source, tmp_path / name)
    distance = starts(source)["audio"] - starts(source)["video"]
    made = pass_through(source, tmp_path / target).path
    assert starts(made)["video"] == pytest.approx(0, abs=0.001)
    assert starts(made)["audio"] == pytest.approx(distance, abs=0.001)
    assert float(ffprobe(made)["format"]["duration"]) < 1.5
    assert numbers_of(made) == list(range(25))
    assert [round(25 * time) for time in pts_of(made)] == list(range(25))


@pytest.mark.parametrize("target", ["out.mkv", "out.mp4"])
def test_a_recording_whose_audio_begins_first_starts_with_the_audio(tmp_path: Path, target: str) -> None:
    source = recording(tmp_path / "in.ts", late=-0.2)
    made = pass_through(source, tmp_path / target).path
    assert starts(made)["audio"] == pytest.approx(0, abs=0.001)
    gap = starts(source)["video"] - starts(source)["audio"]
    assert starts(made)["video"] == pytest.approx(gap, abs=0.001)


@pytest.mark.parametrize("target", ["out.mkv", "out.mp4"])
@pytest.mark.parametrize("name", ["in.ts", "in.mpg", "in.flv"])
def test_a_recording_without_audio_begins_at_zero_too(tmp_path: Path, name: str, target: str) -> None:
    codec = "flv" if name == "in.flv" else "mpeg2video"
    source = make_clip(tmp_path / name, codec=codec, pts=[HOURS + number for number in range(25)])
    assert starts(source)["video"] > 4000
    made = pass_through(source, tmp_path / target).path
    assert pts_of(made)[0] == 0
    assert float(ffprobe(made)["format"]["duration"]) == pytest.approx(1, abs=0.002)


@pytest.mark.parametrize("name", ["in.mkv", "in.mp4"])
def test_an_intended_offset_is_kept(tmp_path: Path, name: str) -> None:
    times = [1000 + number for number in range(25)]
    source = make_clip(tmp_path / name, pts=times)
    assert pts_of(pass_through(source, tmp_path / "out.mkv").path)[0] == 40


def between_key_frames(source: Path, path: Path, *, skipped: int) -> Path:
    """Copy a recording without the first packets of the video, which include a key frame."""
    with av.open(str(source)) as box, av.open(str(path), "w") as made:
        copies = {s.index: made.add_stream_from_template(s, opaque=True) for s in box.streams}
        left_out = 0
        for packet in box.demux():
            if packet.stream.type == "video" and left_out < skipped:
                left_out += 1
            elif packet.size:
                packet.stream = copies[packet.stream_index]
                made.mux(packet)
    return path


@pytest.mark.parametrize("target", ["out.mkv", "out.mp4"])
def test_a_range_of_a_recording_that_begins_between_key_frames_has_its_audio(
    tmp_path: Path, target: str
) -> None:
    audio = [Audio(codec="mp2")]
    whole = make_clip(tmp_path / "whole.ts", codec="mpeg2video", frames=50, gop=24, audio=audio)
    source = between_key_frames(whole, tmp_path / "in.ts", skipped=3)
    made = pass_through(source, tmp_path / target, start=Fraction(1, 5), end=Fraction(7, 10)).path
    assert numbers_of(made) == list(range(29, 42)), "frames before the second key frame cannot be decoded"
    heard = tracks(made, "audio")[0]
    frame = Fraction(1152, 48000)
    assert abs(heard.times[0] - pts_of(made)[0]) <= frame
    assert abs(len(heard.times) * frame - Fraction(1, 2)) <= 2 * frame
