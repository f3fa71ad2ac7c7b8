"""The progress line: live on a terminal, otherwise or on request a plain line at intervals, or none."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vsr.cli import console

if TYPE_CHECKING:
    from vsr.cli.flags.run_options import ProgressKind
    from vsr.pipeline.run import Progress

Show = Callable[["Progress"], None]
Words = Callable[["Progress"], str]

_PLAIN_SECONDS = 10.0
"""Seconds between two plain lines, so that the log of a long run stays readable."""
WINDOW_SECONDS = 60.0
"""Seconds over which speed is measured, because scenes and the load of the machine vary."""
PAUSE = 20
"""A frame that takes this many times as long as the average in the window, and more than `PAUSE_SECONDS`,
counts as a pause: the process was stopped, or the machine slept."""
PAUSE_SECONDS = 10.0


class Speed:
    """Frames per second over the last minute, without pauses and without the first frame, which includes the
    time to start."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._last: float | None = None
        self.started = 0.0
        """Seconds until the first frame was finished."""
        self.paused = 0.0
        """Seconds of pauses."""

    def add(self, seconds: float, frames: int) -> None:
        """Record how many frames are finished a number of seconds after the start."""
        if self._last is None:
            self.started = seconds
        elif self._is_pause(seconds - self._last):
            self.paused += seconds - self._last
        self._last = seconds
        self._seen.append((seconds - self.paused, frames))
        while self._seen[-1][0] - self._seen[0][0] > WINDOW_SECONDS and len(self._seen) > 2:
            self._seen.popleft()

    @property
    def fps(self) -> float | None:
        """Frames per second; None until two frames are finished."""
        if len(self._seen) < 2 or self._seen[-1][0] <= self._seen[0][0]:
            return None
        (first, before), (last, after) = self._seen[0], self._seen[-1]
        return (after - before) / (last - first)

    def _is_pause(self, gap: float) -> bool:
        fps = self.fps
        return gap > PAUSE_SECONDS and fps is not None and gap * fps > PAUSE


class Line:
    """Text about one run: `120 of 325 frames (37 %), 12.10 fps, 0:00:17 left, limited by upscale`."""

    def __init__(self) -> None:
        self.speed = Speed()

    def __call__(self, now: Progress) -> str:
        """Describe how far a run is; called after each frame."""
        return ", ".join(self.parts(now))

    def parts(self, now: Progress) -> list[str]:
        """Return the parts of that text, the most important ones first, for terminals are narrow."""
        self.speed.add(now.seconds, now.frames)
        fps, done = self.speed.fps, now.kept + now.frames
        if not now.total:
            words = [f"{done} frames"]
        else:
            total = max(now.total, done)  # a container may state too few
            words = [f"{done} of {total} frames ({100 * done // total} %)"]
        if fps is not None:
            words.append(f"{fps:.2f} fps")
            if now.total:
                words.append(f"{clock(max(0, now.total - done) / fps)} left")
        if now.bottleneck:
            words.append(f"limited by {now.bottleneck}")
        return words


@contextmanager
def progress_line(kind: ProgressKind, words: Words) -> Generator[Show | None, None, None]:
    """Yield the function that `pipeline.run` calls after each frame; `words` makes the text that is shown."""
    if kind == "none":
        yield None
    elif kind == "auto" and console.stderr().is_terminal:
        with _live(words) as show:
            yield show
    else:
        yield _plain(words)


@contextmanager
def _live(words: Words) -> Generator[Show, None, None]:
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), TextColumn("{task.fields[words]}", markup=False))
    with Bar(*columns, console=console.stderr(), refresh_per_second=4) as bar:
        task = bar.add_task("upscale", total=None, words="")

        def show(now: Progress) -> None:
            total = None if now.total is None else max(now.total, now.kept + now.frames)
            bar.update(task, completed=now.kept + now.frames, total=total, words=words(now))

        yield show


def _plain(words: Words) -> Show:
    last = time.monotonic()

    def show(now: Progress) -> None:
        nonlocal last
        line = words(now)
        if time.monotonic() - last < _PLAIN_SECONDS:
            return
        last = time.monotonic()
        console.say(line)

    return show


@contextmanager
def count_line(what: str) -> Generator[Callable[[int, int], None], None, None]:
    """Yield a function that is called with the number of finished frames, and of all: `compared 12 of
    240`."""
    if not console.stderr().is_terminal:
        yield _plain_count(what)
        return
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), TextColumn("{task.description} {task.completed} of {task.total}"))
    with Bar(*columns, console=console.stderr(), refresh_per_second=4) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _plain_count(what: str) -> Callable[[int, int], None]:
    last = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _PLAIN_SECONDS:
            last = time.monotonic()
            console.say(f"{what} {done} of {total}")

    return show


def clock(seconds: float) -> str:
    """Return a duration as `1:02:03`."""
    whole = max(0, round(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
