"""Audio that a container does not list or support is copied, or converted without loss."""

from __future__ import annotations

import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests import judges
from tests.media.pass_through import pass_through, tracks
from tests.media_maker import Audio, make_clip
from vsr.media.audio.latm import access_units, latm_config
from vsr.media.passthrough.stream_plan import plan_streams


def samples(path: Path) -> NDArray[np.float64]:
    """Return the decoded samples of the first audio stream, `(channels, n)`, in [-1, 1]."""
    parts = []
    with av.open(str(path)) as box:
        for frame in box.decode(audio=0):
            values = frame.to_ndarray()
            if not frame.format.is_planar:
                values = values.reshape(frame.samples, -1).T
            parts.append(_whole(values))
    return np.concatenate(parts, axis=1)


def _whole(values: NDArray[np.generic]) -> NDArray[np.float64]:
    if values.dtype == np.uint8:
        return (values.astype(np.float64) - 128) / 128
    scale = 1.0 if values.dtype.kind == "f" else float(2 ** (8 * values.dtype.itemsize - 1))
    return values.astype(np.float64) / scale


def clip(path: Path, codec: str, **knobs: object) -> Path:
    """Write a clip with one audio stream, and video of a codec that the container supports."""
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV {av.__version__} has no encoder {codec}")
    picture = {".ts": "mpeg2video", ".m2ts": "mpeg2video", ".vob": "mpeg2video", ".wmv": "wmv2"}
    options = {"mpegts_m2ts_mode": "1"} if path.suffix == ".m2ts" else {}
    more = {"container": "mpegts"} if path.suffix == ".m2ts" else {}
    return make_clip(
        path,
        frames=8,
        codec=picture.get(path.suffix, "mpeg4"),
        audio=[Audio(codec=codec, **knobs)],  # type: ignore[arg-type]
        container_options=options,
        **more,
    )


LISTED_NOWHERE = [
    ("wmav1", ".avi", {"bit_rate": 128_000}),
    ("wmav2", ".wmv", {"bit_rate": 128_000}),
    ("pcm_alaw", ".avi", {}),
    ("pcm_mulaw", ".mov", {}),
    ("adpcm_ms", ".avi", {}),
    ("adpcm_ima_wav", ".avi", {}),
    ("adpcm_yamaha", ".wmv", {}),
    ("g726", ".wmv", {"rate": 8000, "layout": "mono", "bit_rate": 32_000}),
    ("pcm_s64le", ".avi", {}),
    ("libopencore_amrnb", ".3gp", {"rate": 8000, "layout": "mono", "bit_rate": 12_200}),
]


@pytest.mark.parametrize(("codec", "suffix", "knobs"), LISTED_NOWHERE)
def test_matroska_takes_audio_that_has_a_number_in_wav_files(
    tmp_path: Path, codec: str, suffix: str, knobs: dict[str, object]
) -> None:
    source = clip(tmp_path / f"in{suffix}", codec, **knobs)
    out = pass_through(source, tmp_path / "out.mkv")
    assert out.warnings == []
    (before,), (after,) = tracks(source, "audio"), tracks(out.path, "audio")
    assert after.codec == before.codec
    assert after.payloads == before.payloads
    (track,) = [t for t in judges.mkvmerge(out.path)["tracks"] if t["type"] == "audio"]
    assert track["properties"]["codec_id"] == "A_MS/ACM"


EXACT = [
    ("pcm_bluray", ".m2ts", {}),
    ("pcm_bluray", ".m2ts", {"layout": "5.1(side)"}),
    ("pcm_dvd", ".vob", {}),
    ("pcm_s8", ".mov", {}),
    ("pcm_u8", ".avi", {}),
    ("pcm_f32be", ".mov", {}),
    ("pcm_f64be", ".mov", {}),
    ("pcm_s24be", ".mov", {"layout": "5.1"}),
    ("pcm_s16be_planar", ".nut", {}),
    ("pcm_u16le", ".nut", {}),
    ("pcm_s24le_planar", ".nut", {}),
    ("pcm_alaw", ".avi", {}),
    ("adpcm_ima_wav", ".avi", {}),
    ("adpcm_ima_qt", ".mov", {}),
    ("flac", ".mkv", {}),
    ("tta", ".mkv", {}),
    ("wavpack", ".mkv", {}),
]


