"""The sink writes every frame with its time, and leaves nothing behind after an error."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.judges import ffprobe
from tests.media.pass_through import FAST, Passed, open_for, pass_through, settings_for, tracks
from tests.media_maker import Audio, make_clip, numbers_of, pts_of
from vsr.color.spec import ColorSpec, Matrix, Primaries, Range, Transfer
from vsr.media.decode.facts.probe import probe
from vsr.media.decode.source import open_video
from vsr.media.encode.encoder_table import ENCODERS
from vsr.media.formats.matroska import tick_for

TICK = Fraction(1, 15360)
VFR = [0, 512, 700, 1900, 2411, 2412, 4000, 8000, 8100, 8301, 19000, 19512]
"""In ticks of 1/15360 s: durations from one tick to most of a second."""
PAIRS = [
    (encoder, suffix)
    for encoder in FAST.keys() | {"prores_ks", "ffv1"}
    for suffix, muxer in ((".mkv", "matroska"), (".mp4", "mp4"), (".mov", "mov"), (".webm", "webm"))
    if muxer in ENCODERS[encoder].muxers
]


def assert_times_kept(passed: Passed) -> None:
    """Check that times differ by at most a quarter of the source's tick, so that rounding restores them; MP4
    is exact.
    """
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
def test_reordered_frames_keep_their_order(vfr: Path, tmp_path: Path, encoder: str, suffix: str) -> None:
    settings = settings_for(encoder, preset="medium", options=(("bf", "3"),))
    passed = pass_through(vfr, tmp_path / f"out{suffix}", settings=settings)
    assert_times_kept(passed)
    assert numbers_of(passed.path) == list(range(len(VFR)))
    with av.open(str(passed.path)) as box:
        packets = [p for p in box.demux(video=0) if p.pts is not None]
    assert [p.pts for p in packets] != sorted(p.pts for p in packets), "the encoder did reorder"
    assert abs(probe(passed.path).duration_seconds - probe(vfr).duration_seconds) <= TICK


STILLS = [200 * n * (n + 1) // 2 for n in range(11)]
"""In milliseconds: each frame is shown longer than the previous one, as in a screencast."""


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
@pytest.mark.parametrize("frames", range(2, 11))
def test_a_video_of_variable_rate_keeps_its_duration(tmp_path: Path, frames: int, suffix: str) -> None:
    """Whether the last frame in decoding order is a B-frame depends on the number of frames."""
    ms = Fraction(1, 1000)
    gif = make_clip(tmp_path / "in.gif", codec="gif", pix_fmt="rgb8", pts=STILLS[:frames], time_base=ms)
    length = probe(gif).duration_seconds
    assert length is not None
    assert length > STILLS[frames - 1] * ms
    settings = settings_for(preset="medium", options=(("bf", "3"),))
    first = pass_through(gif, tmp_path / f"first{suffix}", settings=settings).path
    second = pass_through(first, tmp_path / f"second{suffix}", settings=settings).path
    for made in (first, second):
        reported = ffprobe(made)
        assert float(reported["format"]["duration"]) == pytest.approx(float(length), abs=0.002)
        if suffix != ".mkv":
            assert float(reported["streams"][0]["duration"]) == pytest.approx(float(length), abs=0.002)


def test_x264_uses_frame_threads_not_slices(tmp_path: Path) -> None:
    """With one slice for each thread, files are 3 % larger on two cores, and 25 % on sixteen."""
    source = make_clip(tmp_path / "in.mp4", frames=3, width=64, height=512)
    written = pass_through(source, tmp_path / "out.mp4", settings=settings_for("libx264")).path.read_bytes()
    assert b"sliced_threads=0" in written


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_start_offset_is_kept_and_audio_stays_in_sync(tmp_path: Path, suffix: str) -> None:
    times = [1000 + 40 * n for n in range(20)]
    clip = make_clip(
        tmp_path / "in.mkv", pts=times, time_base=Fraction(1, 1000), bframes=2, audio=[Audio(start=1.25)]
    )
    passed = pass_through(clip, tmp_path / f"out{suffix}")
    assert passed.report.shift == 0
    assert pts_of(passed.path) == [Fraction(time, 1000) for time in times]
    audio = tracks(clip, "audio")[0].times[0]
    assert abs(tracks(passed.path, "audio")[0].times[0] - audio) <= Fraction(1, 2 * 48000)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("frames", [1, 2])
def test_the_shortest_videos_keep_their_duration(tmp_path: Path, suffix: str, frames: int) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=frames)
    passed = pass_through(clip, tmp_path / f"out{suffix}")
    assert len(pts_of(passed.path)) == frames
    assert probe(passed.path).duration_seconds == Fraction(frames, 25)


@pytest.mark.parametrize("preset", ["ultrafast", "medium"])
def test_frames_and_audio_without_durations_are_all_shown_in_mp4(tmp_path: Path, preset: str) -> None:
    """An edit list would hide a last frame or packet without a duration."""
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
def test_decreasing_and_repeated_timestamps_are_kept(tmp_path: Path, suffix: str, preset: str) -> None:
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


def test_priming_stays_hidden_in_mp4(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=25, audio=[Audio()])
    passed = pass_through(clip, tmp_path / "out.mp4")
    assert passed.report.shift == 0
    assert tracks(passed.path, "audio")[0].times == tracks(clip, "audio")[0].times


def test_audio_with_codec_delay_is_exact_in_fine_matroska_ticks(tmp_path: Path) -> None:
    clip = make_clip(
        tmp_path / "in.mp4", pts=[n * 512 for n in range(30)], time_base=TICK, audio=[Audio(codec="libopus")]
    )
    passed = pass_through(clip, tmp_path / "out.mkv")
    before, after = tracks(clip, "audio")[0], tracks(passed.path, "audio")[0]
    # The muxer adds the delay, the demuxer subtracts it, and each rounds to a tick.
    limit = Fraction(tick_for(TICK, [before.tick]), 10**9) * Fraction(3, 2)
    late = [a - passed.report.shift - b for a, b in zip(after.times, before.times, strict=True)]
    assert max(map(abs, late)) <= limit


def test_microsecond_ticks_with_reordering_survive_matroska(tmp_path: Path) -> None:
    """With such fine ticks every frame needs its own cluster."""
    times = [n * 41_666 + (n % 3) * 1003 + 7 for n in range(30)]
    clip = make_clip(tmp_path / "in.nut", pts=times, time_base=Fraction(1, 10**6), bframes=3)
    settings = settings_for(preset="medium")
    passed = pass_through(clip, tmp_path / "out.mkv", settings=settings)
    assert pts_of(passed.path) == passed.times
    assert len(passed.times) == len(times)


def test_seeking_in_rescaled_matroska_finds_the_key_frame(tmp_path: Path) -> None:
    times = [n * 512 for n in range(60)]
    clip = make_clip(tmp_path / "in.mp4", pts=times, time_base=TICK)
    settings = settings_for(options=(("g", "10"),))
    out = pass_through(clip, tmp_path / "out.mkv", settings=settings).path
    with av.open(str(out)) as box:
        box.seek(int(1.4 * 10**6))  # frame 42
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
def test_every_orientation_is_kept(tmp_path: Path, rotation: int, mirrored: bool) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=2, rotation=rotation, mirrored=mirrored)
    wanted = probe(clip)
    assert wanted.display_matrix is not None
    for suffix in (".mkv", ".mp4"):
        found = probe(pass_through(clip, tmp_path / f"out{suffix}").path)
        assert found.display_matrix == wanted.display_matrix
        assert mirrored or found.rotation == rotation


def test_the_title_of_the_video_track_is_kept(tmp_path: Path) -> None:
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
def test_hdr10_keeps_depth_tags_and_mastering_metadata(tmp_path: Path, encoder: str, suffix: str) -> None:
    clip = make_clip(tmp_path / "in.mp4", **HDR_CLIP)
    passed = pass_through(clip, tmp_path / f"out{suffix}", settings=settings_for(encoder))
    before, after = probe(clip), probe(passed.path)
    assert after.layout == before.layout
    assert after.tagged == before.tagged
    assert after.content_light == before.content_light
    was, now = before.mastering_display, after.mastering_display
    assert was is not None
    assert now is not None
    for name in ("min_luminance", "max_luminance"):  # AV1's units of luminance are 2^-14 and 2^-8
        assert abs(getattr(now, name) - getattr(was, name)) < 2**-8
    for name in ("red", "green", "blue", "white"):  # and its unit of chromaticity is 2^-16
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


def test_lossless_encoding_keeps_every_sample(tmp_path: Path) -> None:
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
        decoder = av.CodecContext.create("libvpx-vp9", "r")  # FFmpeg's own decoder ignores alpha
        frames = [frame for packet in box.demux(video=0) if packet.size for frame in decoder.decode(packet)]
    assert frames[0].format.name == "yuva420p"


def test_alpha_written_by_vp9_is_read_back(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="yuva420p", frames=2)
    settings = settings_for("libvpx-vp9")
    once = pass_through(clip, tmp_path / "once.mkv", settings=settings).path
    twice = pass_through(once, tmp_path / "twice.mkv", settings=settings).path
    flat = pass_through(twice, tmp_path / "flat.mkv", settings=replace(settings, pixel_format="yuv420p")).path
    assert [probe(path).pixel_format for path in (once, twice, flat)] == ["yuva420p", "yuva420p", "yuv420p"]


def test_alpha_is_detected_whatever_the_case_of_its_tag(tmp_path: Path) -> None:
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
