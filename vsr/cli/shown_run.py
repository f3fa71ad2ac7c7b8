"""Runs `vsr upscale`, with messages before, during and after the run."""

from __future__ import annotations

from collections.abc import Collection, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsr.cli import console
from vsr.cli.flags.run_options import RunOptions
from vsr.cli.interruption import signals
from vsr.cli.records import events
from vsr.cli.shown_previews import check_previews, preview_of, previews_of
from vsr.media.files.stdio import is_pipe
from vsr.media.remote.places import name_of

if TYPE_CHECKING:
    from vsr.cli.interruption.watchdog import Watchdog
    from vsr.cli.progress import Show
    from vsr.cli.queue_clock import QueueClock
    from vsr.pipeline.job.chosen_settings import ChosenSettings
    from vsr.pipeline.job.job import Job
    from vsr.pipeline.job.report import Report
    from vsr.pipeline.job.warm_generator import WarmGenerator
    from vsr.pipeline.run import OnComplete


def run_shown(
    source: Path,
    target: Path,
    chosen: ChosenSettings,
    options: RunOptions,
    *,
    warm: WarmGenerator | None = None,
    queue: QueueClock | None = None,
    on_complete: OnComplete = lambda _: None,
    on_end: OnComplete = lambda _: None,
) -> Report:
    """Upscale a video or pictures into anything, and print facts, the progress and a summary on stderr.

    Args:
        source: The input: a file, a URL, a pipe, or the path that stands for numbered pictures.
        target: The output: the same, or the pattern of numbered pictures.
        chosen: Settings of the run.
        options: What the command does besides.
        warm: The generator of the previous file in a queue.
        queue: Describes the progress of a queue; the queue then prints the header and the last line.
        on_complete: Called with the complete report before the result gets its name.
        on_end: Called with the report when the result has its name and everything is printed, before the
            work folder is removed.
    """
    from vsr.media.pictures.kinds import becomes_animation
    from vsr.media.pictures.sequence import is_pattern

    if is_pattern(target) or becomes_animation(source, target):
        return _several_pictures(source, target, chosen, options, warm, queue, on_complete, on_end)
    again = partial(_run, warm=warm, queue=queue, on_complete=on_complete, on_end=on_end)
    return again(source, target, chosen, options)


def _several_pictures(
    source: Path,
    target: Path,
    chosen: ChosenSettings,
    options: RunOptions,
    warm: WarmGenerator | None,
    queue: QueueClock | None,
    on_complete: OnComplete,
    on_end: OnComplete,
) -> Report:
    """Upscale a video into numbered pictures, or an animated picture."""
    signals.whatever_runs()
    from vsr.media.pictures.sequence import is_pattern
    from vsr.pipeline.pictures.animated import upscale_to_animation
    from vsr.pipeline.pictures.numbered import upscale_to_pictures

    is_animation = not is_pattern(target)
    check_previews(source, target, chosen, options)
    preview = preview_of(target)

    def work(source: Path, video: Path, chosen: ChosenSettings) -> Report:
        again = replace(options, overwrite=True, preview=preview, pictures=name_of(target))
        report = _run(source, video, chosen, again, warm=warm, queue=queue)
        signals.go_on()  # the hidden video is not the result
        return report

    make = upscale_to_animation if is_animation else upscale_to_pictures
    what = "frames" if is_animation else "pictures"

    def end(done: Report) -> None:
        on_complete(done)
        words = f"{done.frames_out} {what}, {_bytes(done.bytes_out)} in {done.seconds:.1f} s"
        _summarise(done, words, options, queue)
        on_end(done)

    say = console.warn
    return make(source, target, chosen, work, overwrite=options.overwrite, on_warning=say, on_end=end)


