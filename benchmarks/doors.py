"""What each door costs: the same pictures through `vsr upscale` on files, through pipes, and inside of hosts.

Wall time of whole commands, from start to exit, interleaved round by round; each door over the way of `vsr`
itself that ends as it does: in a file of x264, or in pictures that nobody takes. A door that takes a tenth
longer is too narrow.

    PYTHONPATH=plugins/ffmpeg python -m benchmarks.doors --source clip.mp4 --frames 200
    ... --only vspipe --vapoursynth .venv-vapoursynth/bin --model compact-x2

`vspipe` needs a Python of its own (`make test-vapoursynth` makes one) with the source filter besides:
`pip install vapoursynth-bestsource`. Doors whose host is not there are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import vsr
from tests.ffmpeg_binary import ffmpeg as ffmpeg_binary

ROOT = Path(__file__).parent.parent
CODEC = {"vcodec": "libx264", "preset": "ultrafast", "crf": 18}
WORST = 1.1
"""Time of a door over that of vsr itself at most."""

Run = Callable[[], float | None]
"""Puts a clip through a door; returns the seconds of it that are not the door's, if there are any."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What all doors have in common."""

    source: Path
    model: str
    folder: Path
    """For results, scripts and indices; thrown away."""
    vapoursynth: Path | None
    """Folder of `python` and `vspipe`."""


@dataclass(frozen=True, slots=True)
class Door:
    """A way for pictures to vsr and back."""

    run: Run
    over: str
    """Name of the one that it is measured by."""


def command(bench: Bench, *words: str, python: str = sys.executable) -> list[str]:
    return [python, "-m", "vsr", "upscale", *words, "--model", bench.model, "--quiet"]


def called(words: list[str], env: dict[str, str] | None = None) -> None:
    """To its end; what it gives on standard output goes nowhere."""
    subprocess.run(words, env=env, stdout=subprocess.DEVNULL, check=True)


def files(bench: Bench) -> Run:
    words = ("--encoder", "libx264", "--preset", "ultrafast", "--crf", "18", "-y")
    return lambda: called(command(bench, str(bench.source), str(bench.folder / "out.mkv"), *words))


def piped(bench: Bench, form: str) -> Run:
    """`ffmpeg | vsr | ffmpeg` in a format of pipes."""

    def run() -> None:
        binary = [ffmpeg_binary(), "-nostdin", "-v", "error", "-y"]
        out = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", str(bench.folder / "out.mkv")]
        first = subprocess.Popen(
            [*binary, "-i", str(bench.source), "-an", "-c:v", "rawvideo", "-f", form, "-"],
            stdout=subprocess.PIPE,
        )
        middle = subprocess.Popen(command(bench, "-", "-"), stdin=first.stdout, stdout=subprocess.PIPE)
        last = subprocess.Popen([*binary, "-i", "-", *out], stdin=middle.stdout)
        for process in (first, middle):
            assert process.stdout is not None
            process.stdout.close()
        if any(process.wait() for process in (last, middle, first)):
            raise SystemExit("a process of the pipe failed")

    return run


def node(bench: Bench) -> Run:
    import ffmpeg
    import vsr_ffmpeg

    def run() -> None:
        video = vsr_ffmpeg.upscale(ffmpeg.input(str(bench.source)).video, model=bench.model)
        stream = ffmpeg.output(video, str(bench.folder / "out.mkv"), **CODEC)
        vsr_ffmpeg.run(stream, quiet=True, overwrite_output=True)

    return run


def nowhere(bench: Bench, python: str = sys.executable) -> Run:
    """vsr itself, from a file to uncompressed pictures that nobody takes."""
    return lambda: called(command(bench, str(bench.source), "-", "--format", "y4m", python=python))


SCRIPT = """
import sys
sys.path[:0] = [{plugin!r}]
import vapoursynth as vs
import vsr
import vsr_vapoursynth
from vsr.engine.allocator import keep_freed_memory
keep_freed_memory()
clip = vs.core.bs.VideoSource({source!r}, cachemode=4, cachepath={index!r})
vsr_vapoursynth.upscale(clip, model={model!r}).set_output()
"""
"""As the plugin's README has it. BestSource's index is kept, so that only the first run makes it."""


def vspipe(bench: Bench, folder: Path) -> Run:
    script, index = bench.folder / "script.vpy", bench.folder / "index"
    plugin = str(ROOT / "plugins/vapoursynth")
    words = SCRIPT.format(plugin=plugin, source=str(bench.source), index=str(index), model=bench.model)
    script.write_text(words)
    env = os.environ | {"XDG_CONFIG_HOME": str(bench.folder)}
    called([str(folder / "vapoursynth"), "config"], env)  # tells vspipe which Python is meant
    return lambda: called([str(folder / "vspipe"), "-c", "y4m", str(script), "-"], env)


COMFYUI = """
import sys, time
sys.path[:0] = [sys.argv[1]]
import torch, vsr, vsr_comfyui
begin = time.perf_counter()
with vsr.open_video(sys.argv[2]) as video:
    images = torch.stack([frame.to_rgb().image.permute(1, 2, 0) for frame in video]).clamp_(0, 1)
if sys.argv[4] == "at hand":
    _, height, width, _ = images.shape
    room = vsr_comfyui._room(images, height=2 * height, width=2 * width).zero_()
    vsr_comfyui._room = lambda *_, **__: room
print(time.perf_counter() - begin)
(upscaler,) = vsr_comfyui.LoadModel().load(sys.argv[3], 2.0)
vsr_comfyui.UpscaleFrames().upscale(upscaler, images)
"""
"""What ComfyUI does with the two nodes, and a clip as ComfyUI has it: whole, in floats. How long it takes to
make that, which is another node's work, is printed; with "at hand" so is what it takes to be given the memory
of the result, gigabytes that no program had before: a virtual machine may get it page by page from its host,
ten times as slowly as a machine of one's own gives it."""


