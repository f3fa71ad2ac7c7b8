"""Every frame of a file is returned once, in order, with its own timestamp; repairs of unusual input are
reported.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from tests.media_maker import make_clip, number_in, pts_of
from vsr.color.spec import ColorSpec, Matrix, Range
from vsr.frame import YuvFrame
from vsr.media.decode.interlacing import INTERLACED_OFF, INTERLACED_ON
from vsr.media.decode.source import UNCOUNTED, VideoSource, open_video
from vsr.media.files.opening import GENERATED_TIMES
from vsr.media.files.pyav import TEXT

VFR = [0, 40, 41, 200, 260, 600, 601, 640, 900, 1500, 1501, 4000]
"""In milliseconds."""
MS = Fraction(1, 1000)
WHOLE: dict[str, dict[str, Any]] = {
    "plain.mp4": {},
    "bframes.mp4": {"bframes": 3},
    "bframes.mkv": {"bframes": 3},
    "bframes.ts": {"bframes": 2},
    "bframes.flv": {"bframes": 2},
    "one_picture.mp4": {"frames": 1},
    "one_picture.mkv": {"frames": 1, "codec": "libx265"},
    "two_pictures.mkv": {"frames": 2, "bframes": 2},
    "vfr.mp4": {"pts": VFR, "time_base": MS, "bframes": 2},
    "vfr.mkv": {"pts": VFR, "time_base": MS},
    "vfr.ts": {"pts": [90 * t for t in VFR], "time_base": Fraction(1, 90000)},
    "vfr.flv": {"pts": VFR, "time_base": MS},
    "gap.mkv": {"pts": [40 * i + (4000 if i > 40 else 0) for i in range(60)], "time_base": MS},
    "gap.ts": {
        "pts": [3600 * i + (90000 if i > 40 else 0) for i in range(60)],
        "time_base": Fraction(1, 90000),
    },
    "long_last.mkv": {"pts": [*range(0, 400, 40), 9000], "time_base": MS},
    "long_last.mp4": {"pts": [*range(0, 400, 40), 9000], "time_base": MS},
    "late_start.mp4": {"pts": [8000 + 40 * i for i in range(12)], "time_base": MS},
    "late_start.mkv": {"pts": [8000 + 40 * i for i in range(12)], "time_base": MS},
    "before_zero.nut": {"pts": [-200 + 40 * i for i in range(12)], "time_base": MS, "codec": "mpeg4"},
    "odd.mkv": {"width": 65, "height": 49, "codec": "ffv1"},
    "tiny.mkv": {"width": 16, "height": 2, "codec": "ffv1"},
    "hevc10.mp4": {"codec": "libx265", "pix_fmt": "yuv422p10le", "bframes": 2},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "vp9_alpha.webm": {"codec": "libvpx-vp9", "pix_fmt": "yuva420p"},
    "av1.mkv": {"codec": "libsvtav1", "options": {"svtav1-params": "lp=1"}},
    "prores.mov": {"codec": "prores_ks", "pix_fmt": "yuva444p10le"},
    "png.mov": {"codec": "png", "pix_fmt": "rgba"},
    "gray16.mkv": {"codec": "ffv1", "pix_fmt": "gray16le"},
    "rgb10.mkv": {"codec": "ffv1", "pix_fmt": "gbrp10le"},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "mpeg4.avi": {"codec": "mpeg4"},
    "anim.gif": {"codec": "gif", "pix_fmt": "rgb8"},
    "film.mpg": {"codec": "mpeg2video", "bframes": 2},
    "film.ivf": {"codec": "libvpx-vp9"},
    "film.y4m": {"codec": "wrapped_avframe"},
    "film.wmv": {"codec": "wmv2"},
    "film.mxf": {"codec": "mpeg2video", "bframes": 2},
    "film.3gp": {"codec": "mpeg4"},
    "bluray.m2ts": {"container_options": {"mpegts_m2ts_mode": "1"}, "bframes": 2},
    "opengop.mkv": {"options": {"x264-params": "open-gop=1:keyint=6:bframes=2"}, "frames": 40},
    "opengop.mp4": {"codec": "libx265", "bframes": 2, "gop": 6, "frames": 40},
    "fragments.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}, "frames": 30},
}
"""Files without damage."""


def read(source: VideoSource, *args: int) -> list[YuvFrame]:
    with source:
        return list(source.frames(*args))


def times(frames: list[YuvFrame]) -> list[Fraction]:
    return [frame.stamp.seconds for frame in frames]


def numbers(frames: list[YuvFrame]) -> list[int]:
    return [number_in(frame.planes[0]) for frame in frames]


@pytest.mark.parametrize("name", WHOLE)
def test_all_frames_of_an_intact_file_have_the_times_of_a_plain_decode(tmp_path: Path, name: str) -> None:
    path = make_clip(tmp_path / name, **WHOLE[name])
    source = open_video(path)
    frames = read(source)
    assert times(frames) == pts_of(path)
    assert numbers(frames) == list(range(len(frames)))
    assert len(frames) == (len(WHOLE[name].get("pts", ())) or WHOLE[name].get("frames", 12))
    assert [frame.stamp.index for frame in frames] == list(range(len(frames)))
    assert not source.damage, source.damage
    assert source.warnings == []


def test_frames_hidden_by_an_edit_list_are_not_reported_missing(tmp_path: Path) -> None:
    pts = [-200 + 40 * i for i in range(12)]
    path = make_clip(tmp_path / "a.mp4", pts=pts, time_base=MS, options={"x264-params": "keyint=1"})
    source = open_video(path)
    frames = read(source)
    assert times(frames) == pts_of(path)
    assert 0 < len(frames) < 12
    assert not source.damage, source.damage
    assert source.info.frames_promised == len(frames)


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_frames_keep_their_alpha(tmp_path: Path, codec: str) -> None:
    options = {"auto-alt-ref": "0"}
    path = make_clip(tmp_path / "a.webm", codec=codec, pix_fmt="yuva420p", frames=3, options=options)
    frames = read(open_video(path))
    assert [number_in(frame.planes[0]) for frame in frames] == [0, 1, 2]
    assert times(frames) == pts_of(path)
    for frame in frames:
        assert frame.alpha is not None
        assert frame.alpha.shape == frame.planes[0].shape
        assert frame.alpha[-1].float().mean() > frame.alpha[0].float().mean() + 50  # the maker's gradient


def test_samples_of_more_than_8_bits_are_unchanged(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", codec="ffv1", pix_fmt="yuv422p10le", frames=2)
    with av.open(str(path)) as box:
        stored = next(box.decode(video=0))
    frame = read(open_video(path))[0]
    for plane, expected in zip(frame.planes, stored.planes, strict=True):
        rows = np.frombuffer(expected, np.uint16).reshape(expected.height, -1)[:, : expected.width]
        assert torch.equal(plane, torch.from_numpy(rows.copy()))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_range_of_frames_equals_that_part_of_the_whole_video(tmp_path: Path, name: str) -> None:
    source = open_video(make_clip(tmp_path / name, frames=20, bframes=2))
    whole = list(source.frames())
    for first, stop in ((0, 5), (7, 13), (15, None), (19, 20), (3, 3), (40, None)):
        part = list(source.frames(first, stop))
        assert [frame.stamp for frame in part] == [frame.stamp for frame in whole[first:stop]]
        assert numbers(part) == numbers(whole[first:stop])


def test_start_and_end_are_seconds_after_the_first_frame(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", pts=[8000 + 40 * i for i in range(25)], time_base=MS)
    frames = read(open_video(path, start=Fraction(2, 10), end=Fraction(4, 10)))
    assert numbers(frames) == [5, 6, 7, 8, 9]
    assert times(frames)[0] == Fraction(82, 10)
    assert frames[0].stamp.index == 5


def test_a_stream_without_timestamps_gets_even_ones_with_a_warning(tmp_path: Path) -> None:
    source = open_video(make_clip(tmp_path / "a.h264", bframes=2))
    frames = read(source)
    assert times(frames) == [Fraction(i, 25) for i in range(12)]
    assert numbers(frames) == list(range(12))
    assert source.warnings[0] == UNCOUNTED
    assert len(source.warnings) == 2
    assert "nominal rate of 25 a second" in source.warnings[1]


def test_avi_with_b_frames_has_increasing_times(tmp_path: Path) -> None:
    source = open_video(make_clip(tmp_path / "a.avi", codec="mpeg4", bframes=2))
    frames = read(source)
    assert numbers(frames) == list(range(12))
    assert all(a < b for a, b in zip(times(frames), times(frames)[1:], strict=False))


def test_a_pixel_format_that_changes_is_converted_to_the_first(tmp_path: Path) -> None:
    parts = [
        make_clip(tmp_path / "1.ts", frames=10),
        make_clip(tmp_path / "2.ts", frames=10, pix_fmt="yuv422p10le", first_number=10),
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    source = open_video(joined)
    frames = read(source)
    assert {frame.planes[1].shape for frame in frames} == {torch.Size([24, 32])}
    assert {frame.planes[0].dtype for frame in frames} == {torch.uint8}
    assert numbers(frames)[-10:] == list(range(10, 20))
    assert any("pixel format changes" in warning for warning in source.warnings)


@pytest.mark.parametrize(("first", "then"), [("yuv420p", "yuvj420p"), ("yuvj420p", "yuv420p")])
def test_a_range_that_changes_is_converted_to_the_first(tmp_path: Path, first: str, then: str) -> None:
    parts = []
    for part, pixel_format in enumerate((first, then)):
        # With a matrix, H.264 states the range, too; without one, FFmpeg keeps the previous part's range.
        color = ColorSpec(matrix=Matrix.BT709, range=Range.FULL if "j" in pixel_format else Range.LIMITED)
        parts.append(make_clip(tmp_path / f"{part}.ts", pix_fmt=pixel_format, frames=10, color=color))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames = read(open_video(joined))
    odd = [frame for frame in frames if number_in(frame.planes[0]) % 2]  # their first bar is white
    white = 255 if "j" in first else 235
    for frame in odd:
        assert abs(float(frame.planes[0][3:9, 2:6].float().mean()) - white) <= 6  # the ranges are 20 apart
    assert len(frames) == 20


def test_times_that_start_again_are_continued_with_a_warning(tmp_path: Path) -> None:
    pts = [90000 * 10 + 3600 * i for i in range(12)]
    late = make_clip(tmp_path / "1.ts", pts=pts, time_base=Fraction(1, 90000))
    early = make_clip(tmp_path / "2.ts", first_number=12)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(late.read_bytes() + early.read_bytes())
    source = open_video(joined)
    frames = read(source)
    steps = {b - a for a, b in zip(times(frames), times(frames)[1:], strict=False)}
    assert numbers(frames) == list(range(24))
    assert steps == {Fraction(1, 25)}
    assert any("jump back" in warning for warning in source.warnings)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_last_interlaced_frames_are_not_lost(tmp_path: Path, count: int) -> None:
    path = make_clip(tmp_path / "a.mkv", codec="ffv1", interlaced="top", frames=count)
    assert numbers(read(open_video(path))) == list(range(count))


@pytest.mark.parametrize("name", ["a.ts", "a.mkv"])
@pytest.mark.parametrize("order", ["top", "bottom"])
def test_each_interlaced_frame_becomes_one_deinterlaced_frame(tmp_path: Path, name: str, order: str) -> None:
    codec = "mpeg2video" if name == "a.ts" else "libx264"
    path = make_clip(tmp_path / name, codec=codec, interlaced=order, bframes=1)
    source = open_video(path)
    frames = read(source)
    assert [frame.stamp for frame in frames] == [f.stamp for f in read(open_video(path, deinterlace="off"))]
    assert times(frames) == pts_of(path)
    assert numbers(frames) == list(range(12))
    assert source.warnings == [INTERLACED_ON]


def test_deinterlacing_removes_combing(tmp_path: Path) -> None:
    """In moving bars, the two fields show different positions, so neighbouring rows differ."""
    path = make_clip(tmp_path / "a.mkv", codec="ffv1", interlaced="top", frames=12)
    combed = [frame.planes[0].clone() for frame in read(open_video(path, deinterlace="off"))]
    woven = tmp_path / "woven.mkv"
    with av.open(str(woven), "w") as box:
        stream: Any = box.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        graph = av.filter.Graph()
        source = graph.add("buffer", "video_size=64x48:pix_fmt=yuv420p:time_base=1/25")
        graph.link_nodes(source, graph.add("setfield", "tff"), graph.add("buffersink")).configure()
        for index in range(11):
            frame = av.VideoFrame(64, 48, "yuv420p")
            luma = combed[index].clone()
            luma[1::2] = combed[index + 1][1::2]
            for plane, value in zip(frame.planes, (luma, None, None), strict=True):
                rows = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)
                rows[:, : plane.width] = 128 if value is None else value.numpy()
            frame.pts, frame.time_base = index, Fraction(1, 25)
            source.push(frame)
            box.mux(stream.encode(graph.vpull()))
        box.mux(stream.encode(None))

    def comb(frames: list[YuvFrame]) -> float:
        rows = torch.stack([frame.planes[0][:12].float() for frame in frames])
        return float((rows[:, 1:] - rows[:, :-1]).abs().mean())

    assert comb(read(open_video(woven))) < 0.2 * comb(read(open_video(woven, deinterlace="off")))


def test_keeping_interlaced_frames_warns_once(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.ts", codec="mpeg2video", interlaced="top")
    source = open_video(path, deinterlace="off")
    read(source)
    assert source.warnings == [INTERLACED_OFF]


def test_closing_ends_a_running_iteration(tmp_path: Path) -> None:
    source = open_video(make_clip(tmp_path / "a.mkv"))
    frames = source.frames()
    next(frames)
    source.close()
    assert list(frames) == []


@pytest.mark.needs_material
def test_every_real_clip_equals_a_plain_decode_without_damage(material: Path) -> None:
    for path in sorted((material / "data" / "clips").iterdir()):
        source = open_video(path)
        got = [(frame.stamp.pts, frame.stamp.time_base) for frame in read(source)]
        with av.open(str(path), **TEXT) as box:
            stream = box.streams[source.info.stream_index]
            stream.thread_type = "NONE"
            box.flags &= ~GENERATED_TIMES
            assert got == [(frame.pts, frame.time_base) for frame in box.decode(stream)], path.name
        assert not source.damage, (path.name, source.damage)
