"""A queue of files with what a person sees: a line a file, the time that is left for all, and a table at the
end."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vsr.cli import console, signals
from vsr.cli.progress import Line, Words, clock
from vsr.cli.shown_run import run_shown
from vsr.errors import VsrError
from vsr.settings.schema import UpscaleSettings
from vsr.writing import write_whole

if TYPE_CHECKING:
    from vsr.pipeline.job.report import Report
    from vsr.pipeline.queue.run import Outcome
    from vsr.pipeline.run import Progress

ETA_FROM = 5.0
"""Seconds of work before the time that is left is estimated."""


class QueueClock:
    """Estimates the time that is left for a queue, from the pixels that were computed and those still to
    come."""

    def __init__(self, sources: Sequence[Path], settings: UpscaleSettings) -> None:
        self._weights = [_pixels(source, settings) for source in sources]
        self._left = sum(self._weights)
        self._done = 0.0
        self._seconds = 0.0
        self._number = 0

    def begins(self, number: int) -> None:
        """A file is next, the first being 1."""
        self._number = number

    def ended(self, seconds: float, *, computed: bool) -> None:
        """That file is finished; one that was skipped or failed says nothing about the speed."""
        weight = self._weights[self._number - 1]
        self._left -= weight
        if computed:
            self._done += weight
            self._seconds += seconds

    def words(self) -> Words:
        """What describes the progress of the file that is next, and of the queue."""
        line = Line()

        def describe(now: Progress) -> str:
            words = f"file {self._number} of {len(self._weights)}: {line(now)}"
            left = self._seconds_left(now)
            return words if left is None else f"{words}; {clock(left)} left for the queue"

        return describe

    def _seconds_left(self, now: Progress) -> float | None:
        weight = self._weights[self._number - 1]
        part = weight * min(1.0, now.frames / now.total) if now.total else 0.0
        done, seconds = self._done + part, self._seconds + now.seconds
        return None if seconds < ETA_FROM or not done else (self._left - part) * seconds / done


def run_queue_shown(
    pairs: Sequence[tuple[Path, Path]],
    settings: UpscaleSettings,
    *,
    overwrite: bool,
    skip_existing: bool,
    quiet: bool,
    patience: float,
    report: Path | None,
) -> int:
    """Upscale many files and return the exit code: the worst of all.

    Args:
        pairs: Inputs with the paths of their results.
        settings: Those of every file.
        overwrite: Make every result anew.
        skip_existing: Skip inputs with a finished result of other settings, too.
        quiet: Print errors only.
        patience: Minutes without a frame that end the run.
        report: Where a line of JSON is written for each file.
    """
    from vsr.pipeline.job.warm_generator import WarmGenerator
    from vsr.pipeline.queue.run import run_queue, worst

    warm, times = WarmGenerator(), QueueClock([source for source, _ in pairs], settings)
    begun = time.monotonic()

    def work(source: Path, target: Path) -> Report:
        return run_shown(
            source,
            target,
            settings,
            overwrite=overwrite,
            quiet=quiet,
            patience=patience,
            warm=warm,
            queue=times,
        )

    outcomes: list[Outcome] = []
    times.begins(1)
    try:
        queue = run_queue(pairs, settings, work, overwrite=overwrite, skip_existing=skip_existing)
        for number, outcome in enumerate(queue, 1):
            outcomes.append(outcome)
            times.ended(time.monotonic() - begun, computed=outcome.report is not None)
            _say(outcome, number, len(pairs), quiet=quiet)
            _write(report, outcomes)
            begun = time.monotonic()
            times.begins(min(number + 1, len(pairs)))
    except signals.Stopped as stop:
        stop.left = f"{_counts(outcomes, len(pairs))}; the same command continues ({stop.left})"
        raise
    if not quiet:
        _summary(outcomes, len(pairs))
    return worst(outcomes)


def _say(outcome: Outcome, number: int, count: int, *, quiet: bool) -> None:
    head = f"[{number}/{count}]"
    if outcome.status in ("failed", "not tried"):
        console.error(f"{head} {outcome.message or f'{outcome.source}: not tried, for the device failed'}")
    elif quiet:
        return
    elif outcome.report is None:
        console.say(f"{head} {outcome.source}: {outcome.message} ({outcome.target})")
    else:
        made = outcome.report
        console.say(
            f"{head} {outcome.source} -> {outcome.target}: {made.frames_out} frames in {made.seconds:.1f} s,"
            f" {made.fps:.2f} fps"
        )


def _summary(outcomes: Sequence[Outcome], count: int) -> None:
    wrong = [one for one in outcomes if one.exit_code]
    if wrong:
        console.table(
            ("file", "status", "exit code", "reason"),
            [(str(one.source), one.status, str(one.exit_code), _reason(one)) for one in wrong],
        )
    console.say(_counts(outcomes, count))


def _reason(outcome: Outcome) -> str:
    if outcome.report is not None:
        return "; ".join(outcome.report.damage.notes) or "the input is damaged"
    return outcome.message.removeprefix(f"{outcome.source}: ")


def _counts(outcomes: Sequence[Outcome], count: int) -> str:
    """`3 of 5 files: 1 done, 1 skipped, 1 failed`."""
    words = [
        f"{number} {status}"
        for status in ("done", "damaged", "skipped", "failed", "not tried")
        if (number := sum(one.status == status for one in outcomes))
    ]
    return f"{len(outcomes)} of {count} files: {', '.join(words) or 'none finished'}"


def _write(report: Path | None, outcomes: Sequence[Outcome]) -> None:
    """After each file, so that a queue that is stopped leaves what it did."""
    if report is not None:
        lines = (json.dumps(outcome.as_dict(), ensure_ascii=True, default=str) for outcome in outcomes)
        write_whole(report, "".join(f"{line}\n" for line in lines).encode())


def _pixels(source: Path, settings: UpscaleSettings) -> float:
    """Of all frames of a file together; 0 where its headers do not say."""
    from vsr.media.decode.probe import probe
    from vsr.media.files.opening import MAX_PIXELS

    with suppress(VsrError, OSError):
        most = settings.max_pixels or MAX_PIXELS
        info = probe(source, video_stream=settings.video_stream, max_pixels=most)
        frames = info.frames_promised or float((info.duration_seconds or 0) * (info.frame_rate or 0))
        return frames * info.width * info.height
    return 0.0
