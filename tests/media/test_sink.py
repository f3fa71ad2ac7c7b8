"""The sink: what goes in comes out, at its time; and when something fails, nothing is left behind."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.media.pass_through import FAST, Passed, fitted, open_for, pass_through, settings_for, tracks
from tests.media_maker import Audio, Subtitle, make_clip, numbers_of, pts_of
from vsr.color.spec import ColorSpec, Matrix, Primaries, Range, Transfer
from vsr.errors import ConfigError, InputError, OutputError
from vsr.frame import VideoInfo, YuvFrame
from vsr.media.encoders import ENCODERS
from vsr.media.matroska import tick_for
from vsr.media.muxing import cannot_write
from vsr.media.probe import probe
from vsr.media.sink import VideoSink
from vsr.media.source import open_video

TICK = Fraction(1, 15360)
VFR = [0, 512, 700, 1900, 2411, 2412, 4000, 8000, 8100, 8301, 19000, 19512]
"""In ticks of 1/15360 s: from one tick to most of a second."""
PAIRS = [
    (encoder, suffix)
    for encoder in FAST.keys() | {"prores_ks", "ffv1"}
    for suffix, muxer in ((".mkv", "matroska"), (".mp4", "mp4"), (".mov", "mov"), (".webm", "webm"))
    if muxer in ENCODERS[encoder].muxers
]


def assert_times_kept(passed: Passed) -> None:
    """Within a quarter of the source's tick, so that rounding finds it again; exactly in MP4."""
    limit = TICK / 4 if passed.path.suffix in (".mkv", ".webm") else 0
    got = pts_of(passed.path)
    assert len(got) == len(passed.times)
    assert max(abs(g - passed.report.shift - w) for g, w in zip(got, passed.times, strict=True)) <= limit


@pytest.fixture(scope="module")
def vfr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("vfr") / "vfr.mp4", pts=VFR, time_base=TICK, width=64, height=64)


@pytest.mark.parametrize(("encoder", "suffix"), sorted(PAIRS))
def test_variable_rate_survives_every_encoder_and_container(
    vfr: Path, tmp_path: Path, encoder: str, suffix: str
) -> None:
    passed = pass_through(vfr, tmp_path / f"out{suffix}", settings=settings_for(encoder))
    assert_times_kept(passed)
    assert passed.report.frames == len(VFR)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_reordered_pictures_stay_in_their_places(
    vfr: Path, tmp_path: Path, encoder: str, suffix: str
) -> None:
    settings = settings_for(encoder, preset="medium", options=(("bf", "3"),))
    passed = pass_through(vfr, tmp_path / f"out{suffix}", settings=settings)
    assert_times_kept(passed)
    assert numbers_of(passed.path) == list(range(len(VFR)))
    with av.open(str(passed.path)) as box:
        packets = [p for p in box.demux(video=0) if p.pts is not None]
    assert [p.pts for p in packets] != sorted(p.pts for p in packets), "the encoder did reorder"
    assert abs(probe(passed.path).duration_seconds - probe(vfr).duration_seconds) <= TICK


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_start_offset_stays_and_sound_keeps_its_distance(tmp_path: Path, suffix: str) -> None:
    times = [1000 + 40 * n for n in range(20)]
    clip = make_clip(
        tmp_path / "in.mkv", pts=times, time_base=Fraction(1, 1000), bframes=2, audio=[Audio(start=1.25)]
    )
    passed = pass_through(clip, tmp_path / f"out{suffix}")
    assert passed.report.shift == 0
    assert pts_of(passed.path) == [Fraction(time, 1000) for time in times]
    sound = tracks(clip, "audio")[0].times[0]
    assert abs(tracks(passed.path, "audio")[0].times[0] - sound) <= Fraction(1, 2 * 48000)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("frames", [1, 2])
def test_the_shortest_films_keep_their_length(tmp_path: Path, suffix: str, frames: int) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=frames)
    passed = pass_through(clip, tmp_path / f"out{suffix}")
    assert len(pts_of(passed.path)) == frames
    assert probe(passed.path).duration_seconds == Fraction(frames, 25)


