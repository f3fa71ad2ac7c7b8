"""Start-up time of the command line, beside that of its requirements: Python and PyAV.

Rounds go through all rows in turn, so that a change of the machine's speed affects all of them. Each cell is
the median over whole processes with its spread.

    python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

ROUNDS = 15


def rows(clip: Path) -> dict[str, list[str]]:
    """Return the commands; the clip hardly matters, because only its headers are read."""
    return {
        "python without imports": [sys.executable, "-c", "pass"],
        "python with PyAV, rich and Typer": [sys.executable, "-c", "import av, rich.console, typer"],
        "vsr --help": [sys.executable, "-m", "vsr", "--help"],
        "vsr info": [sys.executable, "-m", "vsr", "info", str(clip)],
        "vsr upscale, missing input": [
            sys.executable,
            "-m",
            "vsr",
            "upscale",
            "no.mp4",
            "out.mp4",
        ],
    }


def small_clip(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def seconds(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - begin


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        commands = rows(small_clip(Path(folder) / "in.mp4"))
        taken: dict[str, list[float]] = {what: [] for what in commands}
        for _ in range(ROUNDS):
            for what, command in commands.items():
                taken[what].append(seconds(command))
    print("| process | s, median (smallest to largest) |\n| --- | --- |")
    for what, times in taken.items():
        print(f"| {what} | {statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f}) |")


if __name__ == "__main__":
    main()
