"""Runs a queue of files, and prints a line for each file and a table of the failed ones at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vsr.cli import console
from vsr.cli.flags.run_options import RunOptions
from vsr.cli.interruption import signals
from vsr.cli.queue_clock import QueueClock
from vsr.cli.queue_warnings import QueueWarnings
from vsr.cli.records import events
from vsr.cli.records.queue_report import QueueReport
from vsr.cli.shown_run import frames_in_words, run_shown
from vsr.cli.wording import in_flags
from vsr.media.remote.places import name_of

if TYPE_CHECKING:
    from vsr.pipeline.job.chosen_settings import ChosenSettings
    from vsr.pipeline.job.report import Report
    from vsr.pipeline.queue.run import Outcome


def run_queue_shown(
    pairs: Sequence[tuple[Path, Path]],
    chosen: ChosenSettings,
    options: RunOptions,
    *,
    skip_existing: bool,
) -> int:
    """Upscale many files, and return the exit code of the queue (see `vsr.pipeline.queue.run.worst`).

    Args:
        pairs: Inputs with the paths of their results.
        chosen: The settings of all files.
        options: Options of the command; `report` names a file that gets one line of JSON for each input.
        skip_existing: Whether to skip inputs whose finished result was made with other settings, too.
    """
    from vsr.pipeline.job.warm_generator import WarmGenerator
    from vsr.pipeline.queue.run import run_queue, worst

    log = QueueReport(options.report, overwrite=options.overwrite)
    quiet, settings = options.quiet, chosen.settings
    warm, times = WarmGenerator(), QueueClock([source for source, _ in pairs], settings)
    begun = time.monotonic()

    def work(source: Path, target: Path, on_complete: Callable[[Report], None]) -> Report:
        return run_shown(source, target, chosen, options, warm=warm, queue=times, on_complete=on_complete)

    outcomes: list[Outcome] = []
    said = QueueWarnings(times)
    times.begins(1)
    try:
        queue = run_queue(pairs, settings, work, overwrite=options.overwrite, skip_existing=skip_existing)
        with console.changed_warnings(said.shown):
            for number, outcome in enumerate(queue, 1):
                outcomes.append(outcome)
                times.ended(time.monotonic() - begun, computed=outcome.report is not None)
                _say(outcome, number, len(pairs), quiet=quiet)
                if console.is_diverted():
                    events.emit("file", number=number, count=len(pairs), **outcome.as_dict())
                log.add(outcome)
                begun = time.monotonic()
                if number < len(pairs):
                    signals.go_on()
                    times.begins(number + 1)
    except signals.Stopped as stop:
        events.result(files=_numbers(outcomes, len(pairs)))
        again = "without `overwrite=True` the same command" if options.overwrite else "the same command"
        kept = f"; {stop.frames_kept} finished frames of the next file are kept" if stop.frames_kept else ""
        stop.left = f"{_counts(outcomes, len(pairs))}; {again} continues{kept}"
        raise
    finally:
        warm.close()
    events.result(files=_numbers(outcomes, len(pairs)))
    if not quiet:
        said.sum_up()
        _summary(outcomes, len(pairs), table=not (log.is_on_stdout or console.is_diverted()))
    return worst(outcomes)


def _say(outcome: Outcome, number: int, count: int, *, quiet: bool) -> None:
    head = f"[{number}/{count}]"
    if outcome.status in ("failed", "not tried"):
        console.error(
            f"{head} {outcome.message or f'{name_of(outcome.source)}: not tried, because the device failed'}"
        )
    elif quiet:
        return
    elif outcome.report is None:
        console.say(f"{head} {name_of(outcome.source)}: {outcome.message} ({name_of(outcome.target)})")
    else:
        made = outcome.report
        size = f"{made.width}x{made.height}, {frames_in_words(made.frames_out)}"
        console.say(
            f"{head} {name_of(outcome.source)} -> {name_of(outcome.target)}: {size}"
            f" in {made.seconds:.1f} s, {made.fps:.2f} fps"
        )


def _summary(outcomes: Sequence[Outcome], count: int, *, table: bool) -> None:
    wrong = [one for one in outcomes if one.exit_code]
    if wrong and table:
        console.table(
            ("file", "status", "exit code", "reason"),
            [(name_of(one.source), one.status, str(one.exit_code), _reason(one)) for one in wrong],
        )
    console.say(_counts(outcomes, count))


def _reason(outcome: Outcome) -> str:
    if outcome.report is not None:
        return "; ".join(outcome.report.damage.notes) or "the input is damaged"
    return in_flags(outcome.message.removeprefix(f"{name_of(outcome.source)}: "))


def _numbers(outcomes: Sequence[Outcome], count: int) -> dict[str, int]:
    """Return the number of files, and of those with each status."""
    statuses = ("done", "damaged", "skipped", "failed", "not tried")
    return {"count": count} | {status: sum(one.status == status for one in outcomes) for status in statuses}


def _counts(outcomes: Sequence[Outcome], count: int) -> str:
    """Return how many files have which status: `3 of 5 files: 1 done, 1 skipped, 1 failed`."""
    words = [
        f"{number} {status}"
        for status in ("done", "damaged", "skipped", "failed", "not tried")
        if (number := sum(one.status == status for one in outcomes))
    ]
    return f"{len(outcomes)} of {count} files: {', '.join(words) or 'none finished'}"
