"""Measures the memory of one long run, and of one process that opens many files.

python -m benchmarks.soak.memory frames 10000 FOLDER      # prints JSON
python -m benchmarks.soak.memory files 1000 FOLDER
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch

from tests.media_maker import Audio, make_clip
from vsr import UpscaleSettings, upscale
from vsr.media.decode.facts.probe import probe
from vsr.media.files.opening import open_media
from vsr.pipeline.run import Progress

WIDTH, HEIGHT = 96, 64
SETTLED = 10
"""Fraction of the cases that is not counted, during which caches and allocators fill."""


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    """Return the number of open files of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def of_frames(number: int, folder: Path) -> dict[str, float]:
    """Upscale a clip of `number` frames; return the resident memory after
    the first tenth, and its change since."""
    clip = folder / "long.mkv"
    make_clip(clip, width=WIDTH, height=HEIGHT, frames=number, bframes=2, audio=[Audio()])
    sizes: list[int] = []

    def note(progress: Progress) -> None:
        if progress.frames % max(1, number // 100) == 0:
            sizes.append(resident())

    settings = UpscaleSettings(model="bicubic", device="cpu")
    report = upscale(clip, folder / "long-x2.mkv", settings, on_progress=note)
    after = sizes[len(sizes) // SETTLED :]
    return {
        "frames_in": number,
        "frames_out": report.frames_out,
        "settled": after[0],
        "drift": max(after[-3:]) - max(after[:3]),
        "highest": max(after),
        "seconds": report.seconds,
    }


def of_files(number: int, folder: Path) -> dict[str, float]:
    """Open, probe and close files; return the growth of memory and descriptors after the first tenth."""
    names = ("a.mp4", "b.mkv", "c.ts", "d.avi")
    clips = [make_clip(folder / name, frames=6) for name in names]
    for turn in range(number):
        if turn == max(len(clips), number // SETTLED):
            settled, handles = resident(), descriptors()
        open_media(clips[turn % len(clips)]).close()
        probe(clips[turn % len(clips)])
    return {"files": number, "drift": resident() - settled, "descriptors": descriptors() - handles}


def main() -> None:
    """Run the measurement that the command line names."""
    torch.set_num_threads(1)
    what, number, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    found = of_frames(number, folder) if what == "frames" else of_files(number, folder)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
