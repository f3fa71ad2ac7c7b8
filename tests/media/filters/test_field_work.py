"""A frame of each field, film from telecined video, and forced field orders, all with the right times."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import vsr
from tests.judges import ffprobe
from tests.media_maker import make_clip, number_in, picture
from vsr.errors import ConfigError
from vsr.frame import YuvFrame
from vsr.media.decode.source import open_video
from vsr.media.filters.film import NTSC

HEIGHT, WIDTH = 96, 128
Planes = NDArray[np.uint8]
TOP: dict[str, Any] = {"interlaced": "top", "bframes": 2}


def read(path: Path, **keywords: Any) -> tuple[list[YuvFrame], list[str]]:
    with open_video(path, **keywords) as video:
        frames = list(video)
        assert not video.damage
        return frames, video.warnings


def seconds(frames: Sequence[YuvFrame]) -> list[Fraction]:
    return [frame.stamp.seconds - frames[0].stamp.seconds for frame in frames]


def moving(number: int) -> Planes:
    """Return a frame of film: its number, and a texture that moves."""
    frame = picture(number, width=WIDTH, height=HEIGHT).to_ndarray()
    texture = np.random.default_rng(1).integers(60, 200, (HEIGHT // 4, WIDTH // 4), np.uint8)
    texture = np.roll(np.kron(texture, np.ones((4, 4), np.uint8)), 5 * number, axis=1)
    frame[HEIGHT // 4 : HEIGHT] = texture[HEIGHT // 4 :]
    return frame


def woven(top: Planes, bottom: Planes) -> Planes:
    """Return the frame whose fields are those of two frames."""
    made = top.copy()
    for begin, end, width in ((0, HEIGHT, WIDTH), *chroma_rows()):
        rows, others = (one[begin:end].reshape(-1, width) for one in (made, bottom))
        rows[1::2] = others[1::2]
    return made


def chroma_rows() -> list[tuple[int, int, int]]:
    quarter = HEIGHT // 4
    return [(HEIGHT + i * quarter, HEIGHT + (i + 1) * quarter, WIDTH // 2) for i in range(2)]


def telecined(first: int, count: int) -> list[Planes]:
    frames = [moving(first + i) for i in range(count)]
    made = []
    for a, b, c, d in zip(*(frames[i::4] for i in range(4)), strict=True):
        made += [a, b, woven(b, c), woven(c, d), d]
    return made


def written(path: Path, frames: Sequence[Planes], *, flagged: bool = True, times: Sequence[int] = ()) -> Path:
    """Write frames without loss at 29.97 a second, or at `times` in fields."""
    tick = 1 / (2 * NTSC)
    options = {"qp": "0", "preset": "ultrafast", "threads": "1"}
    if flagged:
        options["flags"] = "+ilme+ildct"
    with av.open(str(path), "w") as box:
        stream = box.add_stream("libx264", rate=NTSC, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.time_base = (
            WIDTH,
            HEIGHT,
            "yuv420p",
            tick,
        )
        stream.gop_size = 12
        for number, planes in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = times[number] if times else 2 * number, tick
            box.mux(stream.encode(top_first(frame) if flagged else frame))
        box.mux(stream.encode(None))
    return path


def top_first(frame: av.VideoFrame) -> av.VideoFrame:
    graph = av.filter.Graph()
    source = graph.add("buffer", f"video_size={WIDTH}x{HEIGHT}:pix_fmt=yuv420p:time_base={frame.time_base}")
    graph.link_nodes(source, graph.add("setparams", "field_mode=tff"), graph.add("buffersink")).configure()
    graph.push(frame)
    made = graph.vpull()
    made.pts, made.time_base = frame.pts, frame.time_base
    return made


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts"])
def test_each_field_becomes_a_frame_in_the_middle_between_frames(tmp_path: Path, name: str) -> None:
    codec = {"codec": "mpeg2video", "options": {"b:v": "400k"}} if name == "a.ts" else {}
    path = make_clip(tmp_path / name, **(TOP | codec))
    frames, warnings = read(path, deinterlace="double")
    assert seconds(frames) == [Fraction(i, 50) for i in range(24)]
    assert [one.stamp.index for one in frames] == list(range(24))
    assert {one.stamp.duration * one.stamp.time_base for one in frames} == {Fraction(1, 50)}
    assert any("the frame rate doubles" in line for line in warnings)
    with open_video(path, deinterlace="double") as video:
        assert video.info.frame_rate == 50
        assert video.info.frames_promised in (24, None)


def test_fields_of_different_moments_become_different_frames_in_the_order_of_time(tmp_path: Path) -> None:
    fields = [moving(i) for i in range(24)]
    path = written(tmp_path / "a.mkv", [woven(a, b) for a, b in zip(fields[::2], fields[1::2], strict=True)])
    for order, first in (("auto", 0), ("top-first", 0), ("bottom-first", 1)):
        frames, _ = read(path, deinterlace="double", field_order=order)
        assert len(frames) == 24
        for number, frame in enumerate(frames):  # the lines of the field itself are not changed
            parity, field = (number + first) % 2, number // 2 * 2 + (number + first) % 2
            assert np.array_equal(frame.planes[0][parity::2], fields[field][:HEIGHT][parity::2])


def test_video_of_variable_rate_has_its_second_fields_where_the_frames_say(tmp_path: Path) -> None:
    times = [0, 40, 80, 120, 500, 540, 570, 610]
    path = make_clip(tmp_path / "a.mp4", pts=times, time_base=Fraction(1, 1000), frames=8, interlaced="top")
    frames, _ = read(path, deinterlace="double")
    assert seconds(frames)[::2] == [Fraction(time, 1000) for time in times]
    assert all(a < b for a, b in zip(seconds(frames), seconds(frames)[1:], strict=False))


def test_unmarked_frames_are_doubled_only_if_the_field_order_is_given(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", codec="ffv1")
    assert len(read(path, deinterlace="double")[0]) == 12
    for order in ("top-first", "bottom-first"):
        assert len(read(path, deinterlace="double", field_order=order)[0]) == 24


def test_the_single_rate_is_said_to_drop_motion(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", **TOP)
    frames, warnings = read(path)
    assert len(frames) == 12
    assert any("half of the motion is dropped" in line and "'double'" in line for line in warnings)


@pytest.mark.parametrize(("how", "order"), [("off", "top-first"), ("top-first", "bottom-first")])
def test_contradicting_field_settings_are_an_error(tmp_path: Path, how: Any, order: Any) -> None:
    with pytest.raises(ConfigError, match="contradicts"):
        open_video(make_clip(tmp_path / "a.mkv", frames=2), deinterlace=how, field_order=order)


@pytest.mark.parametrize(("flagged", "order"), [(True, "auto"), (False, "top-first")])
def test_telecined_film_becomes_the_frames_of_the_film(tmp_path: Path, flagged: bool, order: Any) -> None:
    path = written(tmp_path / "a.mkv", telecined(0, 40), flagged=flagged)
    frames, warnings = read(path, deinterlace="film", field_order=order)
    assert [number_in(one.planes[0]) for one in frames] == list(range(40))
    assert all(np.array_equal(one.planes[0], moving(i)[:HEIGHT]) for i, one in enumerate(frames))
    assert all(
        abs(time - i * Fraction(1001, 24000)) < Fraction(1, 1000) for i, time in enumerate(seconds(frames))
    )
    lasting = [float(one.stamp.duration * one.stamp.time_base) for one in frames]
    assert all(abs(one - 1.001 / 24) < 0.0005 for one in lasting)
    assert any("one frame in five that repeats another is left out" in line for line in warnings)


def test_a_pattern_that_begins_anywhere_and_a_cut_are_followed(tmp_path: Path) -> None:
    cut = telecined(0, 20)[2:] + telecined(60, 24)[3:]
    frames, _ = read(written(tmp_path / "a.mkv", cut), deinterlace="film")
    shown = [number_in(one.planes[0]) for one in frames]
    assert set(range(2, 20)) | set(range(63, 84)) <= set(shown)
    assert len(frames) <= len(cut) * 0.9
    assert seconds(frames) == sorted(seconds(frames))


def test_video_between_film_keeps_every_frame_and_that_is_said(tmp_path: Path) -> None:
    video = [moving(100 + i) for i in range(20)]
    path = written(tmp_path / "a.mkv", telecined(0, 16) + video + telecined(16, 16))
    frames, warnings = read(path, deinterlace="film")
    assert [number_in(one.planes[0]) for one in frames] == [*range(16), *range(100, 120), *range(16, 32)]
    assert any("4 of 12 groups of five frames are no telecined film" in line for line in warnings)
    last = seconds(frames)[-1] + Fraction(1001, 24000)
    assert abs(float(last) - 60 * 1.001 / 30) < 0.002


def test_film_with_flags_for_repeated_fields_keeps_its_frames_and_times(tmp_path: Path) -> None:
    """Soft telecine: 24 frames a second are coded, shown for three and two fields in turn."""
    times = [i // 2 * 5 + i % 2 * 3 for i in range(40)]
    film = [moving(i // 8) for i in range(40)]  # it hardly moves: that is no reason to drop a frame
    path = written(tmp_path / "a.mkv", film, flagged=False, times=times)
    plain, _ = read(path, deinterlace="off")
    frames, _ = read(path, deinterlace="film")
    assert seconds(frames) == seconds(plain)
    assert len(frames) == 40


@pytest.mark.parametrize("suffix", [".ts", ".mkv", ".mpg"])
@pytest.mark.parametrize("how", ["auto", "double", "film"])
def test_flags_of_mpeg2_for_repeated_fields_change_no_frame(tmp_path: Path, suffix: str, how: Any) -> None:
    path = with_repeated_fields(tmp_path / f"a{suffix}", 40)
    flags = ffprobe(path, "-show_frames", "-select_streams", "v")["frames"]
    assert [one["repeat_pict"] for one in flags] == [1, 0] * 20
    plain, _ = read(path, deinterlace="off")
    frames, warnings = read(path, deinterlace=how)
    assert len(frames) == 40
    assert seconds(frames) == seconds(plain)
    assert abs(float(seconds(frames)[38] - 38 * Fraction(1001, 24000))) < 0.002
    shown = [[zlib.crc32(np.ascontiguousarray(plane)) for plane in one.planes] for one in frames]
    assert shown == [[zlib.crc32(np.ascontiguousarray(plane)) for plane in one.planes] for one in plain]
    assert any("none is left out" in line for line in warnings) == (how == "film")


def with_repeated_fields(path: Path, count: int) -> Path:
    """Write 24 frames a second as MPEG-2 of 29.97, in which each second frame repeats a field."""
    tick = 1 / (2 * NTSC)
    with av.open(str(path), "w") as box:
        stream = box.add_stream("mpeg2video", rate=NTSC, options={"b": "2M", "threads": "1"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = WIDTH, HEIGHT, "yuv420p", 12
        box.start_encoding()
        frames = [av.VideoFrame.from_ndarray(moving(i), format="yuv420p") for i in range(count)]
        for number, frame in enumerate(frames):
            frame.pts = number
        packets = [packet for frame in (*frames, None) for packet in stream.encode(frame)]
        for number, packet in enumerate(packets):
            made = av.Packet(flagged(bytes(packet), number))
            made.pts = made.dts = number // 2 * 5 + number % 2 * 3
            made.duration, made.time_base, made.stream = 3 - number % 2, tick, stream
            made.is_keyframe = packet.is_keyframe
            box.mux(made)
    return path


def flagged(data: bytes, number: int) -> bytes:
    """Set top_field_first, repeat_first_field and progressive_frame (ISO/IEC 13818-2, 6.2.3.1)."""
    coded, at = bytearray(data), data.find(b"\0\0\1\xb5")
    while at >= 0:
        if coded[at + 4] >> 4 == 1:  # the sequence extension: not progressive_sequence
            coded[at + 5] &= ~0x08
        elif coded[at + 4] >> 4 == 8:
            top, repeats = number % 4 in (0, 3), number % 2 == 0
            coded[at + 7] = coded[at + 7] & ~0x82 | top << 7 | repeats << 1
            coded[at + 8] |= 0x80
        at = data.find(b"\0\0\1\xb5", at + 4)
    return bytes(coded)


def test_pal_keeps_its_frames_and_the_user_hears_it(tmp_path: Path) -> None:
    frames, warnings = read(make_clip(tmp_path / "a.mkv", frames=15), deinterlace="film")
    assert len(frames) == 15
    assert any("no frame is left out" in line for line in warnings)


@pytest.mark.parametrize(("how", "frames"), [("double", 60), ("film", 24)])
def test_a_result_is_verified_and_resumed(tmp_path: Path, how: Any, frames: int) -> None:
    source = written(tmp_path / "in.mkv", telecined(0, 24))
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    report = vsr.upscale(source, whole, model="bicubic", deinterlace=how, segment_seconds="0.3", crf=10)
    assert report.frames_out == frames

    def stop(progress: vsr.Progress) -> None:
        if progress.frames == frames // 2 + 4:  # the encoder is at most four frames behind
            raise KeyboardInterrupt

    again = {"model": "bicubic", "deinterlace": how, "segment_seconds": "0.3", "crf": 10}
    with pytest.raises(KeyboardInterrupt):
        vsr.upscale(source, parts, on_progress=stop, **again)
    resumed = vsr.upscale(source, parts, **again)
    assert resumed.frames_kept > 0
    assert packets(parts) == packets(whole)
    for asked in (None, how):
        audit = vsr.verify(source, whole, deinterlace=asked)
        assert audit.lost == ()
        assert bool(audit.notes) == (asked is None)
    assert any("frames" in line for line in vsr.verify(source, whole, deinterlace="auto").lost)


def packets(path: Path) -> list[tuple[Any, ...]]:
    return [
        (one["pts"], one["size"], one["data_hash"])
        for one in ffprobe(path, "-show_packets", "-show_data_hash", "crc32")["packets"]
    ]


@pytest.mark.parametrize("keywords", [{"deinterlace": "double"}, {"deinterlace": "film"}], ids=str)
def test_frames_from_a_number_on_are_those_of_a_run_from_the_start(tmp_path: Path, keywords: Any) -> None:
    path = written(tmp_path / "a.mkv", telecined(0, 40))
    whole, _ = read(path, **keywords)
    for number in (20, 31):
        first = whole[number].stamp.index
        with open_video(path, **keywords) as video:
            late = list(video.frames(first))
        assert facts(late) == facts(whole[number:])


def facts(frames: Sequence[YuvFrame]) -> list[tuple[Any, ...]]:
    return [(one.stamp, [zlib.crc32(np.ascontiguousarray(plane)) for plane in one.planes]) for one in frames]