@pytest.mark.parametrize("target", [".mkv", ".mp4", ".mov"])
@pytest.mark.parametrize(("codec", "suffix", "knobs"), EXACT)
def test_converted_audio_keeps_every_bit_of_its_samples(
    tmp_path: Path, codec: str, suffix: str, knobs: dict[str, object], target: str
) -> None:
    source = clip(tmp_path / f"in{suffix}", codec, **knobs)
    out = pass_through(source, tmp_path / f"out{target}")
    assert out.warnings == []
    before, after = samples(source), samples(out.path)
    assert before.shape == after.shape
    assert (before == after).all()
    (was,), (now,) = tracks(source, "audio"), tracks(out.path, "audio")
    assert abs(now.times[0] - out.report.shift - was.times[0]) <= Fraction(1, 48000)


def test_converted_blu_ray_pcm_can_be_read_by_other_programs(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.m2ts", "pcm_bluray", layout="5.1(side)")
    out = pass_through(source, tmp_path / "out.mp4").path
    (track,) = [s for s in judges.ffprobe(out)["streams"] if s["codec_type"] == "audio"]
    assert (track["codec_name"], track["channels"]) == ("flac", 6)


@pytest.mark.parametrize("target", [".mkv", ".mp4", ".mov"])
def test_latm_becomes_plain_aac_of_the_same_access_units(tmp_path: Path, target: str) -> None:
    source = make_clip(
        tmp_path / "in.ts",
        codec="mpeg2video",
        audio=[Audio(language="spa")],
        container_options={"mpegts_flags": "latm"},
    )
    (before,) = tracks(source, "audio")
    assert before.codec == "aac_latm"
    out = pass_through(source, tmp_path / f"out{target}")
    assert out.warnings == []
    (after,) = tracks(out.path, "audio")
    assert (after.codec, after.language) == ("aac", "spa")
    assert (samples(source) == samples(out.path)).all()


def test_a_damaged_latm_packet_is_refused_and_never_read_past_its_end(tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / "in.ts", codec="mpeg2video", audio=[Audio()], container_options={"mpegts_flags": "latm"}
    )
    with av.open(str(source)) as box:
        packets = [packet for packet in box.demux(audio=0) if packet.size]
        config = latm_config(packets)
        data = bytes(packets[0])
    assert config is not None
    assert len(access_units(data, config)[0]) == config.units
    for length in range(len(data)):
        with pytest.raises(ValueError):
            access_units(data[:length], config)
    assert latm_config([av.Packet(b"\x56\xe0"), av.Packet(b"not LATM")]) is None


REMEDIES = [
    ("wmav2", ".wmv", {"bit_rate": 128_000}, ".mp4", ".mkv"),
    ("libopus", ".mkv", {}, ".mov", ".mkv"),
    ("nellymoser", ".mov", {"rate": 44100, "layout": "mono"}, ".mkv", ".mov"),
    ("aac", ".mkv", {}, ".webm", ".mkv"),
]


@pytest.mark.parametrize(("codec", "suffix", "knobs", "refusing", "remedy"), REMEDIES)
def test_the_container_that_a_warning_names_does_keep_the_audio(
    tmp_path: Path, codec: str, suffix: str, knobs: dict[str, object], refusing: str, remedy: str
) -> None:
    source = clip(tmp_path / f"in{suffix}", codec, **knobs)
    (warning,) = plan_streams(source, video_index=0, target=Path(f"out{refusing}")).warnings
    assert f"write to {remedy}" in warning
    assert plan_streams(source, video_index=0, target=Path(f"out{remedy}")).warnings == ()


def with_gap(source: Path, path: Path, ticks: int) -> Path:
    """Copy a clip with a gap in its audio after 4 packets of 1024 samples."""
    with av.open(str(source)) as box, av.open(str(path), "w") as out:
        pairs = {s.index: out.add_stream_from_template(s, opaque=True) for s in box.streams}
        for packet in [p for p in box.demux() if p.size]:
            if packet.stream.type == "audio" and packet.pts >= 4 * 1024:
                packet.pts = packet.dts = packet.pts + ticks
            packet.stream = pairs[packet.stream_index]
            out.mux(packet)
    return path


def test_a_gap_of_any_length_is_kept_in_matroska(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.nut", "pcm_u16le", layout="mono", seconds=0.2)
    gappy = with_gap(source, tmp_path / "gappy.nut", 480)
    out = pass_through(gappy, tmp_path / "out.mkv").path
    assert (samples(out) == samples(source)).all()
    (before,), (after,) = tracks(gappy, "audio"), tracks(out, "audio")
    late = [a - b for a, b in zip(after.times, before.times, strict=True)]
    assert max(map(abs, late)) <= Fraction(1, 48000)


def test_a_gap_becomes_silence_where_pcm_has_no_times(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.nut", "pcm_u16le", layout="mono", seconds=0.2)
    gappy = with_gap(source, tmp_path / "gappy.nut", 2400)
    before, after = samples(source), samples(pass_through(gappy, tmp_path / "out.mp4").path)
    assert after.shape[1] == before.shape[1] + 2400
    assert (after[:, 4096:6496] == 0).all()
    assert (np.delete(after, np.s_[4096:6496], axis=1) == before).all()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "vsr", *arguments], capture_output=True, text=True)


def with_custom_channels(path: Path, labels: list[int]) -> Path:
    """Write these channels, in this order, into a MOV (QuickTime's `chan`, by description)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"chan") - 4
    rows = b"".join(struct.pack(">II3f", label, 0, 0, 0, 0) for label in labels)
    made = struct.pack(">I4sIIII", 24 + len(rows), b"chan", 0, 0, 0, len(labels)) + rows
    grown = len(made) - int.from_bytes(data[at : at + 4], "big")
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"sowt"):
        start = data.rindex(kind, 0, at) - 4
        size = int.from_bytes(data[start : start + 4], "big") + grown
        data[start : start + 4] = size.to_bytes(4, "big")
    data[at : at + len(made) - grown] = made
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_mp4_states_the_end_of_audio_to_the_sample_although_matroska_has_milliseconds(
    tmp_path: Path, rate: int, suffix: str
) -> None:
    source = clip(tmp_path / "in.mkv", "aac", rate=rate)
    out = pass_through(source, tmp_path / f"out{suffix}").path
    assert tick_of(source) == Fraction(1, 1000)
    with av.open(str(out)) as box:
        stream = box.streams.audio[0]
        (*_, last) = [packet for packet in box.demux(stream) if packet.size]
        assert last.pts is not None
        assert stream.duration == last.pts + (last.duration or 0)
    assert samples(out).shape == samples(source).shape


def tick_of(path: Path) -> Fraction:
    with av.open(str(path)) as box:
        base = box.streams.audio[0].time_base
        assert base is not None
        return Fraction(base.numerator, base.denominator)


@pytest.mark.parametrize("target", [".mov", pytest.param(".mp4", marks=pytest.mark.slow), ".mkv"])
def test_channels_in_a_custom_order_do_not_crash_the_process(tmp_path: Path, target: str) -> None:
    """Runs in its own process: PyAV frees such a layout twice when it is read."""
    source = make_clip(tmp_path / "in.mov", frames=3, audio=[Audio(codec="pcm_s16le")])
    with_custom_channels(source, [2, 1])
    out = tmp_path / f"out{target}"
    done = run("upscale", str(source), str(out), "-m", "bicubic")
    assert done.returncode == 0, done.stderr
    for command in (["info", str(source)], ["verify", str(source), str(out)]):
        assert run(*command).returncode == 0, command
    assert ("FR+FL" in done.stderr) == (target == ".mkv"), "only Matroska cannot say the order"
    assert tracks(out, "audio")[0].digest == tracks(source, "audio")[0].digest


@pytest.mark.parametrize(
    ("codec", "rate", "bits"), [("libopencore_amrnb", 8000, 12_200), ("nellymoser", 44100, 0)]
)
def test_a_priming_shorter_than_a_packet_stays_hidden_in_quicktime(
    tmp_path: Path, codec: str, rate: int, bits: int
) -> None:
    source = clip(tmp_path / "in.mov", codec, rate=rate, layout="mono", bit_rate=bits)
    out = pass_through(source, tmp_path / "out.mov")
    assert out.report.shift == 0
    before, after = samples(source), samples(out.path)
    assert before.shape == after.shape
    assert (before == after).all()


def test_audio_without_a_decoder_is_copied_if_the_muxer_supports_it(tmp_path: Path) -> None:
    """Uses the name of MPEG-H only: FFmpeg has no decoder for it, and PyAV refuses to add such a stream."""
    source = make_clip(tmp_path / "in.mp4", audio=[Audio()])
    data = source.read_bytes().replace(b"esds", b"free")
    at = data.rindex(b"mp4a")
    source.write_bytes(data[:at] + b"mhm1" + data[at + 4 :])
    out = pass_through(source, tmp_path / "out.mp4")
    assert out.warnings == []
    (track,) = [s for s in judges.ffprobe(out.path)["streams"] if s["codec_type"] == "audio"]
    assert track["codec_tag_string"] == "mhm1"
    assert tracks(out.path, "audio")[0].payloads == tracks(source, "audio")[0].payloads
    (warning,) = plan_streams(source, video_index=0, target=Path("out.mkv")).warnings
    assert "write to .m" in warning