def _run(
    source: Path,
    target: Path,
    chosen: ChosenSettings,
    options: RunOptions,
    *,
    warm: WarmGenerator | None = None,
    queue: QueueClock | None = None,
    on_complete: OnComplete = lambda _: None,
    on_end: OnComplete = lambda _: None,
) -> Report:
    """Upscale a video into a video, or a still picture into a still picture; see `run_shown`."""
    from vsr.cli.interruption.watchdog import watchdog
    from vsr.media.pictures.kinds import becomes_picture

    with ExitStack() as stack:
        dog = stack.enter_context(watchdog(options.patience))
        if becomes_picture(source, target):
            return _picture(source, target, chosen, options, dog, warm, queue, on_complete, on_end)
        with dog.files_only():
            check_before_torch(source, target, chosen, overwrite=options.overwrite)
            signals.whatever_runs()
            check_previews(source, target, chosen, options)
            from vsr.pipeline.preparation import prepare
            from vsr.pipeline.run import compute, finish, told_once

            made = prepare(
                source,
                target,
                chosen,
                overwrite=options.overwrite,
                is_step=bool(options.pictures),
                hashes=options.report is not None,
                warm=warm,
            )
            job = stack.enter_context(made)
        if options.pictures:
            job.report.target = options.pictures
        shown = set(_before(job.report, options, queue))
        warn = None if options.quiet else told_once(console.warn, shown)
        with _kept_parts(job):
            job.alive = dog.alive
            with previews_of(options, job, target), _progress(options, queue) as show:
                meter = compute(job, show, warn)
            events.emit("finishing", **_place(queue))
            with dog.files_only():
                finish(job, meter, on_complete)
        _after(job.report, shown, "" if options.pictures else _rate(job.report), options, queue)
        on_end(job.report)
        return job.report


def _place(queue: QueueClock | None) -> dict[str, int]:
    """Return which of how many files the run is, for events."""
    return {"number": 1, "count": 1} if queue is None else {"number": queue.number, "count": queue.count}


def _progress(options: RunOptions, queue: QueueClock | None) -> AbstractContextManager[Show | None]:
    from vsr.cli.progress import Line, progress_line

    if options.progress == "json":
        return events.frame_progress(queue) if not options.quiet else nullcontext(None)
    return progress_line(options.progress, queue.words() if queue else Line())


def check_before_torch(source: Path, target: Path, chosen: ChosenSettings, *, overwrite: bool) -> None:
    """Refuse what most mistakes are in before torch is imported, which takes seconds: paths and names.

    Raises:
        VsrError: the input is no video, or the output, its suffix, the encoder or the model cannot be.
    """
    from vsr.media.decode.facts.probe import probe
    from vsr.media.encode.encoder_choice import check_choice
    from vsr.media.files.opening import MAX_PIXELS
    from vsr.media.files.output_path import check_target
    from vsr.media.files.stdio import settle_delay
    from vsr.media.formats.containers import container_of
    from vsr.media.pictures.kinds import becomes_picture
    from vsr.media.remote.blocks import close_blocks
    from vsr.models import catalog
    from vsr.pipeline.job.chosen_settings import fitted
    from vsr.pipeline.job.origin_names import named_by_origin

    settings = chosen.settings
    if becomes_picture(source, target):
        check_target(target, source, overwrite=overwrite)
        catalog.resolve(settings.model)
        return
    settle_delay(source, target, settings.format)
    close_blocks(source)  # a queue asked for its size hours ago
    probe(source, video_stream=settings.video_stream, max_pixels=settings.max_pixels or MAX_PIXELS)
    if not is_pipe(target):
        check_target(target, source, overwrite=overwrite)
        with named_by_origin(chosen):
            check_choice(fitted(chosen, target).settings.encoder, container_of(target))
    catalog.resolve(settings.model)


def _picture(
    source: Path,
    target: Path,
    chosen: ChosenSettings,
    options: RunOptions,
    dog: Watchdog,
    warm: WarmGenerator | None,
    queue: QueueClock | None,
    on_complete: OnComplete,
    on_end: OnComplete,
) -> Report:
    """Upscale a still picture, which has no progress to show: it is one frame."""
    if queue is None:
        check_previews(source, target, chosen, options)
    check_before_torch(source, target, chosen, overwrite=options.overwrite)
    signals.whatever_runs()
    from vsr.pipeline.pictures.still import prepare_picture, run_picture

    with prepare_picture(source, target, chosen, overwrite=options.overwrite, warm=warm) as job:
        report = job.report
        shown = _before(report, options, queue, is_still=True)
        run_picture(job, dog.alive, on_complete)
    size = f"{report.width}x{report.height}, {job.plan}, {_bytes(report.bytes_out)}"
    _after(report, shown, f"{size} in {report.seconds:.1f} s", options, queue)
    on_end(report)
    return report