def comfyui(bench: Bench, memory: str) -> Run:
    words = [str(ROOT / "plugins/comfyui"), str(bench.source), bench.model.removesuffix("-x2"), memory]

    def run() -> float:
        done = subprocess.run([sys.executable, "-c", COMFYUI, *words], stdout=subprocess.PIPE, check=True)
        return float(done.stdout)

    return run


def gstreamer(bench: Bench) -> Run:
    """No Python but the system's may be on the PATH; see the plugin's README."""
    (bench.folder / "bin").mkdir()
    (bench.folder / "bin/vsr").symlink_to(Path(sys.executable).parent / "vsr")
    env = os.environ | {
        "PATH": f"{bench.folder / 'bin'}:/usr/bin:/bin",
        "GST_PLUGIN_PATH": str(ROOT / "plugins/gstreamer"),
        "GST_REGISTRY": str(bench.folder / "registry.bin"),
    }
    source = f"filesrc location={bench.source} ! qtdemux ! avdec_h264"
    words = f"{source} ! vsrupscale model={bench.model} ! fakesink sync=false".split()
    return lambda: called(["gst-launch-1.0", "-q", *words], env)


def doors_of(bench: Bench) -> dict[str, Door]:
    """Those whose hosts are there, and what they are measured by."""
    found = {
        "files": Door(files(bench), "files"),
        "pipe, YUV4MPEG2": Door(piped(bench, "yuv4mpegpipe"), "files"),
        "pipe, NUT": Door(piped(bench, "nut"), "files"),
    }
    if importlib.util.find_spec("vsr_ffmpeg"):
        found["ffmpeg-python"] = Door(node(bench), "files")
    found["frames discarded"] = Door(nowhere(bench), "frames discarded")
    found["ComfyUI"] = Door(comfyui(bench, "new"), "frames discarded")
    found["ComfyUI, reused memory"] = Door(comfyui(bench, "at hand"), "frames discarded")
    if shutil.which("gst-launch-1.0"):
        found["GStreamer"] = Door(gstreamer(bench), "frames discarded")
    if bench.vapoursynth is not None:
        python = str(bench.vapoursynth / "python")
        found["frames discarded, Python of vspipe"] = Door(
            nowhere(bench, python), "frames discarded, Python of vspipe"
        )
        found["vspipe"] = Door(vspipe(bench, bench.vapoursynth), "frames discarded, Python of vspipe")
    return found


def chosen(doors: dict[str, Door], only: list[str]) -> dict[str, Door]:
    """Those that were named, and what they are measured by; all of them where none was."""
    for name in only:
        if name not in doors:
            raise SystemExit(f"no door {name!r} here; there are {', '.join(doors)}")
    needed = {*only, *(doors[name].over for name in only)}
    return {name: door for name, door in doors.items() if not only or name in needed}


def timed(run: Run) -> float:
    begin = time.perf_counter()
    others = run() or 0.0
    return time.perf_counter() - begin - others


def measured(doors: dict[str, Door], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, in turn; a first round, which makes indices and fills caches, does not count."""
    taken: dict[str, list[float]] = {name: [] for name in doors}
    for number in range(rounds + 1):
        for name, door in doors.items():
            seconds = timed(door.run)
            if number:
                taken[name].append(seconds)
    return taken


def spread(values: list[float], digits: int) -> str:
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({least:.{digits}f} to {most:.{digits}f})"


def table(doors: dict[str, Door], taken: dict[str, list[float]]) -> str:
    rows = ["| how | seconds | over | ratio | |", "| --- | --- | --- | --- | --- |"]
    for name, door in doors.items():
        ratios = [one / other for one, other in zip(taken[name], taken[door.over], strict=True)]
        verdict = "ok" if statistics.median(ratios) <= WORST else "too narrow"
        rows.append(f"| {name} | {spread(taken[name], 1)} | {door.over} | {spread(ratios, 2)} | {verdict} |")
    return "\n".join(rows)


def cut(source: Path, frames: int, to: Path) -> Path:
    """The first pictures of a clip, hardly compressed."""
    words = ["-i", str(source), "-an", "-frames:v", str(frames), "-c:v", "libx264", "-crf", "12", str(to)]
    subprocess.run([ffmpeg_binary(), "-nostdin", "-v", "error", *words], check=True)
    return to


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="fast-x2", help="fast-x2 or compact-x2")
    parser.add_argument("--vapoursynth", type=Path, help="folder of vspipe and its Python")
    parser.add_argument("--only", action="append", default=[], help="a door; may be given again")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = cut(given.source, given.frames, folder / "in.mp4")
        info = vsr.open_video(source).info
        bench = Bench(source, given.model, folder, given.vapoursynth and given.vapoursynth.absolute())
        doors = chosen(doors_of(bench), given.only)
        taken = measured(doors, given.rounds)
    size = f"{info.width}x{info.height}, {given.frames} frames, {given.model}"
    print(f"{size}, {given.rounds} rounds, whole commands")
    print(table(doors, taken))


if __name__ == "__main__":
    main()