@pytest.mark.parametrize("preset", ["ultrafast", "medium"])
def test_pictures_and_sound_without_durations_are_all_shown_in_mp4(tmp_path: Path, preset: str) -> None:
    """An edit list would hide a last one that lasts no time."""
    clip = make_clip(tmp_path / "in.nut", frames=9, audio=[Audio(codec="flac")])
    assert tracks(clip, "audio")[0].durations[-1] == 0, "NUT states no durations"
    out = tmp_path / "out.mp4"
    settings = settings_for(preset=preset)
    with open_video(clip) as video, open_for(clip, out, video.info, settings=settings) as sink:
        for frame in video.frames():
            sink.write(replace(frame, stamp=replace(frame.stamp, duration=0)))
    assert numbers_of(out) == list(range(9))
    assert probe(out).duration_seconds == Fraction(9, 25)
    assert tracks(out, "audio")[0].digest == tracks(clip, "audio")[0].digest


@pytest.mark.parametrize("preset", ["ultrafast", "medium"])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_stray_and_repeated_timestamps_are_kept(tmp_path: Path, suffix: str, preset: str) -> None:
    times = [0, 40, 80, 120, 110, 160, 160, 200, 240]
    clip = make_clip(tmp_path / "in.mp4", frames=len(times))
    settings = settings_for(preset=preset)
    out = tmp_path / f"out{suffix}"
    with open_video(clip) as video:
        info = replace(video.info, time_base=Fraction(1, 1000))
        with open_for(clip, out, info, settings=settings) as sink:
            for frame, time in zip(video.frames(), times, strict=True):
                stamp = replace(frame.stamp, pts=time, duration=40, time_base=info.time_base)
                sink.write(replace(frame, stamp=stamp))
    assert [time * 1000 for time in pts_of(out)] == times
    assert sink.warnings == []


def test_priming_before_zero_moves_everything_alike_in_matroska(tmp_path: Path) -> None:
    """Sound from MP4 begins before zero (an edit list hides it); Matroska times cannot."""
    clip = make_clip(tmp_path / "in.mp4", frames=25, audio=[Audio()])
    passed = pass_through(clip, tmp_path / "out.mkv")
    first = tracks(clip, "audio")[0].times[0]
    assert first < 0 <= tracks(passed.path, "audio")[0].times[0]
    assert passed.report.shift >= -first
    assert abs(pts_of(passed.path)[0] - passed.report.shift) <= probe(clip).time_base / 4
    moved = tracks(passed.path, "audio")[0].times[0] - passed.report.shift
    assert abs(moved - first) < Fraction(1, 2 * 48000)


def test_priming_stays_hidden_in_mp4(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=25, audio=[Audio()])
    passed = pass_through(clip, tmp_path / "out.mp4")
    assert passed.report.shift == 0
    assert tracks(passed.path, "audio")[0].times == tracks(clip, "audio")[0].times


def test_sound_with_codec_delay_is_exact_in_fine_matroska_ticks(tmp_path: Path) -> None:
    clip = make_clip(
        tmp_path / "in.mp4", pts=[n * 512 for n in range(30)], time_base=TICK, audio=[Audio(codec="libopus")]
    )
    passed = pass_through(clip, tmp_path / "out.mkv")
    before, after = tracks(clip, "audio")[0], tracks(passed.path, "audio")[0]
    # The muxer adds the delay, the demuxer takes it off: each rounds to a tick.
    limit = Fraction(tick_for(TICK, [before.tick]), 10**9) * Fraction(3, 2)
    late = [a - passed.report.shift - b for a, b in zip(after.times, before.times, strict=True)]
    assert max(map(abs, late)) <= limit


def test_microsecond_ticks_with_reordering_survive_matroska(tmp_path: Path) -> None:
    """So fine that every picture needs a cluster of its own."""
    times = [n * 41_666 + (n % 3) * 1003 + 7 for n in range(30)]
    clip = make_clip(tmp_path / "in.nut", pts=times, time_base=Fraction(1, 10**6), bframes=3)
    settings = settings_for(preset="medium")
    passed = pass_through(clip, tmp_path / "out.mkv", settings=settings)
    assert pts_of(passed.path) == passed.times
    assert len(passed.times) == len(times)


