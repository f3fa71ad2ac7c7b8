"""Audio in AVI lasts as long as the header says, although FFmpeg counts some of its chunks by their bytes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.judges import ffprobe, run
from tests.media.pass_through import pass_through
from tests.media_maker import Audio, make_clip
from vsr.media.decoders.decoder import read_packets

SECONDS = 1.6
COUNTED_BY_BYTES = {
    "adpcm_g722": Audio(codec="adpcm_g722", rate=16000, layout="mono"),
    "g726": Audio(codec="g726", rate=8000, layout="mono", bit_rate=32000),
}
COUNTED_BY_CHUNKS = {
    "libmp3lame": Audio(codec="libmp3lame"),
    "ac3": Audio(codec="ac3"),
    "adpcm_ms": Audio(codec="adpcm_ms"),
    "adpcm_ima_wav": Audio(codec="adpcm_ima_wav"),
    "pcm_s16le": Audio(codec="pcm_s16le"),
    "pcm_alaw": Audio(codec="pcm_alaw", rate=8000),
}


def recording(path: Path, track: Audio) -> Path:
    return make_clip(path, codec="mpeg4", frames=40, audio=[track])


def end_of_audio(path: Path) -> float:
    packets = ffprobe(path, "-show_packets", "-select_streams", "a")["packets"]
    last = packets[-1]
    return float(last["pts_time"]) + float(last.get("duration_time", 0))


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov"])
@pytest.mark.parametrize("codec", COUNTED_BY_BYTES)
def test_audio_is_as_long_as_the_header_says(tmp_path: Path, codec: str, suffix: str) -> None:
    source = recording(tmp_path / "a.avi", COUNTED_BY_BYTES[codec])
    assert end_of_audio(source) > 10 * SECONDS  # else this shows nothing
    made = pass_through(source, tmp_path / f"b.{suffix}").path
    tick = max(Fraction(s["time_base"]) for s in ffprobe(source)["streams"] if s["codec_type"] == "audio")
    assert end_of_audio(made) == pytest.approx(SECONDS, abs=float(tick))


def test_a_range_of_such_audio_begins_and_ends_with_the_video(tmp_path: Path) -> None:
    source = recording(tmp_path / "a.avi", COUNTED_BY_BYTES["adpcm_g722"])
    made = pass_through(source, tmp_path / "b.mkv", start=Fraction("0.4"), end=Fraction("1.2")).path
    packets = ffprobe(made, "-show_packets", "-select_streams", "a")["packets"]
    assert float(packets[0]["pts_time"]) == pytest.approx(0, abs=0.02)
    assert end_of_audio(made) == pytest.approx(0.8, abs=0.02)


def vorbis(path: Path, seconds: int) -> Path:
    video = ("-f", "lavfi", "-i", f"testsrc2=size=64x48:rate=25:duration={seconds}", "-c:v", "mpeg4")
    audio = ("-f", "lavfi", "-i", f"anoisesrc=duration={seconds}:seed=3", "-c:a", "libvorbis")
    run("ffmpeg", "-v", "error", *video[:4], *audio[:4], *video[4:], *audio[4:], str(path))
    return path


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_vorbis_is_as_long_as_its_packets(tmp_path: Path, suffix: str) -> None:
    source = vorbis(tmp_path / "a.avi", 3)
    assert end_of_audio(source) > 3.3  # else this shows nothing
    made = pass_through(source, tmp_path / f"b.{suffix}").path
    assert end_of_audio(made) == pytest.approx(3, abs=0.03)
    packets = ffprobe(made, "-show_packets", "-select_streams", "a")["packets"]
    begins = [float(packet["pts_time"]) for packet in packets]
    ends = [begin + float(packet["duration_time"]) for begin, packet in zip(begins, packets, strict=True)]
    assert begins[1:] == pytest.approx(ends[:-1], abs=0.003), "there are no gaps"


def test_a_range_of_vorbis_far_from_the_start_has_the_audio_of_its_frames(tmp_path: Path) -> None:
    source = vorbis(tmp_path / "a.avi", 14)
    made = pass_through(source, tmp_path / "b.mkv", start=Fraction(12), end=Fraction(13)).path
    with av.open(str(source)) as media:
        own = [(bytes(packet), packet.duration) for packet in media.demux(audio=0) if packet.size]
        base = media.streams.audio[0].time_base
    with av.open(str(made)) as media:
        first = next(bytes(packet) for packet in media.demux(audio=0) if packet.size)
    before = sum(duration for _, duration in own[: [data for data, _ in own].index(first)])
    assert float(before * base) == pytest.approx(12, abs=0.05)


@pytest.mark.parametrize("codec", COUNTED_BY_CHUNKS)
def test_times_that_are_right_stay(tmp_path: Path, codec: str) -> None:
    source = recording(tmp_path / "a.avi", COUNTED_BY_CHUNKS[codec])
    with av.open(str(source)) as media:
        own = [packet.pts for packet in media.demux(audio=0) if packet.size]
    with av.open(str(source)) as media:
        read = [packet.pts for packet in read_packets(media, lambda _: None) if packet.stream.type == "audio"]
    assert read == own
