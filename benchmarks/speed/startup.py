"""Start-up time of the command line, beside that of its requirements: Python and PyAV.

Rounds go through all rows in turn, so that a change of the machine's speed affects all of them. Each cell is
the median over whole processes with its spread.

    python -m benchmarks.speed.startup --out bench
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from benchmarks import tables

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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        commands = rows(small_clip(Path(folder) / "in.mp4"))
        taken: dict[str, list[float]] = {what: [] for what in commands}
        for _ in range(ROUNDS):
            for what, command in commands.items():
                taken[what].append(seconds(command))
    columns = [tables.column("process"), tables.column("s, median (smallest to largest)", tables.spread(2))]
    found = [[what, tables.summary(times)] for what, times in taken.items()]
    print(tables.record(parser.parse_args().out, "startup", columns, found))


if __name__ == "__main__":
    main()