def test_seeking_in_rescaled_matroska_lands_on_the_key_picture(tmp_path: Path) -> None:
    times = [n * 512 for n in range(60)]
    clip = make_clip(tmp_path / "in.mp4", pts=times, time_base=TICK)
    settings = settings_for(options=(("g", "10"),))
    out = pass_through(clip, tmp_path / "out.mkv", settings=settings).path
    with av.open(str(out)) as box:
        box.seek(int(1.4 * 10**6))  # picture 42
        frame = next(box.decode(video=0))
    assert round(frame.pts * frame.time_base / TICK) == 40 * 512


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("encoder", ["libx264", "libvpx-vp9", "ffv1"])
def test_pixel_proportions_and_rotation_are_kept(tmp_path: Path, encoder: str, suffix: str) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=2, sar=Fraction(128, 117), rotation=90, language="deu")
    passed = pass_through(clip, tmp_path / f"out{suffix}", settings=settings_for(encoder))
    found = probe(passed.path)
    assert found.sample_aspect_ratio == Fraction(128, 117)
    assert found.rotation == probe(clip).rotation == 90
    with av.open(str(passed.path)) as box:
        assert box.streams.video[0].metadata["language"] == "deu"
        assert "title" not in box.streams.video[0].metadata


@pytest.mark.parametrize(("rotation", "mirrored"), [(180, False), (270, False), (0, True), (90, True)])
def test_every_orientation_comes_back_mirrored_or_not(tmp_path: Path, rotation: int, mirrored: bool) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=2, rotation=rotation, mirrored=mirrored)
    wanted = probe(clip)
    assert wanted.display_matrix is not None
    for suffix in (".mkv", ".mp4"):
        found = probe(pass_through(clip, tmp_path / f"out{suffix}").path)
        assert found.display_matrix == wanted.display_matrix
        assert mirrored or found.rotation == rotation


def test_a_title_of_the_picture_survives_the_placeholder(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=2, sar=Fraction(4, 3), video_metadata={"title": "Main ü"})
    out = pass_through(clip, tmp_path / "out.mkv").path
    with av.open(str(out)) as box:
        assert box.streams.video[0].metadata["title"] == "Main ü"


HDR = ColorSpec(
    matrix=Matrix.BT2020_NCL, transfer=Transfer.PQ, primaries=Primaries.BT2020, range=Range.LIMITED
)
HDR_CLIP = {
    "codec": "libx265",
    "pix_fmt": "yuv420p10le",
    "frames": 3,
    "hdr10": True,
    "color": HDR,
    "height": 64,
}


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("encoder", ["libx264", "libx265", "libsvtav1"])
def test_hdr10_arrives_with_depth_tags_and_mastering(tmp_path: Path, encoder: str, suffix: str) -> None:
    clip = make_clip(tmp_path / "in.mp4", **HDR_CLIP)
    passed = pass_through(clip, tmp_path / f"out{suffix}", settings=settings_for(encoder))
    before, after = probe(clip), probe(passed.path)
    assert after.layout == before.layout
    assert after.tagged == before.tagged
    assert after.content_light == before.content_light
    was, now = before.mastering_display, after.mastering_display
    assert was is not None
    assert now is not None
    for name in ("min_luminance", "max_luminance"):  # AV1 counts luminance in 2^-14 and 2^-8
        assert abs(getattr(now, name) - getattr(was, name)) < 2**-8
    for name in ("red", "green", "blue", "white"):  # and chromaticity in 2^-16
        pairs = zip(getattr(now, name), getattr(was, name), strict=True)
        assert all(abs(a - b) <= Fraction(1, 2**16) for a, b in pairs)


@pytest.mark.parametrize("matrix", [Matrix.BT709, Matrix.SMPTE170M])
@pytest.mark.parametrize("range_", [Range.LIMITED, Range.FULL])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_colour_tags_are_written(tmp_path: Path, matrix: Matrix, range_: Range, suffix: str) -> None:
    color = ColorSpec(matrix=matrix, transfer=Transfer.BT709, primaries=Primaries.BT709, range=range_)
    clip = make_clip(tmp_path / "in.mp4", frames=2, color=color)
    found = probe(pass_through(clip, tmp_path / f"out{suffix}").path).tagged
    assert replace(found, chroma_location=color.chroma_location) == color


