"""Audio in AVI lasts as long as the header says, although FFmpeg counts some of its chunks by their bytes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.judges import ffprobe
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


@pytest.mark.parametrize("codec", COUNTED_BY_CHUNKS)
def test_times_that_are_right_stay(tmp_path: Path, codec: str) -> None:
    source = recording(tmp_path / "a.avi", COUNTED_BY_CHUNKS[codec])
    with av.open(str(source)) as media:
        own = [packet.pts for packet in media.demux(audio=0) if packet.size]
    with av.open(str(source)) as media:
        read = [packet.pts for packet in read_packets(media, lambda _: None) if packet.stream.type == "audio"]
    assert read == own