@contextmanager
def _kept_parts(job: Job) -> Generator[None, None, None]:
    """Report the frames that are kept if the run ends early."""
    try:
        yield
    except BaseException as error:
        kept = job.kept_frames()
        if isinstance(error, signals.Stopped):
            error.left, error.frames_kept = (_left(kept) if kept else error.left), kept
        elif kept:
            console.say(_left(kept))
        raise


def _left(kept: int) -> str:
    return f"{kept} finished frames are kept; the same command resumes from there"


def _before(
    report: Report, options: RunOptions, queue: QueueClock | None, *, is_still: bool = False
) -> list[str]:
    """Print what will be done, and return the warnings that were printed."""
    report.command = options.command
    if console.is_diverted():
        events.emit("plan", **_place(queue), report=report.as_dict())
    if options.quiet:
        return []
    _header(report, queue, without_encoder=is_still or bool(options.pictures))
    if report.frames_kept:
        console.say(f"resuming after {report.frames_kept} frames of an earlier run")
    for line in report.warnings:
        console.warn(line)
    return list(report.warnings)


def _header(report: Report, queue: QueueClock | None, *, without_encoder: bool) -> None:
    """Print the files and how they are computed; in a queue only how, and only where that changes."""
    from vsr.pipeline.job.plan_text import encoding, treatment

    info, engine = report.info, report.engine
    how = f"{_model(report)} {_devices(engine)} in {engine['precision']}{_by(engine['backend'])}"
    facts = treatment(report) if without_encoder else [encoding(report), *treatment(report)]
    if queue is not None:
        if queue.is_new("; ".join([how, *facts])):
            console.say(f"[{queue.number}/{queue.count}] {'; '.join([how, *facts])}")
        return
    console.say(
        f"{report.source} {info.width}x{info.height} {info.pixel_format}{report.decoded}"
        f" -> {report.target} {report.width}x{report.height} {report.encoder['pixel_format']}, {how}"
    )
    if facts:
        console.say("; ".join(facts))


def _devices(engine: dict[str, Any]) -> str:
    """Return the device, or those of all workers, such as `2 workers on cpu`."""
    workers = engine["workers"]
    if len(workers) == 1:
        return f"on {engine['device']}"
    return f"{len(workers)} workers on {', '.join(dict.fromkeys(workers))}"


def _by(backend: str) -> str:
    return "" if backend == "torch" else f" by {backend}"


def _model(report: Report) -> str:
    """Return the model's name, the reason for its choice, and the beginning of its SHA-256."""
    sha256, chosen = report.model["sha256"], report.model["chosen"]
    facts = [f"auto: {chosen}"] if chosen else []
    facts += [f"sha256 {sha256[:12]}..."] if sha256 else []
    return f"{report.model['name']} ({'; '.join(facts)})" if facts else str(report.model["name"])


def frames_in_words(number: int) -> str:
    """Return a number of frames with its noun."""
    return "1 frame" if number == 1 else f"{number} frames"


def _bytes(number: int) -> str:
    """Return a size of a file in MiB, or in KiB if it is small."""
    return f"{number / 2**20:.1f} MiB" if number >= 2**20 else f"{number / 2**10:.1f} KiB"


def _rate(report: Report) -> str:
    """Return how many frames were made, how fast, and what bounded the speed."""
    repeated = report.engine["repeated"]
    words = f"{frames_in_words(report.frames_out)} in {report.seconds:.1f} s, {report.fps:.2f} fps"
    words += f", {repeated} of them duplicates" if repeated else ""
    return f"{words}; the {report.bottleneck} stage was the bottleneck"


def _after(
    report: Report, shown: Collection[str], words: str, options: RunOptions, queue: QueueClock | None
) -> None:
    """Print what was damaged, the warnings that are new since `_before`, and a summary."""
    for line in report.damage.notes:  # also with --quiet: they explain an exit code other than 0
        console.warn(line)
    if not options.quiet:
        for line in report.warnings:
            if line not in shown:
                console.warn(line)
    _summarise(report, words, options, queue)


def _summarise(report: Report, words: str, options: RunOptions, queue: QueueClock | None) -> None:
    """Print the last line, unless it is that of a queue, or pictures are made of the video and follow."""
    if not options.quiet and queue is None and words:
        console.say(f"{report.target}: {words}")