def test_lossless_pictures_are_the_same_samples(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="yuv422p10le", frames=3)
    out = pass_through(clip, tmp_path / "out.mkv", settings=settings_for("ffv1")).path
    with open_video(clip) as a, open_video(out) as b:
        for one, other in zip(a.frames(), b.frames(), strict=True):
            assert one.layout == other.layout
            assert all(bool((p == q).all()) for p, q in zip(one.planes, other.planes, strict=True))


def test_alpha_is_in_the_file_that_vp9_writes(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="yuva420p", frames=3)
    passed = pass_through(clip, tmp_path / "out.webm", settings=settings_for("libvpx-vp9"))
    assert passed.warnings == []
    with av.open(str(passed.path)) as box:
        assert box.streams.video[0].metadata["alpha_mode"] == "1"
        decoder = av.CodecContext.create("libvpx-vp9", "r")  # FFmpeg's own leaves the alpha out
        frames = [frame for packet in box.demux(video=0) if packet.size for frame in decoder.decode(packet)]
    assert frames[0].format.name == "yuva420p"


def test_alpha_is_seen_again_in_what_vp9_wrote(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="yuva420p", frames=2)
    settings = settings_for("libvpx-vp9")
    once = pass_through(clip, tmp_path / "once.mkv", settings=settings).path
    twice = pass_through(once, tmp_path / "twice.mkv", settings=settings).path
    flat = pass_through(twice, tmp_path / "flat.mkv", settings=replace(settings, pixel_format="yuv420p")).path
    assert [probe(path).pixel_format for path in (once, twice, flat)] == ["yuva420p", "yuva420p", "yuv420p"]


def test_alpha_is_seen_whatever_the_case_of_its_tag(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="yuva420p", frames=2)
    once = pass_through(clip, tmp_path / "once.mkv", settings=settings_for("libvpx-vp9")).path
    tagged = tmp_path / "tagged.mkv"
    with av.open(str(once)) as box, av.open(str(tagged), "w") as to:
        stream = to.add_stream_from_template(box.streams.video[0])
        stream.metadata["ALPHA_MODE"] = "1"
        for packet in box.demux():
            if packet.size:
                packet.stream = stream
                to.mux(packet)
    with av.open(str(tagged)) as box:
        assert "alpha_mode" not in box.streams.video[0].metadata
    assert probe(tagged).pixel_format == "yuva420p"


# What is refused, before any work


