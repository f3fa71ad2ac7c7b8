"""The node in real graphs, run by the real ffmpeg: the frames equal those of `vsr
upscale`, and other streams are kept."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import vsr
from tests.ffmpeg_binary import ffmpeg as ffmpeg_binary
from tests.media_maker import Audio, make_clip, numbers_of, pts_of
from vsr.color.spec import ColorSpec, Matrix, Primaries, Range, Transfer

ffmpeg = pytest.importorskip("ffmpeg", reason="ffmpeg-python is not installed", exc_type=ImportError)
import vsr_ffmpeg  # noqa: E402

QUICK = {"model": "bicubic", "scale": 2, "device": "cpu"}
WIDE = ColorSpec(
    matrix=Matrix.BT2020_NCL, transfer=Transfer.PQ, primaries=Primaries.BT2020, range=Range.LIMITED
)
FULL = ColorSpec(matrix=Matrix.BT709, transfer=Transfer.SRGB, primaries=Primaries.SMPTE432, range=Range.FULL)


@pytest.fixture(autouse=True)
def binary() -> str:
    return ffmpeg_binary()


def pictures(path: Path) -> np.ndarray:
    with av.open(str(path)) as box:
        return np.stack([np.frombuffer(bytes(f.planes[0]), np.uint8) for f in box.decode(video=0)])


def run(stream: object) -> None:
    vsr_ffmpeg.run(stream, quiet=True, overwrite_output=True)


@pytest.mark.parametrize(
    ("pix_fmt", "color", "encoder"),
    [
        ("yuv420p10le", WIDE, {"vcodec": "ffv1"}),
        ("yuv420p", FULL, {"vcodec": "libx264", "qp": 0}),  # ffmpeg's ffv1 converts full range to limited
    ],
)
def test_frames_times_and_tags_equal_those_of_vsr_upscale(
    tmp_path: Path, pix_fmt: str, color: ColorSpec, encoder: dict[str, object]
) -> None:
    times = [0, 40, 41, 120, 121, 300, 301, 340]
    source = make_clip(
        tmp_path / "in.mkv",
        codec="libx265",
        pix_fmt=pix_fmt,
        pts=times,
        time_base=Fraction(1, 1000),
        frames=len(times),
        bframes=2,
        color=color,
    )
    out, wanted = tmp_path / "out.mkv", tmp_path / "wanted.mkv"
    video = vsr_ffmpeg.upscale(ffmpeg.input(str(source)).video, **QUICK)
    run(ffmpeg.output(video, str(out), fps_mode="passthrough", enc_time_base="filter", **encoder))
    vsr.upscale(source, wanted, encoder="ffv1", **QUICK)
    np.testing.assert_array_equal(pictures(out), pictures(wanted))
    assert pts_of(out) == pts_of(wanted)
    made, told = vsr.open_video(out).info, vsr.open_video(wanted).info
    assert made.pixel_format.replace("yuvj", "yuv") == told.pixel_format == pix_fmt
    assert made.color == told.color
    assert replace(made.color, chroma_location=color.chroma_location) == color


def test_filters_before_and_after_audio_and_options_work_together_in_sync(tmp_path: Path) -> None:
    """The video begins 0.2 s after the audio; a filter on each side
    rotates it, so that the result is upright."""
    source = make_clip(
        tmp_path / "in.mkv", pts=range(200, 1200, 40), time_base=Fraction(1, 1000), audio=[Audio()]
    )
    graph = ffmpeg.input(str(source))
    video = vsr_ffmpeg.upscale(graph.video.hflip(), **QUICK).hflip()
    out, wanted = tmp_path / "out.mkv", tmp_path / "wanted.mkv"
    run(
        ffmpeg.output(
            video, graph.audio, str(out), vcodec="ffv1", acodec="copy", **{"metadata": "title=kept"}
        )
    )
    vsr.upscale(source, wanted, encoder="ffv1", **QUICK)
    assert np.abs(pictures(out).astype(int) - pictures(wanted)).max() <= 1  # the filter adds in another order
    with av.open(str(out)) as box, av.open(str(source)) as before:
        assert box.metadata["title"] == "kept"
        starts = [(b.streams.video[0].start_time, b.streams.audio[0].start_time) for b in (box, before)]
    assert starts[0] == starts[1]
    assert starts[0][0] - starts[0][1] >= 200 - 25  # ms; the codec's priming can begin earlier


def test_the_same_input_may_also_bypass_the_node(tmp_path: Path) -> None:
    source, out = make_clip(tmp_path / "in.mp4"), tmp_path / "out.mkv"
    both = ffmpeg.input(str(source)).video.filter_multi_output("split")
    small = both[1].filter("scale", 128, 96)
    joined = ffmpeg.filter([vsr_ffmpeg.upscale(both[0], **QUICK), small], "hstack")
    run(ffmpeg.output(joined, str(out), vcodec="ffv1", pix_fmt="gray"))
    assert vsr.open_video(out).info.width == 256
    halves = np.split(pictures(out).reshape(12, 96, 256), 2, axis=2)
    assert np.abs(halves[0].astype(int) - halves[1]).mean() < 2  # the same image, by another filter


def test_an_output_that_ends_early_ends_all_processes_without_an_error(tmp_path: Path) -> None:
    source, out = make_clip(tmp_path / "in.mkv", frames=200, width=320, height=240), tmp_path / "out.mkv"
    run(ffmpeg.output(vsr_ffmpeg.upscale(ffmpeg.input(str(source)).video, **QUICK), str(out), t=0.2))
    assert numbers_of(out) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("input", r"ffmpeg, before vsr, failed with exit code \d+: .*No such file or directory; .*gone\.mp4"),
        ("model", "vsr failed with exit code 5: nonesuch: no weight file and no model"),
        ("encoder", r"ffmpeg, after vsr, failed with exit code \d+: .*Unknown encoder 'libx999'"),
    ],
)
def test_a_failure_on_either_side_is_one_line_that_names_the_process(
    tmp_path: Path, place: str, words: str
) -> None:
    source = make_clip(tmp_path / "in.mp4", frames=40, width=160, height=120)
    name = tmp_path / "gone.mp4" if place == "input" else source
    wishes = QUICK | ({"model": "nonesuch"} if place == "model" else {})
    options = {"vcodec": "libx999"} if place == "encoder" else {}
    video = vsr_ffmpeg.upscale(ffmpeg.input(str(name)).video, **wishes)
    with pytest.raises(vsr.PluginError, match=words) as told:
        run(ffmpeg.output(video, str(tmp_path / "out.mkv"), **options))
    assert "\n" not in str(told.value)


def test_graphs_without_exactly_one_node_are_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = ffmpeg.input("in.mp4").video
    with pytest.raises(vsr.PluginError, match=r"this graph has no vsr_ffmpeg.upscale"):
        run(ffmpeg.output(video, "out.mp4"))
    twice = vsr_ffmpeg.upscale(vsr_ffmpeg.upscale(video, scale=2), scale=3)
    with pytest.raises(vsr.PluginError, match=r"only one vsr_ffmpeg\.upscale"):
        run(ffmpeg.output(twice, "out.mp4"))
    with pytest.raises(vsr.PluginError, match="nothing-here cannot be run"):
        vsr_ffmpeg.run(ffmpeg.output(vsr_ffmpeg.upscale(video), "out.mp4"), cmd="nothing-here")
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    monkeypatch.setattr(vsr_ffmpeg.binary.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(vsr.PluginError, match="there is no ffmpeg on the PATH"):
        run(ffmpeg.output(vsr_ffmpeg.upscale(video), "out.mp4"))


def old_ffmpeg(folder: Path) -> Path:
    """Write a program that answers as Debian 12's ffmpeg does."""
    folder.mkdir()
    path = folder / "ffmpeg"
    path.write_text(
        "#!/bin/sh\n[ \"$1\" = -version ] && echo 'ffmpeg version 5.1.9-0+deb12u1 Copyright (c)' && exit 0\n"
        "echo 'Invalid time base: filter' >&2\nexit 1\n"
    )
    path.chmod(0o755)
    return path


