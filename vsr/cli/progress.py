"""The progress line: live on a terminal, a plain line now and then elsewhere, nothing when quiet."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vsr.cli import console

if TYPE_CHECKING:
    from vsr.pipeline.run import Progress

Show = Callable[["Progress"], None]

_PLAIN_SECONDS = 10.0
"""Between two plain lines: a day's log stays readable."""


@contextmanager
def progress_line(*, quiet: bool) -> Generator[Show | None, None, None]:
    """What `pipeline.run` calls after each frame."""
    if quiet:
        yield None
    elif console.stderr().is_terminal:
        with _live() as show:
            yield show
    else:
        yield _plain()


@contextmanager
def _live() -> Generator[Show, None, None]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]} fps"),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("limited by {task.fields[bottleneck]}"),
    )
    with Bar(*columns, console=console.stderr(), refresh_per_second=4) as bar:
        task = bar.add_task("upscale", total=None, rate="-", bottleneck="-")

        def show(now: Progress) -> None:
            bar.update(
                task,
                completed=now.frames,
                total=now.total,
                rate=f"{now.frames / max(now.seconds, 1e-9):.2f}",
                bottleneck=now.bottleneck,
            )

        yield show


def _plain() -> Show:
    last = time.monotonic()

    def show(now: Progress) -> None:
        nonlocal last
        if time.monotonic() - last < _PLAIN_SECONDS:
            return
        last = time.monotonic()
        console.say(describe(now))

    return show


def describe(now: Progress) -> str:
    """`120 of 325 frames (37 %), 12.10 fps, 0:00:17 left, limited by upscale`."""
    fps = now.frames / max(now.seconds, 1e-9)
    words = [f"{now.frames} frames" if not now.total else f"{now.frames} of {now.total} frames"]
    if now.total:
        words[0] += f" ({100 * now.frames // now.total} %)"
        words += [f"{fps:.2f} fps", f"{clock((now.total - now.frames) / max(fps, 1e-9))} left"]
    else:
        words.append(f"{fps:.2f} fps")
    return ", ".join([*words, f"limited by {now.bottleneck}"])


def clock(seconds: float) -> str:
    """`1:02:03`."""
    whole = max(0, round(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
