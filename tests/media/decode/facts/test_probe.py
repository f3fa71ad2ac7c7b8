"""The facts in the headers and the first frame of a video are in its `VideoInfo`."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.media_maker import MAX_CLL, MAX_FALL, Audio, make_clip, truncated
from vsr.color.spec import ChromaLocation, ColorSpec, Matrix, Primaries, Range, Transfer
from vsr.errors import ConfigError, InputError
from vsr.frame import ContentLight
from vsr.media.decode.facts.probe import probe

HDR = ColorSpec(
    matrix=Matrix.BT2020_NCL, transfer=Transfer.PQ, primaries=Primaries.BT2020, range=Range.LIMITED
)


def test_size_time_and_codec(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.mp4", width=66, height=50, frames=10, rate=Fraction(30000, 1001)))
    assert (info.width, info.height, info.codec, info.pixel_format) == (66, 50, "h264", "yuv420p")
    assert info.frame_rate == Fraction(30000, 1001)
    assert info.frames_promised == 10
    assert info.duration_seconds == 10 * Fraction(1001, 30000)
    assert info.start_seconds == 0


def test_the_start_time_of_the_video_is_kept(tmp_path: Path) -> None:
    ticks = [90000 + 3600 * i for i in range(8)]
    info = probe(make_clip(tmp_path / "a.mp4", pts=ticks, time_base=Fraction(1, 90000)))
    assert info.start_seconds == 1
    assert info.time_base == Fraction(1, 90000)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_counter_clockwise_as_in_ffmpeg(tmp_path: Path, suffix: str, degrees: int) -> None:
    info = probe(make_clip(tmp_path / f"a.{suffix}", rotation=degrees))
    assert info.rotation == degrees
    assert (info.width, info.height) == (64, 48)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_pixels_that_are_not_square(tmp_path: Path, suffix: str) -> None:
    assert probe(make_clip(tmp_path / f"a.{suffix}", sar=Fraction(32, 27))).sample_aspect_ratio == Fraction(
        32, 27
    )


def test_missing_tags_are_guessed_with_a_note(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.mkv"))
    assert info.tagged.matrix is Matrix.UNSPECIFIED
    assert info.color.matrix is not Matrix.UNSPECIFIED
    assert any("matrix" in guess for guess in info.guesses)


def test_colour_tags_are_read(tmp_path: Path) -> None:
    spec = ColorSpec(
        matrix=Matrix.SMPTE170M, transfer=Transfer.BT709, primaries=Primaries.BT470BG, range=Range.LIMITED
    )
    tagged = probe(make_clip(tmp_path / "a.mkv", color=spec)).tagged
    assert (tagged.matrix, tagged.transfer, tagged.primaries, tagged.range) == (
        spec.matrix,
        spec.transfer,
        spec.primaries,
        spec.range,
    )


@pytest.mark.parametrize(("code", "place"), [(0, ChromaLocation.LEFT), (2, ChromaLocation.TOPLEFT)])
def test_chroma_location_is_read_from_the_stream(tmp_path: Path, code: int, place: ChromaLocation) -> None:
    # chromaloc is H.264's chroma_sample_loc_type, one less than FFmpeg's number
    path = make_clip(tmp_path / "a.mkv", options={"x264-params": f"chromaloc={code}"})
    assert probe(path).tagged.chroma_location is place


def test_jpeg_frames_are_full_range_with_centred_chroma(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.mov", codec="mjpeg", pix_fmt="yuvj420p"))
    assert info.color.range is Range.FULL
    assert info.color.chroma_location is ChromaLocation.CENTER


def test_probing_restores_ffmpegs_log_level(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", frames=2)
    before = av.logging.get_level()
    probe(path)
    assert av.logging.get_level() == before


@pytest.mark.parametrize(
    ("first", "word"), [("top", "top-first"), ("bottom", "bottom-first"), ("", "progressive")]
)
def test_field_order(tmp_path: Path, first: str, word: str) -> None:
    assert probe(make_clip(tmp_path / "a.ts", codec="mpeg2video", interlaced=first)).field_order == word


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_hdr10_metadata_is_read(tmp_path: Path, suffix: str) -> None:
    path = make_clip(
        tmp_path / f"a.{suffix}", codec="libx265", pix_fmt="yuv420p10le", hdr10=True, color=HDR, frames=3
    )
    info = probe(path)
    display = info.mastering_display
    assert display is not None
    assert display.green == (Fraction(13250, 50000), Fraction(34500, 50000))
    assert display.white == (Fraction(15635, 50000), Fraction(16450, 50000))
    assert (display.min_luminance, display.max_luminance) == (Fraction(50, 10000), 1000)
    assert info.content_light == ContentLight(max_cll=MAX_CLL, max_fall=MAX_FALL)
    assert info.color.transfer is Transfer.PQ
    assert info.layout.bit_depth == 10


def test_transparent_webm_keeps_its_alpha(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.webm", codec="libvpx-vp9", pix_fmt="yuva420p", frames=3))
    assert info.pixel_format == "yuva420p"
    assert info.layout.alpha


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_cover_picture_is_not_chosen_as_the_video(tmp_path: Path, suffix: str) -> None:
    info = probe(make_clip(tmp_path / f"a.{suffix}", cover=True))
    assert (info.codec, info.width) == ("h264", 64)


def test_the_video_stream_can_be_chosen_and_a_wrong_choice_lists_them(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", audio=[Audio(codec="flac")])
    assert probe(path, video_stream=0).stream_index == 0
    with pytest.raises(ConfigError, match=r"stream 1 is not a video stream; video streams are: 0 \(h264\)"):
        probe(path, video_stream=1)


def test_a_file_with_audio_only_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.wav"), "w") as box:
        stream = box.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame(format="s16", layout="stereo", samples=800)
        frame.sample_rate = 8000
        box.mux(stream.encode(frame))
        box.mux(stream.encode(None))
    with pytest.raises(InputError, match="contains no video stream"):
        probe(tmp_path / "a.wav")


def test_a_video_without_a_decodable_frame_is_refused(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", codec="mjpeg", pix_fmt="yuvj420p", frames=3)
    data = path.read_bytes()
    head = data.index(b"\xff\xd8\xff")
    path.write_bytes(data[:head] + bytes(len(data) - head))
    with pytest.raises(InputError, match="no frame of video stream 0 can be decoded"):
        probe(path)


def test_a_small_file_with_a_huge_frame_is_refused(tmp_path: Path) -> None:
    side = 9000  # 81 million pixels, over the limit of 67 million
    path = tmp_path / "bomb.png"
    rows = zlib.compress(bytes((1 + side // 8) * side), 1)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    parts = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    with pytest.raises(InputError, match="over the limit"):
        probe(path)


def test_a_truncated_matroska_still_states_its_duration(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "a.mkv", frames=60)
    assert probe(whole).frames_promised == 60


def test_fragmented_mp4_states_no_number_of_frames(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", container_options={"movflags": "frag_keyframe+empty_moov"})
    assert probe(path).frames_promised is None
    with pytest.raises(InputError):
        probe(truncated(path, tmp_path / "b.mp4", 0.05))


def test_probing_never_loads_torch(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", frames=2)
    code = f"import sys; from vsr.media.decode.facts.probe import probe; probe({str(path)!r})"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.needs_material
def test_real_clips(material: Path) -> None:
    clips = material / "data" / "clips"
    two_films = probe(clips / "nasa_13013.mp4")
    assert (two_films.stream_index, two_films.width, two_films.frames_promised) == (3, 480, 390)
    assert probe(clips / "nasa_13013.mp4", video_stream=0).width == 320
    assert probe(clips / "nasa_13013_rotated.mp4").rotation == 90
    assert probe(clips / "test_non_zero_start.mp4").start_seconds == Fraction(127995, 15360)
    assert probe(clips / "embedded-image__h264-png.mkv").codec == "h264"
    assert probe(clips / "bt709_full_range.mp4").tagged.range is Range.FULL
    assert probe(clips / "SAR-2by3.mp4").sample_aspect_ratio == Fraction(2, 3)
    assert probe(clips / "testsrc2_444_10bit_hevc.mp4").layout.bit_depth == 10


def test_an_encrypted_video_is_refused_as_such(tmp_path: Path) -> None:
    scheme = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
        "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
    }
    with av.open(str(tmp_path / "a.mp4"), "w", options=scheme) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="encrypted"):
        probe(tmp_path / "a.mp4")
