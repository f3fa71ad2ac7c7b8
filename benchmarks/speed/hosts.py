"""Costs of the host integrations: the same frames through `vsr upscale`
on files, through pipes, and inside hosts.

It measures the wall time of whole commands, from start to exit, interleaved round by round. Each integration
is compared with `vsr` itself with the same kind of output: a file encoded by x264, or frames that are
discarded. The limit is a tenth more time.

    PYTHONPATH=plugins/ffmpeg python -m benchmarks.speed.hosts --source clip.mp4 --frames 200
    ... --only vspipe --vapoursynth .venv-vapoursynth/bin --model compact-x2

`vspipe` needs a separate Python (`make test-vapoursynth` creates one) with the source filter:
`pip install vapoursynth-bestsource`. Integrations whose host is not installed are left out.
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
from benchmarks import tables
from benchmarks.tables import ROOT
from tests.ffmpeg_binary import ffmpeg as ffmpeg_binary

CODEC = {"vcodec": "libx264", "preset": "ultrafast", "crf": 18}
WORST = 1.1
"""Largest time of an integration, as a multiple of the time of vsr itself."""

Run = Callable[[], float | None]
"""Sends a clip through an integration; returns the seconds that are not part of it, if there are any."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Settings that all integrations share."""

    source: Path
    model: str
    folder: Path
    """Temporary folder for results, scripts and indices."""
    vapoursynth: Path | None
    """Folder of `python` and `vspipe`."""


@dataclass(frozen=True, slots=True)
class Integration:
    """A way in which frames reach vsr and come back."""

    run: Run
    over: str
    """Name of the integration to compare with."""


def command(bench: Bench, *words: str, python: str = sys.executable) -> list[str]:
    return [python, "-m", "vsr", "upscale", *words, "--model", bench.model, "--quiet"]


def called(words: list[str], env: dict[str, str] | None = None) -> None:
    """Run a command to its end, and discard its standard output."""
    subprocess.run(words, env=env, stdout=subprocess.DEVNULL, check=True)


def files(bench: Bench) -> Run:
    words = ("--encoder", "libx264", "--preset", "ultrafast", "--crf", "18", "-y")
    return lambda: called(command(bench, str(bench.source), str(bench.folder / "out.mkv"), *words))


def piped(bench: Bench, form: str) -> Run:
    """Run `ffmpeg | vsr | ffmpeg` with a pipe format."""

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
    """Run vsr itself, from a file to uncompressed frames that are discarded."""
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
"""The script in the plugin's README. BestSource's index is kept, so that only the first run creates it."""


def vspipe(bench: Bench, folder: Path) -> Run:
    script, index = bench.folder / "script.vpy", bench.folder / "index"
    plugin = str(ROOT / "plugins/vapoursynth")
    words = SCRIPT.format(plugin=plugin, source=str(bench.source), index=str(index), model=bench.model)
    script.write_text(words)
    env = os.environ | {"XDG_CONFIG_HOME": str(bench.folder)}
    called([str(folder / "vapoursynth"), "config"], env)  # tells vspipe which Python to use
    return lambda: called([str(folder / "vspipe"), "-c", "y4m", str(script), "-"], env)


COMFYUI = """
import sys, time
sys.path[:0] = [sys.argv[1]]
import torch, vsr, vsr_comfyui
begin = time.perf_counter()
with vsr.open_video(sys.argv[2]) as video:
    images = torch.stack([frame.to_rgb().image.permute(1, 2, 0) for frame in video]).clamp_(0, 1)
if sys.argv[4] == "preallocated":
    _, height, width, _ = images.shape
    room = vsr_comfyui._room(images, height=2 * height, width=2 * width).zero_()
    vsr_comfyui._room = lambda *_, **__: room
print(time.perf_counter() - begin)
(upscaler,) = vsr_comfyui.LoadModel().load(sys.argv[3], 2.0)
vsr_comfyui.UpscaleFrames().upscale(upscaler, images)
"""
"""What ComfyUI does with the two nodes and a whole clip in floats. The script prints the time to create this
clip, which is the work of another node. With "preallocated", the time to allocate the result is excluded as
well: gigabytes of new memory, which a virtual machine may get from its host page by page, ten times more
slowly than a physical machine."""


