"""The shape of frames is kept: pixel aspect ratio, hidden borders, and orientation.

Sources are written by mkvmerge, or box by box. ffprobe, mkvinfo and mediainfo read the results.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.judges import ffprobe, mediainfo, mkvmerge, run
from tests.media.pass_through import pass_through
from tests.media_maker import Audio, make_clip
from vsr.frame import Crop
from vsr.media.decode.facts.probe import probe
from vsr.media.formats.boxes import box, edited, find_boxes, full_box
from vsr.media.metadata.orientation import moved_with, ratio_of_ffmpeg, rotation_of
from vsr.media.mux.pipe_sink import open_pipe_sink
from vsr.pipeline.run import upscale
from vsr.settings.schema import EncoderSettings

_ONE = 1 << 16
_WIDE = (2 * _ONE, 0, 0, 0, _ONE, 0, 0, 0, 1 << 30)
_TURNED_AND_WIDE = (0, 2 * _ONE, 0, -_ONE, 0, 0, 48 * _ONE, 0, 1 << 30)


def _upscaled(source: Path, suffix: str) -> Path:
    target = source.with_name(f"result.{suffix}")
    encoder = "libsvtav1" if suffix == "webm" else "libx264"
    preset = "12" if suffix == "webm" else "ultrafast"
    upscale(source, target, model="bicubic", scale=2, encoder=encoder, preset=preset)
    return target


def _with_matroska(tmp_path: Path, *options: str, **knobs: object) -> Path:
    clip = make_clip(tmp_path / "plain.mkv", frames=3, **knobs)
    made = tmp_path / "a.mkv"
    run("mkvmerge", "-q", "-o", str(made), *options, str(clip))
    return made


def _video(path: Path) -> dict[str, object]:
    return ffprobe(path, "-show_streams", "-select_streams", "v")["streams"][0]


def _track_lines(path: Path) -> list[str]:
    """Return mkvinfo's lines about the video track."""
    text = run("mkvinfo", "-v", str(path)).partition("Video track")[2].partition("| + Track\n")[0]
    return [line.lstrip("| +") for line in text.splitlines()]


def _replaced_in_index(path: Path, change: object) -> Path:
    """Return the file with its index edited; the index is at the end, so nothing else moves."""
    data = path.read_bytes()
    with path.open("rb") as file:
        ((start, end),) = find_boxes(file, 0, len(data), b"moov")
    path.write_bytes(data[: start - 8] + box(b"moov", change(data[start:end])) + data[end:])
    return path


def _with_clean_aperture(path: Path, *numbers: int) -> Path:
    """Return the file with a clap of these eight numbers in its first sample entry."""

    def put(stsd: bytes) -> bytes:
        size = int.from_bytes(stsd[8:12], "big")
        entry = stsd[16 : 8 + size] + box(b"clap", struct.pack(">iIiIiIiI", *numbers))
        return stsd[:8] + box(stsd[12:16], entry) + stsd[8 + size :]

    path_ = (b"trak", b"mdia", b"minf", b"stbl", b"stsd")
    return _replaced_in_index(path, lambda moov: edited(moov, put, *path_))


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov", "webm"])
@pytest.mark.parametrize("mode", [1, 3], ids=["side by side", "top and bottom"])
def test_two_views_in_one_frame_keep_their_pixels_and_arrangement(
    tmp_path: Path, suffix: str, mode: int
) -> None:
    source = _with_matroska(tmp_path, "--stereo-mode", f"0:{mode}", "--display-dimensions", "0:64x48")
    was, now = _video(source), _video(_upscaled(source, suffix))
    assert now["sample_aspect_ratio"] == was["sample_aspect_ratio"]
    assert now["side_data_list"] == was["side_data_list"]


@pytest.mark.parametrize("sar", [Fraction(32, 27), Fraction(2)])
@pytest.mark.parametrize("source", ["mkv", "mp4"])
def test_each_shape_element_occurs_once_in_matroska_and_survives_mkvmerge(
    tmp_path: Path, sar: Fraction, source: str
) -> None:
    clip = make_clip(tmp_path / f"a.{source}", frames=3, sar=sar, audio=[Audio()])
    made = _upscaled(clip, "mkv")
    lines = [line for line in _track_lines(made) if line.startswith("Display")]
    names = [line.partition(":")[0] for line in lines]
    assert len(names) == len(set(names))
    again = tmp_path / "again.mkv"
    run("mkvmerge", "-q", "-o", str(again), str(made))
    assert _video(again)["sample_aspect_ratio"] == f"{sar.numerator}:{sar.denominator}"


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_the_size_of_an_mp4_track_is_its_display_size(tmp_path: Path, suffix: str) -> None:
    clip = make_clip(tmp_path / "a.mkv", frames=3, sar=Fraction(32, 27), video_metadata={"title": "Film"})
    made = _upscaled(clip, suffix)
    data = made.read_bytes()
    kind = data.index(b"tkhd")  # of the first track, the video
    (size,) = struct.unpack_from(">I", data, kind - 4)
    across, down = struct.unpack_from(">II", data, kind - 4 + size - 8)
    assert (round(across / 65536), down / 65536) == (152, 96)
    assert mediainfo(made)[1]["Title"].startswith("Film")
    assert b"-----" not in made.read_bytes()


