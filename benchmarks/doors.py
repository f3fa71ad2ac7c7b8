"""What each door costs: the same pictures through `vsr upscale` on files, through pipes, and as a node.

Wall time of whole commands, from start to exit, interleaved round by round; each ends in the same encoder of
x264. A door that takes a tenth longer than the files is too narrow.

    PYTHONPATH=plugins/ffmpeg python -m benchmarks.doors --source clip.mp4 --frames 200
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import ffmpeg
import vsr_ffmpeg

import vsr
from tests.ffmpeg_binary import ffmpeg as ffmpeg_binary

CODEC = {"vcodec": "libx264", "preset": "ultrafast", "crf": 18}
WORST = 1.1
"""Time of a door over that of files at most."""


def vsr_command(*words: str) -> list[str]:
    return [sys.executable, "-m", "vsr", "upscale", *words, "--model", "fast-x2", "--quiet"]


def files(source: Path, target: Path) -> None:
    words = ("--encoder", "libx264", "--preset", "ultrafast", "--crf", "18", "-y")
    subprocess.run(vsr_command(str(source), str(target), *words), check=True)


def pipe(form: str) -> Callable[[Path, Path], None]:
    """`ffmpeg | vsr | ffmpeg` in a format of pipes."""

    def run(source: Path, target: Path) -> None:
        binary = [ffmpeg_binary(), "-nostdin", "-v", "error", "-y"]
        out = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", str(target)]
        first = subprocess.Popen(
            [*binary, "-i", str(source), "-an", "-c:v", "rawvideo", "-f", form, "-"], stdout=subprocess.PIPE
        )
        middle = subprocess.Popen(vsr_command("-", "-"), stdin=first.stdout, stdout=subprocess.PIPE)
        last = subprocess.Popen([*binary, "-i", "-", *out], stdin=middle.stdout)
        for process in (first, middle):
            assert process.stdout is not None
            process.stdout.close()
        if any(process.wait() for process in (last, middle, first)):
            raise SystemExit("a process of the pipe failed")

    return run


def node(source: Path, target: Path) -> None:
    video = vsr_ffmpeg.upscale(ffmpeg.input(str(source)).video, model="fast-x2")
    stream = ffmpeg.output(video, str(target), **CODEC)
    vsr_ffmpeg.run(stream, quiet=True, overwrite_output=True)


DOORS: dict[str, Callable[[Path, Path], None]] = {
    "files": files,
    "pipe, YUV4MPEG2": pipe("yuv4mpegpipe"),
    "pipe, NUT": pipe("nut"),
    "ffmpeg-python": node,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.mkv"
        cut = [
            "-i",
            str(given.source),
            "-an",
            "-frames:v",
            str(given.frames),
            "-c:v",
            "libx264",
            "-crf",
            "12",
        ]
        subprocess.run([ffmpeg_binary(), "-nostdin", "-v", "error", *cut, str(source)], check=True)
        info = vsr.open_video(source).info
        taken: dict[str, list[float]] = {name: [] for name in DOORS}
        for _ in range(given.rounds):
            for name, door in DOORS.items():
                begin = time.perf_counter()
                door(source, Path(folder) / "out.mkv")
                taken[name].append(time.perf_counter() - begin)
    print(
        f"{info.width}x{info.height}, {given.frames} frames, fast-x2, {given.rounds} rounds, whole commands"
    )
    print("| door | seconds | over files | |")
    print("| --- | --- | --- | --- |")
    for name, seconds in taken.items():
        ratio = statistics.median(a / b for a, b in zip(seconds, taken["files"], strict=True))
        spread = f"{statistics.median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f})"
        print(f"| {name} | {spread} | {ratio:.2f} | {'ok' if ratio <= WORST else 'too narrow'} |")


if __name__ == "__main__":
    main()