def test_an_old_ffmpeg_on_the_path_is_skipped_for_the_packaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg is not installed")
    graph = ffmpeg.output(vsr_ffmpeg.upscale(ffmpeg.input("in.mp4").video), "out.mp4")
    monkeypatch.setenv("PATH", str(old_ffmpeg(tmp_path / "old").parent), prepend=os.pathsep)
    assert vsr_ffmpeg.compile(graph).behind[0] == package.get_ffmpeg_exe()


def test_an_ffmpeg_that_is_too_old_is_named_with_its_version_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, old = make_clip(tmp_path / "in.mp4", frames=2), old_ffmpeg(tmp_path / "old")
    graph = ffmpeg.output(vsr_ffmpeg.upscale(ffmpeg.input(str(source)).video), str(tmp_path / "out.mp4"))
    words = (
        rf"{old} is ffmpeg version 5\.1\.9\S*, but ffmpeg 6\.1 or later is required\. Run pip install imageio"
    )
    with pytest.raises(vsr.PluginError, match=words):
        vsr_ffmpeg.run(graph, cmd=str(old))
    monkeypatch.setenv("PATH", str(old.parent))
    monkeypatch.setattr(vsr_ffmpeg.binary.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(vsr.PluginError, match=words):
        run(graph)
    assert not (tmp_path / "out.mp4").exists()


def test_ffmpeg_itself_names_the_node_if_such_a_graph_is_run_without_the_plugin(
    tmp_path: Path, binary: str
) -> None:
    source = make_clip(tmp_path / "in.mp4", frames=2)
    graph = ffmpeg.output(vsr_ffmpeg.upscale(ffmpeg.input(str(source)).video), str(tmp_path / "out.mkv"))
    with pytest.raises(ffmpeg.Error) as told:
        ffmpeg.run(graph, cmd=binary, quiet=True)
    assert b"run_this_graph_with_vsr_ffmpeg.run" in told.value.stderr


def test_every_setting_becomes_a_flag_and_given_colour_is_not_probed(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", frames=2)
    video = vsr_ffmpeg.upscale(
        ffmpeg.input(str(source)).video, size=(320, 240), strength=0.5, batch=2, color={"range": "full"}
    )
    commands = vsr_ffmpeg.compile(ffmpeg.output(video, "out.mkv"), cmd="ffmpeg")
    assert commands.vsr[-4:] == ["--size=320x240", "--strength=0.5", "--batch=2", "--color=range=full"]
    assert commands.before[:4] == ["ffmpeg", "-nostdin", "-v", "error"]


@pytest.mark.needs_material
def test_a_real_clip_with_a_real_network(tmp_path: Path, material: Path) -> None:
    source = material / "data/clips/anime_onepiece_demo.mp4"
    graph = ffmpeg.input(str(source), t=0.4)
    out, wanted = tmp_path / "out.mkv", tmp_path / "wanted.mkv"
    exact = {
        "model": "fast-x2",
        "device": "cpu",
        "precision": "fp32",
    }  # with 16-bit numbers, backends differ by one or two code values
    video = vsr_ffmpeg.upscale(graph.video, **exact)
    run(ffmpeg.output(video, graph.audio, str(out), vcodec="ffv1", acodec="copy"))
    vsr.upscale(source, wanted, end=0.4, encoder="ffv1", **exact)
    made, told = pictures(out), pictures(wanted)
    assert made.shape == told.shape
    assert np.abs(made.astype(int) - told).max() <= 1
    times = zip(pts_of(out), pts_of(wanted), strict=True)
    assert max(abs(one - other) for one, other in times) <= Fraction(1, 1000)  # Matroska's ticks in ffmpeg


PEAK = """
import resource, sys
sys.path[:0] = [sys.argv[1]]
import ffmpeg, vsr_ffmpeg
video = vsr_ffmpeg.upscale(ffmpeg.input(sys.argv[2]).video, model="bicubic", scale=2, device="cpu")
vsr_ffmpeg.run(ffmpeg.output(video, sys.argv[3], vcodec="rawvideo", format="null"), quiet=True)
print(max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
"""
"""Prints the peak memory of the largest process in KiB."""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    """900 more frames of input and output would need 490 MiB."""
    peaks = []
    for count in (100, 1000):
        source = make_clip(tmp_path / f"{count}.mkv", width=320, height=240, frames=count)
        words = [sys.executable, "-c", PEAK, str(Path(__file__).parent), str(source), str(tmp_path / "none")]
        peaks.append(int(subprocess.run(words, capture_output=True, check=True, timeout=400).stdout))
    assert peaks[1] - peaks[0] < 100 * 1024