def comfyui(bench: Bench, memory: str) -> Run:
    words = [str(ROOT / "plugins/comfyui"), str(bench.source), bench.model.removesuffix("-x2"), memory]

    def run() -> float:
        done = subprocess.run([sys.executable, "-c", COMFYUI, *words], stdout=subprocess.PIPE, check=True)
        return float(done.stdout)

    return run


def gstreamer(bench: Bench) -> Run:
    """Run the element; only the system's Python may be on the PATH, see the plugin's README."""
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


def integrations_of(bench: Bench) -> dict[str, Integration]:
    """Return the integrations whose hosts are installed, and those that they are compared with."""
    found = {
        "files": Integration(files(bench), "files"),
        "pipe, YUV4MPEG2": Integration(piped(bench, "yuv4mpegpipe"), "files"),
        "pipe, NUT": Integration(piped(bench, "nut"), "files"),
    }
    if importlib.util.find_spec("vsr_ffmpeg"):
        found["ffmpeg-python"] = Integration(node(bench), "files")
    found["frames discarded"] = Integration(nowhere(bench), "frames discarded")
    found["ComfyUI"] = Integration(comfyui(bench, "new"), "frames discarded")
    found["ComfyUI, reused memory"] = Integration(comfyui(bench, "preallocated"), "frames discarded")
    if shutil.which("gst-launch-1.0"):
        found["GStreamer"] = Integration(gstreamer(bench), "frames discarded")
    if bench.vapoursynth is not None:
        python = str(bench.vapoursynth / "python")
        found["frames discarded, Python of vspipe"] = Integration(
            nowhere(bench, python), "frames discarded, Python of vspipe"
        )
        found["vspipe"] = Integration(vspipe(bench, bench.vapoursynth), "frames discarded, Python of vspipe")
    return found


def chosen(integrations: dict[str, Integration], only: list[str]) -> dict[str, Integration]:
    """Return the named integrations and those that they are compared with; all if none is named."""
    for name in only:
        if name not in integrations:
            raise SystemExit(f"there is no integration {name!r}; there are {', '.join(integrations)}")
    needed = {*only, *(integrations[name].over for name in only)}
    return {name: integration for name, integration in integrations.items() if not only or name in needed}


def timed(run: Run) -> float:
    begin = time.perf_counter()
    others = run() or 0.0
    return time.perf_counter() - begin - others


def measured(integrations: dict[str, Integration], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each, measured in turn; the first round creates
    indices and fills caches, and is ignored."""
    taken: dict[str, list[float]] = {name: [] for name in integrations}
    for number in range(rounds + 1):
        for name, integration in integrations.items():
            seconds = timed(integration.run)
            if number:
                taken[name].append(seconds)
    return taken


COLUMNS = [
    tables.column("how"),
    tables.column("seconds", tables.spread(1)),
    tables.column("over"),
    tables.column("ratio", tables.spread(2)),
    tables.column(""),
]


def rows_of(integrations: dict[str, Integration], taken: dict[str, list[float]]) -> list[list[tables.Cell]]:
    rows: list[list[tables.Cell]] = []
    for name, integration in integrations.items():
        ratios = [one / other for one, other in zip(taken[name], taken[integration.over], strict=True)]
        verdict = "ok" if statistics.median(ratios) <= WORST else "too slow"
        rows.append([name, tables.summary(taken[name]), integration.over, tables.summary(ratios), verdict])
    return rows


def cut(source: Path, frames: int, to: Path) -> Path:
    """Write the first frames of a clip, almost uncompressed."""
    words = ["-i", str(source), "-an", "-frames:v", str(frames), "-c:v", "libx264", "-crf", "12", str(to)]
    subprocess.run([ffmpeg_binary(), "-nostdin", "-v", "error", *words], check=True)
    return to


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="fast-x2", help="fast-x2 or compact-x2")
    parser.add_argument("--vapoursynth", type=Path, help="folder of vspipe and its Python")
    parser.add_argument("--only", action="append", default=[], help="an integration; repeatable")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = cut(given.source, given.frames, folder / "in.mp4")
        info = vsr.open_video(source).info
        bench = Bench(source, given.model, folder, given.vapoursynth and given.vapoursynth.absolute())
        integrations = chosen(integrations_of(bench), given.only)
        taken = measured(integrations, given.rounds)
    size = f"{info.width}x{info.height}, {given.frames} frames, {given.model}"
    print(f"{size}, {given.rounds} rounds, whole commands")
    print(tables.record(given.out, "hosts", COLUMNS, rows_of(integrations, taken)))


if __name__ == "__main__":
    main()
