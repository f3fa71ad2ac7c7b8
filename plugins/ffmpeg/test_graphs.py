"""Graphs are cut without changing them: the output equals that of a graph with ffmpeg's own `scale`.

For an exact comparison, a `scale` also stands for vsr in the pipe. The other tests run vsr itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import vsr
from tests.ffmpeg_binary import ffmpeg as ffmpeg_binary
from tests.media_maker import Audio, make_clip

ffmpeg = pytest.importorskip("ffmpeg", reason="ffmpeg-python is not installed", exc_type=ImportError)
import vsr_ffmpeg  # noqa: E402
from vsr_ffmpeg import processes  # noqa: E402

SIZE = ("iw*2", "ih*2")
STAND_IN = ["-v", "error", "-copyts", "-f", "nut", "-i", "pipe:0", "-vf", "scale=iw*2:ih*2:flags=bicubic"]
STAND_IN += ["-c:v", "rawvideo", "-fps_mode", "passthrough", "-enc_time_base", "demux", "-f", "nut", "pipe:1"]


@dataclass(frozen=True)
class Clips:
    """Three files whose frames show numbers from 0, 100 and 200 on."""

    a: Any
    b: Any
    large: Any
    folder: Path

    def out(self, name: str = "out.mkv") -> str:
        return str(self.folder / name)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sources")
    audio = [Audio(rate=48000)]
    return {
        "a": make_clip(
            folder / "a.mkv",
            audio=audio,
            metadata={"title": "A"},
            chapters=[(0.0, 0.2, "In"), (0.2, 0.4, "On")],
        ),
        "b": make_clip(folder / "b.mkv", first_number=100, audio=audio, metadata={"title": "B"}),
        "large": make_clip(
            folder / "large.mkv", first_number=200, width=320, height=240, audio=[Audio(rate=44100)]
        ),
    }


def both_pads(clips: Clips, up: Callable[[Any], Any], pad: int) -> Any:
    """`select` sends odd and even frames to two pads; one is upscaled, the other is written unchanged."""
    node = clips.a.video.filter_multi_output("select", "1+mod(n,2)", outputs=2)
    made, plain = up(node[pad]), node[1 - pad]
    return ffmpeg.merge_outputs(out(made, clips.out()), out(plain, clips.out("plain.mkv")))


def out(*streams: Any, **more: Any) -> Any:
    *parts, name = streams
    return ffmpeg.output(*parts, name, **{"vcodec": "ffv1", "acodec": "pcm_s16le"} | more)


def source(clip: Any, **more: Any) -> Any:
    return ffmpeg.input(clip.node.kwargs["filename"], **more)


def readme(clips: Clips, up: Callable[[Any], Any]) -> Any:
    video = up(clips.a.video.filter("hqdn3d")).filter("unsharp")
    return out(video, clips.a.audio, clips.out())


def concat_with_audio(clips: Clips, up: Callable[[Any], Any]) -> Any:
    joined = ffmpeg.concat(clips.a.video, clips.a.audio, clips.b.video, clips.b.audio, v=1, a=1).node
    return out(up(joined[0]), joined[1].filter("volume", 0.5), clips.out())


def concat_behind(clips: Clips, up: Callable[[Any], Any]) -> Any:
    b = clips.b.video.filter("scale", 128, 96)
    joined = ffmpeg.concat(up(clips.a.video), clips.a.audio, b, clips.b.audio, v=1, a=1).node
    return out(joined[0], joined[1], clips.out())


def split_behind(clips: Clips, up: Callable[[Any], Any]) -> Any:
    parts = up(clips.a.video).filter_multi_output("split")
    second = out(parts[1].filter("vflip"), clips.out("second.mkv"))
    return ffmpeg.merge_outputs(out(parts[0], clips.out()), second)


def split_before(clips: Clips, up: Callable[[Any], Any]) -> Any:
    parts = clips.a.video.filter_multi_output("split")
    beside = parts[1].filter("scale", *SIZE, flags="bicubic").hflip()
    return out(ffmpeg.filter([beside, up(parts[0])], "hstack"), clips.out())


def planes(clips: Clips, up: Callable[[Any], Any]) -> Any:
    node = clips.a.video.filter_multi_output("extractplanes", "y+u+v")
    others = [out(node[0], clips.out("y.mkv")), out(node[2], clips.out("v.mkv"))]
    return ffmpeg.merge_outputs(out(up(node[1]), clips.out()), *others)


def two_films(clips: Clips, up: Callable[[Any], Any], *second: Any, **more: Any) -> Any:
    return ffmpeg.merge_outputs(
        out(up(clips.a.video), clips.out()), ffmpeg.output(*second, clips.out("second.mkv"), **more)
    )


GRAPHS: dict[str, Callable[[Clips, Callable[[Any], Any]], Any]] = {
    "readme": readme,
    "video alone": lambda c, up: out(up(c.a.video), c.out()),
    "an input without a selected stream": lambda c, up: out(up(c.a), c.out()),
    "audio of the same file": lambda c, up: out(up(c.a.video), c.a.audio, c.out()),
    "audio of another file": lambda c, up: out(up(c.a.video), c.large.audio, c.out()),
    "audio first": lambda c, up: out(c.large.audio, up(c.a.video), c.out()),
    "audio through a filter": lambda c, up: out(up(c.a.video), c.b.audio.filter("volume", 0.5), c.out()),
    "the second film is larger": lambda c, up: two_films(c, up, c.large.video, vcodec="copy"),
    "the second film names no stream": lambda c, up: two_films(c, up, c.large, c="copy"),
    "the second film is the source": lambda c, up: two_films(c, up, c.a, c="copy"),
    "below a larger film": lambda c, up: out(ffmpeg.overlay(c.large.video, up(c.a.video)), c.out()),
    "above a smaller film": lambda c, up: out(ffmpeg.overlay(up(c.a.video), c.b.video), c.out()),
    "split before": split_before,
    "split after": split_behind,
    "the first pad of two": lambda c, up: both_pads(c, up, 0),
    "the second pad of two": lambda c, up: both_pads(c, up, 1),
    "the middle pad of three": planes,
    "concat with audio before": concat_with_audio,
    "concat with audio after": concat_behind,
    "trimmed and slowed down before": lambda c, up: out(
        up(c.a.video.trim(start_frame=2, end_frame=9).setpts("2*(PTS-STARTPTS)")), c.out()
    ),
    "trimmed after": lambda c, up: out(up(c.a.video).trim(start_frame=2, end_frame=9), c.out()),
    "another rate before": lambda c, up: out(up(c.a.video.filter("fps", 10)), c.out()),
    "an input that is cut": lambda c, up: out(
        up(source(c.a, ss=0.2).video), source(c.a, ss=0.2).audio, c.out()
    ),
    "audio that is moved": lambda c, up: out(up(c.a.video), source(c.b, itsoffset=0.1).audio, c.out()),
    "times as they are": lambda c, up: out(
        up(source(c.a, itsoffset=1).video), source(c.a, itsoffset=1).audio, c.out()
    ).global_args("-copyts"),
    "times from zero": lambda c, up: out(up(source(c.a, ss=0.1).video), c.b.audio, c.out()).global_args(
        "-copyts", "-start_at_zero"
    ),
    "a part of the output": lambda c, up: out(up(c.a.video), c.a.audio, c.out(), t=0.2),
    "metadata of the second file": lambda c, up: out(
        up(c.a.video), c.b.audio, c.out(), map_metadata=1, map_chapters=0
    ),
    "global switches": lambda c, up: out(up(c.a.video), c.a.audio, c.out()).global_args("-bitexact"),
}


def films(folder: Path) -> dict[str, list[Any]]:
    """Return all contents of a folder's files: streams, frames with times, samples, titles, chapters."""
    found: dict[str, list[Any]] = {}
    for path in sorted(folder.glob("*.mkv")):
        with av.open(str(path)) as box:
            kinds = [(stream.type, stream.codec_context.name) for stream in box.streams]
            title, chapters = box.metadata.get("title"), len(box.chapters())
            frames = [
                (frame.pts * Fraction(frame.time_base), frame.to_ndarray())
                for frame in box.decode(*box.streams)
            ]
        found[path.name] = [kinds, title, chapters, frames]
    return found


