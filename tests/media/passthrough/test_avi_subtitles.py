"""Subtitles that AVI stores as a text file (GAB2) are kept."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.judges import ffprobe
from tests.media.pass_through import pass_through
from tests.media_maker import make_clip
from vsr.errors import InputError
from vsr.media.audit import verify
from vsr.media.files.opening import open_media

SUBRIP = "1\n00:00:00,200 --> 00:00:00,600\nfirst\n\n2\n00:00:01,000 --> 00:00:01,500\nsecond\n\n"
ASS = """[Script Info]
ScriptType: v4.00+

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:00.20,0:00:00.60,Default,,0,0,0,,first
Dialogue: 0,0:00:01.00,0:00:01.50,Default,,0,0,0,,second
"""


def recording(path: Path, text: str) -> Path:
    """Write an AVI file with a text stream: a second video, whose headers are changed."""
    name = "subtitles".encode("utf-16-le") + b"\0\0"
    data = text.encode()
    whole = b"GAB2\0" + struct.pack("<HI", 2, len(name)) + name + struct.pack("<HI", 4, len(data)) + data
    clip = make_clip(path.with_suffix(".mkv"), codec="mpeg4", frames=75)
    with av.open(str(clip)) as media, av.open(str(path), "w") as made:
        video = made.add_stream_from_template(media.streams.video[0], opaque=True)
        texts = made.add_mux_stream("mjpeg", time_base=Fraction(1, 25), width=64, height=48)
        made.start_encoding()
        packet = av.Packet(whole)
        packet.pts, packet.dts, packet.duration, packet.time_base = 0, 0, 75, Fraction(1, 25)
        frames = [one for one in media.demux(video=0) if one.size]
        for one, stream in [(packet, texts), *((frame, video) for frame in frames)]:
            one.stream = stream
            made.mux(one)
    avi = bytearray(path.read_bytes())
    header = avi.index(b"strh", avi.index(b"strh") + 4)
    avi[header + 8 : header + 16] = b"txts\0\0\0\0"
    form = avi.index(b"strf", header)
    avi[form + 24 : form + 28] = bytes(4)
    path.write_bytes(avi.replace(b"01dc", b"01tx"))
    return path


def shown(path: Path) -> list[tuple[float, float]]:
    """Return begin and duration of each text that is not blank."""
    packets = ffprobe(path, "-show_packets", "-select_streams", "s")["packets"]
    return [(float(p["pts_time"]), float(p["duration_time"])) for p in packets if int(p["size"]) > 2]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("text", [SUBRIP, ASS], ids=["SubRip", "ASS"])
def test_texts_in_avi_are_kept_with_their_times(tmp_path: Path, text: str, suffix: str) -> None:
    source = recording(tmp_path / "in.avi", text)
    made = pass_through(source, tmp_path / f"out{suffix}").path
    assert shown(made) == [pytest.approx(pair, abs=0.001) for pair in ((0.2, 0.4), (1.0, 0.5))]
    assert shown(made) == [pytest.approx(pair, abs=0.001) for pair in shown(source)]
    assert not [line for line in verify(source, made).lost if "subtitle" in line]


def test_a_range_has_its_texts(tmp_path: Path) -> None:
    source = recording(tmp_path / "in.avi", SUBRIP)
    made = pass_through(source, tmp_path / "out.mkv", start=Fraction("0.4"), end=Fraction("1.2")).path
    assert [begin for begin, _ in shown(made)] == pytest.approx([0, 0.6], abs=0.001)


def test_a_text_file_alone_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "in.avi").write_text(SUBRIP)
    with pytest.raises(InputError, match="is text, not a video"):
        open_media(tmp_path / "in.avi")
