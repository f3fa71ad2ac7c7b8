"""What somebody does on a Windows laptop, in one process: `python -m tests.system.windows_session FOLDER`.

Prints a line of JSON: what each step gave. The last step ends the process from the thread that waits for
signals.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from fractions import Fraction
from pathlib import Path

from tests.media_maker import Audio, make_clip
from tests.system.as_windows import become_windows

FRAMES, LENGTH = 24, 5
"""Frames of the clip, and of a segment."""


class CutOffError(Exception):
    """Stands for whatever ends a run in its middle."""


def main(folder: Path) -> None:
    """Do all steps."""
    clip = make_clip(folder / "in.mkv", frames=FRAMES, audio=[Audio()])
    become_windows()
    found = {
        "info": command("info", str(clip)),
        "models": command("models", "list"),
        "reserved name": command("upscale", str(clip), str(folder / "nul.mp4"), "--model", "bicubic"),
        "cut off": cut_off(clip, folder / "out.mkv"),
        "segments": len(list(folder.glob(".*.vsr/*.segment"))),
        "resumed": upscaled(clip, folder / "out.mkv", "--report", str(folder / "report.json")),
        "again": upscaled(clip, folder / "out.mkv"),
        "replaced": upscaled(clip, folder / "out.mkv", "-y"),
        "straight": upscaled(clip, folder / "straight.mkv", "--no-resume"),
        "failed straight": failed_straight(clip, folder / "failed.mkv"),
        "verified": command("verify", str(clip), str(folder / "out.mkv")),
        "break": stopped(signal.SIGBREAK),  # type: ignore[attr-defined]
    }
    sys.__stdout__.write(json.dumps(found) + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]
    hang()


def command(*words: str) -> int:
    """The exit code of `vsr` with these words."""
    from vsr.__main__ import main as run

    sys.argv = ["vsr", *words]
    try:
        run()
    except SystemExit as end:
        return int(end.code or 0)
    raise AssertionError("the command line came back without an exit code")


def upscaled(clip: Path, target: Path, *more: str) -> int:
    """The exit code of a run with the settings of `cut_off`."""
    flags = ("--model", "bicubic", "--device", "cpu", "--preset", "ultrafast", "--segment", f"{LENGTH / 25}")
    return command("upscale", str(clip), str(target), *flags, *more)


def cut_off(clip: Path, target: Path) -> bool:
    """Whether a run that fails in its middle leaves its folder and no result."""
    from vsr.pipeline.flow.graph import DEPTH
    from vsr.pipeline.run import upscale
    from vsr.settings.schema import EncoderSettings, UpscaleSettings

    def stop(done: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise CutOffError

    left = 2 * LENGTH + DEPTH + 3  # the encoder may be DEPTH frames behind, and is working on one
    settings = UpscaleSettings(
        model="bicubic",
        device="cpu",
        encoder=EncoderSettings(preset="ultrafast"),
        segment_seconds=Fraction(LENGTH, 25),
    )
    try:
        upscale(clip, target, settings, on_progress=stop)
    except CutOffError:
        return not target.exists()
    return False


def failed_straight(clip: Path, target: Path) -> bool:
    """Whether a run without segments that fails leaves nothing, though its file was open when it did."""
    from vsr.pipeline.run import upscale
    from vsr.settings.schema import EncoderSettings, UpscaleSettings

    def stop(done: object) -> None:
        raise CutOffError

    settings = UpscaleSettings(
        model="bicubic", device="cpu", encoder=EncoderSettings(preset="ultrafast"), resume=False
    )
    before = set(target.parent.iterdir())
    try:
        upscale(clip, target, settings, on_progress=stop)
    except CutOffError:
        return set(target.parent.iterdir()) == before
    return False


def stopped(number: int) -> int:
    """The exit code that a signal asks for."""
    from vsr.cli.interruption import signals

    try:
        with signals.installed():
            signal.raise_signal(number)
            time.sleep(60)
    except signals.Stopped as stop:
        return stop.exit_code
    return 0


def hang() -> None:
    """Go on after Ctrl-Break as a library would that does not return: the guard ends the process."""
    from vsr.cli.interruption.guard import Guard

    number: int = signal.SIGBREAK  # type: ignore[attr-defined]
    signal.signal(number, lambda *_: None)
    guard = Guard(0.1)
    guard.strengthen()
    signal.raise_signal(number)
    time.sleep(60)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
