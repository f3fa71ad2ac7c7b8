"""The samples of a packet are those that its decoder returns, and the last packet in MP4 keeps its sound."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from tests.judges import ffprobe, run
from tests.media.pass_through import pass_through
from tests.media_maker import Audio, make_clip
from vsr.media.audio.packet_samples import samples_in
from vsr.media.audit import verify

MILLISECOND = 48
"""In samples; Matroska's times are rounded to one."""
COPIED = ["aac", "ac3", "eac3", "mp2", "libmp3lame"]


def heard(path: Path) -> int:
    with av.open(str(path)) as media:
        return sum(frame.samples for frame in media.decode(audio=0))


@pytest.mark.parametrize("codec", [*COPIED, "dca"])
def test_samples_of_a_packet_are_those_that_are_decoded(tmp_path: Path, codec: str) -> None:
    clip = tmp_path / "in.mkv"
    if codec == "dca":  # PyAV has no encoder for it
        noise = "anoisesrc=duration=0.5:sample_rate=48000"
        run("ffmpeg", "-v", "error", "-f", "lavfi", "-i", noise, "-c:a", codec, "-strict", "-2", str(clip))
    else:
        encode(clip, 24_000, codec, {})
    counted = []
    with av.open(str(clip)) as media:
        for packet in media.demux(audio=0):
            frames = packet.decode()
            if packet.size and frames and not packet.has_sidedata("skip_samples"):
                counted.append((samples_in(packet), sum(frame.samples for frame in frames)))
    assert len(counted) > 5
    assert all(said == decoded for said, decoded in counted[1:])


@pytest.mark.parametrize("frame_duration", ["2.5", "5", "10", "20", "40", "60", "100"])
@pytest.mark.parametrize("application", ["audio", "voip", "lowdelay"])
def test_samples_of_a_packet_of_opus(tmp_path: Path, frame_duration: str, application: str) -> None:
    path = tmp_path / "in.mkv"
    encode(path, 48000, "libopus", {"frame_duration": frame_duration, "application": application})
    with av.open(str(path)) as media:
        packets = [packet for packet in media.demux(audio=0) if packet.size >= 6]
        assert {samples_in(packet) for packet in packets} == {round(48 * float(frame_duration))}


def encode(path: Path, samples: int, codec: str, options: dict[str, str]) -> None:
    """Write noise in one channel at 48 kHz."""
    noise = np.random.default_rng(1).normal(0, 3000, samples).astype(np.int16)
    with av.open(str(path), "w") as made:
        stream = made.add_stream(codec, rate=48000, layout="mono", options=options)
        made.start_encoding()
        for start in range(0, samples, 960):
            frame = av.AudioFrame.from_ndarray(noise[None, start : start + 960], layout="mono")
            frame.sample_rate, frame.pts = 48000, start
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))


@pytest.mark.parametrize("seconds", [0.8, 0.79, 0.777])
@pytest.mark.parametrize("codec", COPIED)
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_the_last_packet_from_matroska_is_heard_whole_in_mp4(
    tmp_path: Path, codec: str, suffix: str, seconds: float
) -> None:
    """Matroska states its duration in milliseconds, or a part of the packet although all of it is heard."""
    source = make_clip(tmp_path / "in.mkv", frames=20, audio=[Audio(codec=codec, seconds=seconds)])
    made = pass_through(source, tmp_path / f"out.{suffix}").path
    if codec != "libmp3lame":  # FFmpeg hears the padding at its end in MP4, whatever the duration states
        assert abs(heard(made) - heard(source)) <= MILLISECOND, "Matroska rounds the priming that is hidden"
    assert abs(duration_of(made) * 48000 - heard(source)) <= 2 * MILLISECOND


@pytest.mark.parametrize("suffix", ["mkv", "ogg"])
def test_the_end_that_opus_hides_is_hidden_in_mp4(tmp_path: Path, suffix: str) -> None:
    audio = tmp_path / f"audio.{suffix}"
    encode(audio, 37_000, "libopus", {})
    source = tmp_path / f"in.{suffix}" if suffix == "mkv" else tmp_path / "in.ogv"
    video = make_clip(tmp_path / "video.mkv", codec="libvpx", frames=20)
    join(video, audio, source)
    made = pass_through(source, tmp_path / "out.mp4").path
    assert heard(source) == 37_000
    assert abs(duration_of(made) * 48000 - 37_000) <= 2 * MILLISECOND, "of its first and its last packet"
    assert not any("audio" in line for line in verify(source, made).lost)


def duration_of(path: Path) -> float:
    return next(float(s["duration"]) for s in ffprobe(path)["streams"] if s["codec_type"] == "audio")


def join(video: Path, audio: Path, path: Path) -> None:
    with av.open(str(video)) as first, av.open(str(audio)) as second, av.open(str(path), "w") as made:
        pairs = [(first, made.add_stream_from_template(first.streams.video[0], opaque=True))]
        pairs.append((second, made.add_stream_from_template(second.streams.audio[0], opaque=True)))
        made.start_encoding()
        for media, stream in pairs:
            for packet in media.demux():
                if packet.size:
                    packet.stream = stream
                    made.mux(packet)


@pytest.mark.parametrize("codec", ["libopus", "aac"])
def test_mp4_hides_exactly_the_priming_of_a_codec_whose_times_matroska_has_rounded(
    codec: str, tmp_path: Path
) -> None:
    """It is 312 samples for Opus at 48 kHz and 1024 for AAC, neither of which is whole milliseconds."""
    source = make_clip(tmp_path / "in.mkv", frames=25, audio=[Audio(codec=codec)])
    out = pass_through(source, tmp_path / "out.mp4").path
    packets = ffprobe(out, "-show_packets", "-select_streams", "a")["packets"]
    (skipped,) = [side for side in packets[0]["side_data_list"] if "skip_samples" in side]
    expected = 312 if codec == "libopus" else 1024
    assert skipped["skip_samples"] == -packets[0]["pts"] == expected