def info_for(clip: Path) -> VideoInfo:
    return probe(clip)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "in.mp4", frames=30, audio=[Audio()])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nothing may be left but what the test put there."""
    yield tmp_path
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".vsr-")]


def test_the_input_is_never_overwritten(clip: Path, folder: Path) -> None:
    link = folder / "link.mp4"
    link.symlink_to(clip)
    hard = folder / "hard.mp4"
    os.link(clip, hard)
    for target in (clip, link, hard):
        with pytest.raises(ConfigError, match="is the input itself"):
            open_for(clip, target, info_for(clip), overwrite=True)


def test_an_existing_file_needs_permission_to_be_replaced(clip: Path, folder: Path) -> None:
    target = folder / "out.mkv"
    target.write_text("precious")
    with pytest.raises(ConfigError, match="-y"):
        open_for(clip, target, info_for(clip))
    sink = open_for(clip, target, info_for(clip), overwrite=True)
    sink.abort()
    assert target.read_text() == "precious"


def test_of_two_runs_to_one_new_name_the_later_is_refused(clip: Path, folder: Path) -> None:
    target = folder / "out.mkv"
    with open_video(clip) as video:
        slow = open_for(clip, target, video.info)
        for frame in video.frames():
            slow.write(fitted(frame, slow.layout))
    first = pass_through(clip, target).path.read_bytes()
    with pytest.raises(OutputError, match="appeared while"):
        slow.finish()
    assert target.read_bytes() == first


def test_folders_that_cannot_be_written_are_named(clip: Path, folder: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        open_for(clip, folder / "none" / "out.mkv", info_for(clip))
    with pytest.raises(ConfigError, match="is a folder"):
        open_for(clip, folder, info_for(clip))
    with pytest.raises(OutputError, match="cannot be written there"):
        open_for(clip, Path("/proc/out.mkv"), info_for(clip))


def test_names_of_250_bytes_work(clip: Path, folder: Path) -> None:
    target = folder / ("ü" * 123 + ".mkv")
    assert len(os.fsencode(target.name)) == 250
    assert pass_through(clip, target).path.exists()


def test_the_file_obeys_the_umask(clip: Path, folder: Path) -> None:
    before = os.umask(0o027)
    try:
        out = pass_through(clip, folder / "out.mkv").path
    finally:
        os.umask(before)
    assert out.stat().st_mode & 0o777 == 0o640


# What fails on the way


def write_some(clip: Path, target: Path, *, fail_at: int) -> None:
    with open_video(clip) as video, open_for(clip, target, video.info) as sink:
        for frame in video.frames():
            if frame.stamp.index == fail_at:
                raise RuntimeError("stop here")
            sink.write(frame)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("fail_at", [0, 7])
def test_an_exception_leaves_nothing(clip: Path, folder: Path, suffix: str, fail_at: int) -> None:
    with pytest.raises(RuntimeError, match="stop here"):
        write_some(clip, folder / f"out{suffix}", fail_at=fail_at)
    assert list(folder.iterdir()) == []


def interrupted(sink: VideoSink, frame: YuvFrame) -> None:
    with sink:
        sink.write(frame)
        raise KeyboardInterrupt


def test_ctrl_c_leaves_nothing(clip: Path, folder: Path) -> None:
    with open_video(clip) as video:
        sink = open_for(clip, folder / "out.mp4", video.info)
        with pytest.raises(KeyboardInterrupt):
            interrupted(sink, next(iter(video.frames())))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_header_that_the_container_refuses_leaves_nothing(
    clip: Path, folder: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OutputError("no")

    monkeypatch.setattr("vsr.media.sink.start_output", refuse)
    with pytest.raises(OutputError):
        open_for(clip, folder / f"out{suffix}", info_for(clip))
    assert list(folder.iterdir()) == []


def test_no_picture_is_an_error_and_leaves_nothing(clip: Path, folder: Path) -> None:
    sink = open_for(clip, folder / "out.mkv", info_for(clip))
    with pytest.raises(OutputError, match="no picture"):
        sink.finish()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_disk_that_fills_at_any_point_is_reported_and_leaves_nothing(
    clip: Path, folder: Path, suffix: str
) -> None:
    """By a limit on file sizes: the last of these bytes are only missed when the file is closed."""
    whole = pass_through(clip, folder / f"whole{suffix}").report.bytes
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (0, 100, whole // 2, whole - 2048, whole - 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
        try:
            with pytest.raises(OutputError, match="cannot be"):
                pass_through(clip, folder / f"out{suffix}")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert [path.name for path in folder.iterdir()] == [f"whole{suffix}"]


def test_finishing_twice_is_finishing_once(clip: Path, folder: Path) -> None:
    with open_video(clip) as video:
        sink = open_for(clip, folder / "out.mkv", video.info)
        for frame in video.frames():
            sink.write(fitted(frame, sink.layout))
    report = sink.finish()
    assert sink.finish() is report
    sink.close()
    sink.abort()
    assert report.path.stat().st_size == report.bytes
    assert (report.frames, report.streams) == (30, 1)


# Damaged sound


def with_bad_headers(clip: Path, to: Path, which: slice) -> tuple[Path, int]:
    """A TS whose sound has, in some ADTS headers, a sampling rate that does not exist; and how many."""
    data = bytearray(clip.read_bytes())
    headers = [n for n in range(len(data) - 4) if data[n] == 0xFF and data[n + 1 : n + 3] == b"\xf1\x4c"]
    for place in headers[which]:
        data[place + 2] |= 0x3C
    to.write_bytes(data)
    return to, len(headers[which])


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("which", [slice(0, 1), slice(20, 21), slice(20, 24)])
def test_damaged_sound_is_left_out_and_counted_and_the_film_goes_on(
    tmp_path: Path, suffix: str, which: slice
) -> None:
    clip = make_clip(tmp_path / "in.ts", frames=30, audio=[Audio()])
    bad, number = with_bad_headers(clip, tmp_path / "bad.ts", which)
    assert number
    there = len(tracks(bad, "audio")[0].times)
    out = tmp_path / f"out{suffix}"
    with open_video(bad) as video, open_for(bad, out, video.info) as sink:
        for frame in video.frames():
            sink.write(frame)
    report = sink.finish()
    assert len(pts_of(out)) == 30
    assert sink.damage.broken_packets >= 1
    assert sink.damage.notes
    assert report.packets == len(tracks(out, "audio")[0].times) == there - sink.damage.broken_packets


def test_strict_stops_at_damaged_sound_and_leaves_nothing(folder: Path) -> None:
    clip = make_clip(folder / "in.ts", frames=30, audio=[Audio()])
    bad, _ = with_bad_headers(clip, folder / "bad.ts", slice(20, 21))
    with pytest.raises(InputError, match="--strict"):
        pass_through(bad, folder / "out.mkv", strict=True)
    assert not (folder / "out.mkv").exists()


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "make room"), (errno.EROFS, "another folder")])
def test_the_disk_is_blamed_for_what_the_disk_said(tmp_path: Path, number: int, words: str) -> None:
    assert words in str(cannot_write(tmp_path / "out.mkv", OSError(number, os.strerror(number))))


@pytest.mark.parametrize("error", [av.InvalidDataError(1, "x"), OSError(errno.EINVAL, "y"), ValueError("z")])
def test_the_disk_is_not_blamed_for_what_the_muxer_said(tmp_path: Path, error: Exception) -> None:
    said = str(cannot_write(tmp_path / "out.mkv", error))
    assert "muxer" in said
    assert "room" not in said


# Real clips


def test_transport_streams_are_unpacked_for_mp4_and_matroska(tmp_path: Path) -> None:
    """AAC loses its ADTS headers there: other bytes, the same sound."""
    clip = make_clip(tmp_path / "in.ts", frames=30, audio=[Audio()])
    for suffix in (".mkv", ".mp4"):
        out = pass_through(clip, tmp_path / f"out{suffix}")
        before, after = tracks(clip, "audio")[0], tracks(out.path, "audio")[0]
        late = [a - out.report.shift - b for a, b in zip(after.times, before.times, strict=True)]
        assert max(map(abs, late)) <= before.tick * 3  # 90 kHz into 48 kHz ticks


CANNOT = {
    ("testsrc_with_attachment.mkv", ".mp4"): "attachments",
    # Two texts with gaps between them: QuickTime text fills gaps with blank packets, which the audit counts.
    ("webvtt.mkv", ".mp4"): "subtitles",
}


@pytest.mark.needs_material
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_nothing_is_lost_of_any_real_clip(material: Path, tmp_path: Path, suffix: str) -> None:
    for source in sorted((material / "data" / "clips").iterdir()):
        out = pass_through(source, tmp_path / f"{source.stem}{suffix}").path
        command = [sys.executable, str(material / "acceptance" / "audit.py"), str(source), str(out)]
        command += ["--scale", "1", "--expect-drop", CANNOT.get((source.name, suffix), "")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{source.name}:\n{done.stdout}{done.stderr}"
        out.unlink()


def test_text_and_sound_go_along_while_pictures_trickle_in(tmp_path: Path) -> None:
    """Packets of a moment lie together in the file, so that players need not jump."""
    clip = make_clip(tmp_path / "in.mp4", frames=100, audio=[Audio()], subtitles=[Subtitle(codec="mov_text")])
    out = pass_through(clip, tmp_path / "out.mkv").path
    with av.open(str(out)) as box:
        times = [float(p.dts * p.time_base) for p in box.demux() if p.dts is not None]
    assert max(max(times[:n]) - time for n, time in enumerate(times) if n) < 0.5
