"""Audio that edit lists of MP4 and QuickTime hide stays hidden, and what they show keeps its time."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.judges import ffprobe
from tests.media.pass_through import pass_through, tracks
from tests.media_maker import Audio, Subtitle, make_clip, numbers_of, pts_of
from vsr.media.audit import verify

RATE = 16000
"""Sampling rate of the audio, and ticks per second of its track."""
THREE = [(0.4, 0.0), (0.4, 0.8), (0.4, 1.6)]
"""Duration and start in the track of each edit, in seconds."""
BOX = struct.Struct(">I4s")


def with_edits(source: Path, path: Path, edits: Sequence[tuple[float, float]]) -> Path:
    """Copy a QuickTime file with these edits in its tracks: (duration, start in the track) in seconds."""
    data = source.read_bytes()
    out = b""
    for kind, content in boxes(data):
        out += box(kind, edited(content, edits) if kind == b"moov" else content)
    path.write_bytes(out)
    return path


def boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 0
    while at < len(data):
        size, kind = BOX.unpack_from(data, at)
        found.append((kind, data[at + 8 : at + size]))
        at += size
    return found


def box(kind: bytes, content: bytes) -> bytes:
    return BOX.pack(len(content) + 8, kind) + content


def edited(moov: bytes, edits: Sequence[tuple[float, float]]) -> bytes:
    parts = boxes(moov)
    (scale,) = struct.unpack_from(">I", dict(parts)[b"mvhd"], 12)
    return b"".join(
        box(kind, track_with(content, edits, scale) if kind == b"trak" else content)
        for kind, content in parts
    )


def track_with(trak: bytes, edits: Sequence[tuple[float, float]], movie_scale: int) -> bytes:
    parts = [(kind, content) for kind, content in boxes(trak) if kind != b"edts"]
    (scale,) = struct.unpack_from(">I", dict(boxes(dict(parts)[b"mdia"]))[b"mdhd"], 12)
    rows = [(round(length * movie_scale), round(place * scale), 65536) for length, place in edits]
    table = struct.pack(">II", 0, len(rows)) + b"".join(struct.pack(">IiI", *row) for row in rows)
    first = [box(kind, content) for kind, content in parts if kind == b"tkhd"]
    rest = [box(kind, content) for kind, content in parts if kind != b"tkhd"]
    return b"".join([*first, box(b"edts", box(b"elst", table)), *rest])


def clip(path: Path, codec: str, edits: Sequence[tuple[float, float]]) -> Path:
    """Write two seconds with edits of the video and of the audio."""
    audio_stream = Audio(codec=codec, rate=RATE, layout="mono", seconds=2)
    whole = path.with_name(f"whole{path.suffix}")
    make_clip(whole, codec="mjpeg", pix_fmt="yuvj420p", frames=50, audio=[audio_stream])
    return with_edits(whole, path, edits)


def heard(path: Path) -> int:
    """Return the samples of a plain decode; FFmpeg drops what the container hides."""
    with av.open(str(path)) as media:
        return sum(frame.samples for frame in media.decode(audio=0))


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [("pcm_s16le", ".mkv"), ("pcm_s16be", ".mp4"), ("pcm_s16le", ".mov"), ("pcm_u8", ".mov")],
)
def test_three_edits_of_pcm_have_exactly_their_length(tmp_path: Path, codec: str, suffix: str) -> None:
    source = clip(tmp_path / "in.mov", codec, THREE)
    assert heard(source) > 1.22 * RATE, "FFmpeg itself lets edits begin with whole packets"
    made = pass_through(source, tmp_path / f"out{suffix}").path
    assert heard(made) == 1.2 * RATE
    assert float(ffprobe(made)["format"]["duration"]) == pytest.approx(1.2, abs=0.001)
    assert numbers_of(made) == [*range(10), *range(20, 30), *range(40, 50)]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_three_edits_of_a_compressed_codec_have_only_their_shown_packets(tmp_path: Path, suffix: str) -> None:
    source = clip(tmp_path / "in.mov", "aac", THREE)
    made = pass_through(source, tmp_path / f"out{suffix}").path
    packet = Fraction(1024, RATE)
    (audio_stream,) = tracks(made, "audio")
    assert abs(len(audio_stream.times) * packet - Fraction(12, 10)) <= 4 * packet, (
        "one at each edge of an edit"
    )
    assert audio_stream.times == sorted(audio_stream.times)
    assert audio_stream.times[-1] <= Fraction(12, 10)
    assert abs(heard(made) / RATE - 1.2) <= 4 * packet


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("codec", ["aac", "pcm_s16le", "libmp3lame", "ac3"])
def test_audio_hidden_by_a_lossless_cut_stays_hidden(tmp_path: Path, codec: str, suffix: str) -> None:
    """As in `ffmpeg -ss 0.8 -c copy`: the audio before the cut is still in the file, and hidden."""
    rate = 16000 if codec != "ac3" else 32000
    audio_stream = Audio(codec=codec, rate=rate, layout="mono", seconds=2)
    whole = make_clip(
        tmp_path / "whole.mov", codec="mjpeg", pix_fmt="yuvj420p", frames=50, audio=[audio_stream]
    )
    source = with_edits(whole, tmp_path / "in.mov", [(1.0, 0.8)])
    made = pass_through(source, tmp_path / f"out{suffix}").path
    assert abs(heard(made) - heard(source)) <= 1
    assert numbers_of(made) == list(range(20, 45))
    assert pts_of(made)[0] == 0
    times = tracks(made, "audio")[0].times
    assert suffix == ".mp4" or times[0] >= -0.3, "no more than a decoder needs"
    assert not any("audio" in line for line in verify(source, made).lost)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_texts_after_a_lossless_cut_are_shown_for_their_own_time(tmp_path: Path, suffix: str) -> None:
    """FFmpeg gives the texts after a cut the durations of the first texts in the file."""
    lines = ((0.2, 0.3, "hidden"), (0.5, 0.6, "hidden"), (0.9, 1.5, "shown"), (1.6, 1.7, "last"))
    whole = make_clip(
        tmp_path / "whole.mov",
        codec="mjpeg",
        pix_fmt="yuvj420p",
        frames=50,
        subtitles=[Subtitle(codec="mov_text", lines=lines)],
    )
    source = with_edits(whole, tmp_path / "in.mov", [(1.0, 0.9)])
    made = pass_through(source, tmp_path / f"out{suffix}").path
    packets = ffprobe(made, "-show_packets", "-show_data", "-select_streams", "s")["packets"]
    found = [(float(p["pts_time"]), float(p["duration_time"])) for p in packets if int(p["size"]) > 3]
    assert found == [pytest.approx((0.0, 0.6), abs=0.002), pytest.approx((0.7, 0.1), abs=0.002)]
    assert not any("subtitle" in line for line in verify(source, made).lost)


@pytest.mark.parametrize("codec", ["aac", "ac3"])
def test_priming_is_hidden_in_matroska_and_shifts_nothing(tmp_path: Path, codec: str) -> None:
    source = make_clip(tmp_path / "in.mp4", frames=25, audio=[Audio(codec=codec)])
    assert tracks(source, "audio")[0].times[0] < 0
    passed = pass_through(source, tmp_path / "out.mkv")
    assert passed.report.shift == 0
    assert heard(passed.path) == heard(source)
    before, after = tracks(source, "audio")[0], tracks(passed.path, "audio")[0]
    assert after.payloads == before.payloads
    distances = np.abs(np.array(after.times, float) - np.array(before.times, float))
    assert distances.max() < 0.5 / 48000
    assert pts_of(passed.path) == pytest.approx([float(time) for time in pts_of(source)], abs=1e-6)


@pytest.mark.parametrize("suffix", [".mov", ".mp4"])
def test_pcm_in_long_packets_is_complete_in_mp4(tmp_path: Path, suffix: str) -> None:
    """Some files have packets of one second; QuickTime's demuxer splits them into packets of 1,024
    samples.
    """
    source = make_clip(tmp_path / "in.mkv", frames=50)
    long = tmp_path / "long.mkv"
    with av.open(str(source)) as box, av.open(str(long), "w") as made:
        video = made.add_stream_from_template(box.streams.video[0])
        audio = made.add_stream("pcm_s16le", rate=48000, layout="mono")
        made.start_encoding()
        for number in range(2):
            frame = av.AudioFrame.from_ndarray(np.arange(48000, dtype=np.int16)[None], layout="mono")
            frame.sample_rate, frame.pts = 48000, 48000 * number
            made.mux(audio.encode(frame))
        for packet in box.demux(video=0):
            if packet.size:
                packet.stream = video
                made.mux(packet)
    assert len(tracks(long, "audio")[0].payloads) == 2
    passed = pass_through(long, tmp_path / f"out{suffix}")
    assert tracks(passed.path, "audio")[0].digest == tracks(long, "audio")[0].digest