@pytest.mark.parametrize("suffix", ["mkv", "webm"])
def test_hidden_borders_stay_hidden_in_matroska(tmp_path: Path, suffix: str) -> None:
    source = _with_matroska(tmp_path, "--cropping", "0:8,4,2,6")
    lines = _track_lines(_upscaled(source, suffix))
    sides = {line.partition(":")[0]: int(line.partition(":")[2]) for line in lines if "crop" in line}
    assert sides == {f"Pixel crop {name}": n for name, n in _SIDES.items()}


_SIDES = {"left": 16, "top": 8, "right": 4, "bottom": 12}


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("source", ["mp4", "mkv"])
def test_hidden_borders_are_converted_between_containers(tmp_path: Path, suffix: str, source: str) -> None:
    if source == "mp4":
        clip = make_clip(tmp_path / "a.mp4", frames=3)
        _with_clean_aperture(clip, 54, 1, 38, 1, 3, 1, -1, 1)  # 8 left, 2 right, 4 top, 6 bottom
    else:
        clip = _with_matroska(tmp_path, "--cropping", "0:8,4,2,6")
    assert probe(clip).crop == Crop(**{side: Fraction(n, 2) for side, n in _SIDES.items()})
    assert probe(_upscaled(clip, suffix)).crop == Crop(**{side: Fraction(n) for side, n in _SIDES.items()})


def test_a_clean_aperture_of_half_pixels_is_exact(tmp_path: Path) -> None:
    clip = _with_clean_aperture(make_clip(tmp_path / "a.mp4", frames=3), 63, 1, 48, 1, 0, 1, 0, 1)
    half = Fraction(1, 2)
    assert probe(clip).crop == Crop(left=half, right=half)
    assert probe(_upscaled(clip, "mp4")).crop == Crop(left=Fraction(1), right=Fraction(1))


@pytest.mark.parametrize(
    "numbers", [(0, 1, 0, 1, 0, 1, 0, 1), (64, 0, 48, 1, 0, 1, 0, 1), (99, 1, 48, 1, 9, 1, 0, 1)]
)
def test_an_invalid_clean_aperture_is_ignored(tmp_path: Path, numbers: tuple[int, ...]) -> None:
    assert probe(_with_clean_aperture(make_clip(tmp_path / "a.mp4", frames=3), *numbers)).crop is None


def _with_matrix(path: Path, matrix: tuple[int, ...], *, stated: bool) -> Path:
    """Write a clip with a display matrix. With `stated`, square pixels are stated; otherwise FFmpeg uses the
    matrix.
    """
    with av.open(str(path), "w") as box_:
        stream = box_.add_stream("libx264", rate=25)
        stream.width, stream.height = 64, 48
        if stated:
            stream.sample_aspect_ratio = Fraction(1)
        stream.set_display_matrix(matrix)
        for _ in range(3):
            box_.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        box_.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize(("matrix", "rotation"), [(_WIDE, 0), (_TURNED_AND_WIDE, -90)])
def test_a_stretching_matrix_becomes_the_pixel_aspect_ratio(
    tmp_path: Path, suffix: str, matrix: tuple[int, ...], rotation: int, stated: bool
) -> None:
    video = _video(_upscaled(_with_matrix(tmp_path / "a.mp4", matrix, stated=stated), suffix))
    assert video["sample_aspect_ratio"] == "2:1"
    found = [data["rotation"] for data in video.get("side_data_list", []) if "rotation" in data]
    assert found == ([rotation] if rotation else found)


def test_a_matrix_is_split_and_scaled_with_the_frame() -> None:
    pure, stretch = rotation_of(_TURNED_AND_WIDE)
    assert pure is not None
    assert (pure[:6], stretch) == ((0, _ONE, 0, -_ONE, 0, 0), 2)
    assert rotation_of(_WIDE) == (None, 2)
    assert rotation_of((2 * _ONE, 0, 0, 0, 2 * _ONE, 0, 0, 0, 1 << 30)) == (None, 1)
    assert moved_with(pure, Fraction(2), Fraction(3))[6] == 3 * 48 * _ONE
    sheared = (_ONE, _ONE, 0, 0, _ONE, 0, 0, 0, 1 << 30)
    assert rotation_of(sheared) == (sheared, 1)
    assert ratio_of_ffmpeg(_WIDE) == 2