@pytest.mark.parametrize("name", GRAPHS)
def test_the_output_equals_that_of_the_same_graph_with_scale(
    name: str, sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = ffmpeg_binary()
    original = processes.compile
    monkeypatch.setattr(
        processes, "compile", lambda *words: replace(original(*words), vsr=[binary, *STAND_IN])
    )
    results = []
    for place in ("wanted", "made"):
        (tmp_path / place).mkdir()
        clips = Clips(**{k: ffmpeg.input(str(v)) for k, v in sources.items()}, folder=tmp_path / place)
        if place == "made":
            vsr_ffmpeg.run(GRAPHS[name](clips, vsr_ffmpeg.upscale), quiet=True)
        else:
            graph = GRAPHS[name](clips, lambda s: s.filter("scale", *SIZE, flags="bicubic"))
            ffmpeg.run(graph, cmd=binary, quiet=True)
        results.append(films(tmp_path / place))
    wanted, made = results
    assert made.keys() == wanted.keys()
    for film, (*facts, frames) in wanted.items():
        assert made[film][:-1] == facts, film
        assert [time for time, _ in made[film][-1]] == [time for time, _ in frames], film
        for (_, one), (_, other) in zip(made[film][-1], frames, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=film)


def test_a_failure_of_the_fourth_process_is_reported_with_its_name(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    a = ffmpeg.input(str(sources["a"]))
    video = vsr_ffmpeg.upscale(a.video, model="bicubic", scale=2, device="cpu")
    second = ffmpeg.output(a.audio, str(tmp_path / "second.mkv"), acodec="libx999")
    with pytest.raises(vsr.PluginError, match=r"ffmpeg, beside vsr, failed with exit code \d+: .*libx999"):
        vsr_ffmpeg.run(ffmpeg.merge_outputs(out(video, str(tmp_path / "out.mkv")), second), quiet=True)


@pytest.mark.parametrize("name", ["pipe:", "pipe:0", "-", "fd:"])
def test_a_pipe_as_input_is_rejected(name: str) -> None:
    graph = ffmpeg.output(vsr_ffmpeg.upscale(ffmpeg.input(name)), "out.mkv")
    with pytest.raises(vsr.PluginError, match=f"{name} cannot be an input"):
        vsr_ffmpeg.compile(graph, cmd="ffmpeg")
