"""A run of `vsr upscale` with what a person sees before, during and after it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vsr.cli import console, signals
from vsr.media.files.stdio import is_pipe
from vsr.settings.schema import UpscaleSettings

if TYPE_CHECKING:
    from vsr.cli.shown_queue import QueueClock
    from vsr.pipeline.job.job import Job
    from vsr.pipeline.job.report import Report
    from vsr.pipeline.job.warm_generator import WarmGenerator


def run_shown(
    source: Path,
    target: Path,
    settings: UpscaleSettings,
    *,
    overwrite: bool,
    quiet: bool,
    patience: float = 30.0,
    warm: WarmGenerator | None = None,
    queue: QueueClock | None = None,
) -> Report:
    """Upscale one file.

    Args:
        source: As for `vsr.upscale`.
        target: As for `vsr.upscale`.
        settings: As for `vsr.upscale`.
        overwrite: Replace an existing target.
        quiet: Print errors only.
        patience: Minutes without a frame that end the run; 0 waits for ever.
        warm: The generator of the file before, in a queue.
        queue: Describes the progress of a queue; then the header and the last line are the queue's to print.
    """
    from vsr.cli.progress import Line, progress_line
    from vsr.cli.watchdog import watchdog
    from vsr.media.decode.probe import probe
    from vsr.media.files.opening import MAX_PIXELS
    from vsr.media.files.output_path import check_target
    from vsr.media.files.stdio import settle_delay

    with ExitStack() as stack:
        dog = stack.enter_context(watchdog(patience))
        with dog.files_only():
            settle_delay(source, target, settings.format)
            # Before torch is imported, which takes seconds: most mistakes are in these two words.
            probe(source, video_stream=settings.video_stream, max_pixels=settings.max_pixels or MAX_PIXELS)
            if not is_pipe(target):
                check_target(target, source, overwrite=overwrite)
            signals.whatever_runs()
            from vsr.pipeline.run import compute, finish, prepare

            job = stack.enter_context(prepare(source, target, settings, overwrite=overwrite, warm=warm))
        told = [] if quiet else _before(job.report, brief=queue is not None)
        with _kept_parts(job):
            job.alive = dog.alive
            with progress_line(quiet=quiet, words=queue.words() if queue else Line()) as show:
                meter = compute(job, show)
            with dog.files_only():
                finish(job, meter)
        _after(job.report, told, quiet=quiet, brief=queue is not None)
        return job.report


@contextmanager
def _kept_parts(job: Job) -> Generator[None, None, None]:
    """When a run ends early, say what it leaves."""
    try:
        yield
    except BaseException as error:
        kept = job.kept_frames()
        if isinstance(error, signals.Stopped):
            error.left = _left(kept) if kept else error.left
        elif kept:
            console.say(_left(kept))
        raise


def _left(kept: int) -> str:
    return f"{kept} finished frames are kept; the same command goes on from there"


def _before(report: Report, *, brief: bool) -> list[str]:
    info, engine = report.info, report.engine
    if not brief:
        console.say(
            f"{report.source} {info.width}x{info.height} {info.pixel_format}{report.decoded}"
            f" -> {report.target} {report.width}x{report.height} {report.encoder['pixel_format']},"
            f" {_model(report)} on {engine['device']} in {engine['precision']}{_by(engine['backend'])}"
        )
    if report.frames_kept:
        console.say(f"going on: {report.frames_kept} frames were made before")
    for line in report.warnings:
        console.warn(line)
    return list(report.warnings)


def _by(backend: str) -> str:
    return "" if backend == "torch" else f" by {backend}"


def _model(report: Report) -> str:
    """Name, why it was chosen, and enough of the sha256 to tell one file from another."""
    sha256, chosen = report.model["sha256"], report.model["chosen"]
    facts = [f"auto: {chosen}"] if chosen else []
    facts += [f"sha256 {sha256[:12]}..."] if sha256 else []
    return f"{report.model['name']} ({'; '.join(facts)})" if facts else str(report.model["name"])


def _after(report: Report, told: list[str], *, quiet: bool, brief: bool) -> None:
    for line in report.damage.notes:  # no summary, but the reason of an exit code that is not 0
        console.warn(line)
    if quiet:
        return
    for line in report.warnings:
        if line not in told:
            console.warn(line)
    if brief:
        return
    repeated = report.engine["repeated"]
    words = f"{report.frames_out} frames in {report.seconds:.1f} s, {report.fps:.2f} fps"
    words += f", {repeated} of them repeats" if repeated else ""
    console.say(f"{report.target}: {words}; the {report.bottleneck} stage was the bottleneck")