def test_the_search_for_boxes_ends_at_invalid_data(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(box(b"moov", b"\xff" * 30) + full_box(b"trak", b"") + b"\0\0\0\2moov")
    with path.open("rb") as file:
        assert list(find_boxes(file, 0, 100, b"moov", b"trak")) == []
        assert list(find_boxes(file, 0, 50, b"trak")) == [(46, 50)]


@pytest.mark.parametrize(
    ("mode", "suffix", "reported"),
    [(5, "mp4", True), (5, "mkv", False), (11, "mov", True), (12, "webm", True), (13, "mkv", False)],
)
def test_an_arrangement_of_views_that_a_container_does_not_support_is_reported(
    tmp_path: Path, mode: int, suffix: str, reported: bool
) -> None:
    source = _with_matroska(tmp_path, "--stereo-mode", f"0:{mode}")
    report = upscale(source, tmp_path / f"b.{suffix}", model="bicubic", scale=2)
    assert any("arrangement of two views" in line for line in report.warnings) is reported
    if not reported:
        stereo = [
            mkvmerge(path)["tracks"][0]["properties"]["stereo_mode"] for path in (source, tmp_path / "b.mkv")
        ]
        assert stereo == [mode, mode]


def test_frame_packing_in_the_stream_becomes_the_containers_stereo_mode(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.ts", frames=30, options={"x264-params": "frame-packing=3"})
    for suffix in ("mkv", "mp4"):
        (data,) = _video(_upscaled(clip, suffix))["side_data_list"]
        assert data["type"] == "side by side"


@pytest.mark.parametrize(
    ("encoder", "suffix"), [("ffv1", "mkv"), ("libvpx-vp9", "webm"), ("libsvtav1", "mp4")]
)
def test_mastering_display_and_light_level_are_stored_in_every_container(
    tmp_path: Path, encoder: str, suffix: str
) -> None:
    clip = make_clip(tmp_path / "a.mkv", codec="libx265", pix_fmt="yuv420p10le", hdr10=True, frames=3)
    target = tmp_path / f"b.{suffix}"
    fields: dict[str, object] = {"pixel_format": "yuv420p"} if encoder == "libvpx-vp9" else {}
    report = upscale(clip, target, model="bicubic", scale=2, encoder=encoder, **fields)
    assert not any("mastering" in line for line in report.warnings)
    track = mediainfo(target)[1]
    assert track["MasteringDisplay_Luminance"].startswith("min: 0.0050 cd/m2, max: 1000")
    assert [track[key].split()[0] for key in ("MaxCLL", "MaxFALL")] == ["1000", "400"]


def test_position_metadata_is_dropped_if_a_filter_crops(tmp_path: Path) -> None:
    source = _with_matroska(tmp_path, "--cropping", "0:8,4,2,6")
    target = tmp_path / "b.mkv"
    upscale(source, target, model="bicubic", scale=2, filters_before=("crop=48:32:8:4",))
    assert probe(target).crop is None


def test_a_pipe_names_the_properties_that_it_cannot_carry(tmp_path: Path) -> None:
    source = _with_matroska(tmp_path, "--cropping", "0:8,4,2,6", "--stereo-mode", "0:1")
    with (tmp_path / "out.nut").open("wb") as file:
        sink = open_pipe_sink(
            source=source,
            info=probe(source),
            width=128,
            height=96,
            settings=EncoderSettings(),
            fd=file.fileno(),
        )
        notes = sink.warnings
        sink.abort()
    assert "a pipe cannot carry hidden borders, the arrangement of two views" in notes


@pytest.mark.parametrize(
    ("packing", "mode", "kind"),
    [
        (0, "checkerboard_lr", "checkerboard"),
        (1, "col_interleaved_lr", "interleaved columns"),
        (2, "row_interleaved_lr", "interleaved lines"),
        (3, "left_right", "side by side"),
        (4, "top_bottom", "top and bottom"),
        (5, "block_lr", "frame alternate"),
    ],
)
@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_an_arrangement_that_only_frames_state_is_kept_or_named(
    tmp_path: Path, packing: int, mode: str, kind: str, suffix: str
) -> None:
    """H.264's frame packing message, in a container that says nothing of it."""
    source = make_clip(tmp_path / "in.ts", options={"x264-params": f"frame-packing={packing}"})
    made = pass_through(source, tmp_path / f"out.{suffix}")
    (stream,) = ffprobe(made.path)["streams"]
    kinds = [data.get("type") for data in stream.get("side_data_list", [])]
    if suffix == "mkv":
        assert stream["tags"]["stereo_mode"] == mode
    elif kind not in kinds:
        assert packing not in (3, 4)
        assert any("arrangement of two views" in warning for warning in made.warnings), made.warnings
