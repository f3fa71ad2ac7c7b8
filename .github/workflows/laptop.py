"""What a user does with `vsr` on a new machine: laptops.yml runs it on Windows and macOS, anyone by hand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

FRAMES = 48
CPU = ("--device", "cpu")


def main() -> None:
    """Do all of it; an assertion names what failed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = make_clip(folder / "in.mp4")
        assert vsr("info", clip) == 0
        assert vsr("models", "list") == 0
        assert vsr("doctor") == 0
        assert vsr("upscale", clip, folder / "out.mp4", *CPU) == 0
        assert vsr("verify", clip, folder / "out.mp4") == 0
        assert vsr("upscale", clip, folder / "out.mp4", *CPU) == 2  # it exists
        resume(clip, folder)
        long_name(clip, folder)
        if sys.platform == "win32":
            assert vsr("upscale", clip, folder / "nul.mp4") == 2
        for encoder in working_encoders():
            assert vsr("upscale", clip, folder / f"{encoder}.mkv", "--encoder", encoder, *CPU) == 0, encoder
        assert vsr("upscale", clip, folder / "auto.mp4") == 0  # on a GPU, if there is one


def make_clip(path: Path) -> Path:
    """A moving gradient."""
    with av.open(str(path), "w") as box:
        stream = box.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        row = np.arange(320, dtype=np.uint8)
        for index in range(FRAMES):
            picture = np.broadcast_to((row + 3 * index)[None, :, None], (240, 320, 3))
            box.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        box.mux(stream.encode(None))
    return path


def vsr(*words: str | Path) -> int:
    """The exit code of a command."""
    return subprocess.run([sys.executable, "-m", "vsr", *map(str, words)], check=False).returncode


def resume(clip: Path, folder: Path) -> None:
    """Ctrl-C (Ctrl-Break on Windows) in the middle, then the same command."""
    words = ["upscale", clip, folder / "again.mkv", "--model", "compact-x2", "--segment", "0.2", *CPU]
    command = [sys.executable, "-m", "vsr", *map(str, words)]
    windows = sys.platform == "win32"
    flags = subprocess.CREATE_NEW_PROCESS_GROUP if windows else 0
    process = subprocess.Popen(command, creationflags=flags)
    while process.poll() is None and not list(folder.glob(".*.vsr/*.segment")):
        time.sleep(0.05)
    process.send_signal(signal.CTRL_BREAK_EVENT if windows else signal.SIGINT)
    code = process.wait(120)
    assert code in (128 + (signal.SIGBREAK if windows else signal.SIGINT), 0), code
    if code:
        assert vsr(*words) == 0
    assert vsr("verify", clip, folder / "again.mkv") == 0
    assert not list(folder.glob(".*")), "something was left behind"


def long_name(clip: Path, folder: Path) -> None:
    """A result whose path is longer than Windows' 260 characters."""
    deep = folder.joinpath(*["folder" * 8] * 6)
    os.makedirs(f"\\\\?\\{deep}" if sys.platform == "win32" else deep)  # noqa: PTH103
    assert vsr("upscale", clip, deep / "out.mp4", "--model", "bicubic") == 0


def working_encoders() -> list[str]:
    """Those of which `vsr doctor` says that they work."""
    told = subprocess.run([sys.executable, "-m", "vsr", "doctor"], capture_output=True, text=True, check=True)
    rows = [line.split() for line in told.stdout.splitlines() if line.startswith("encoder")]
    return [row[1] for row in rows if row[2] == "works" and row[1] != "libx264rgb"]


if __name__ == "__main__":
    main()
