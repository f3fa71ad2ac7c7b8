"""Upscales one video from file to file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from vsr.cancellation import Cancel, asked
from vsr.errors import CancelledError, ConfigError, InputError, VsrError
from vsr.frame import YuvFrame
from vsr.media.files.named import Named, paths_of
from vsr.media.files.opening import open_media
from vsr.media.files.stdio import is_pipe, standard_input
from vsr.media.formats.containers import CONTAINERS
from vsr.media.mux.resumable.resumable_sink import SegmentedSink
from vsr.media.mux.sink import VideoSink
from vsr.media.mux.sink_report import SinkReport
from vsr.media.pictures.kinds import becomes_animation, becomes_picture, suffix_for
from vsr.media.pictures.sequence import as_sequence, is_pattern
from vsr.media.remote.places import is_file_object, remote_of
from vsr.pipeline.flow.graph import open_frames
from vsr.pipeline.flow.meter import Meter
from vsr.pipeline.flow.writing import write_frames
from vsr.pipeline.inputfile import state_of
from vsr.pipeline.job.chosen_settings import ChosenSettings, choose_settings
from vsr.pipeline.job.completed import completed_before, note_of
from vsr.pipeline.job.digests import file_facts
from vsr.pipeline.job.frame_count import frames_expected
from vsr.pipeline.job.job import Job
from vsr.pipeline.job.report import Report
from vsr.pipeline.job.run_facts import now
from vsr.pipeline.job.warm_generator import KeptModel, WarmGenerator, generator_of
from vsr.pipeline.pictures.animated import upscale_to_animation
from vsr.pipeline.pictures.numbered import upscale_to_pictures
from vsr.pipeline.pictures.still import prepare_picture, run_picture
from vsr.pipeline.preparation import prepare
from vsr.pipeline.queue.record import note_made, results_among
from vsr.pipeline.reporting import last_report
from vsr.pipeline.workers.many_devices import make_segments
from vsr.settings.keywords import Overrides
from vsr.settings.schema import UpscaleSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Progress of a run, passed to `on_progress` after each frame."""

    frames: int
    """Frames computed so far, by all workers; the encoder is at most `DEPTH` frames behind. The number never
    falls: where frames have to be computed again, it stays until as many are computed as before."""
    kept: int = 0
    """Frames that an earlier run has written, in addition to `frames`."""
    total: int | None
    """Expected number of frames; None if the source does not say."""
    seconds: float
    bottleneck: str
    """The stage that limits the speed so far."""


OnProgress = Callable[[Progress], None]
OnWarning = Callable[[str], None]
OnComplete = Callable[[Report], None]


def upscale(
    source: Named,
    target: Named,
    settings: UpscaleSettings | None = None,
    *,
    pipeline: str | Path | None = None,
    overwrite: bool = False,
    hashes: bool = False,
    allow_network: bool = False,
    work_folder: str | Path | None = None,
    on_progress: OnProgress | None = None,
    on_warning: OnWarning | None = None,
    cancel: Cancel | None = None,
    warm: KeptModel | None = None,
    **overrides: Unpack[Overrides],
) -> Report:
    """Upscale a video or a picture, and keep everything that its file contains.

    The target gets its name only after it is complete and its frames were counted. After an error or an
    interruption, an existing file of that name is unchanged.

    Args:
        source: Any video that FFmpeg decodes, or a picture: a path, a URL, or a file object that is open for
            reading; `-` is standard input with YUV4MPEG2 or NUT.
        target: Output file, whose suffix selects the container or format: a path, the URL of an object, or a
            file object that is open for writing; `-` is standard output.
        settings: Settings of the run; None uses the defaults.
        pipeline: Name of a preset, or path of a .toml file, instead of `settings`.
        overwrite: Whether to replace an existing target.
        hashes: Whether the report gets the SHA-256 of both files. The source is hashed beside the work, the
            result after it: some seconds for 4 GB. A result in a store is read back for this.
        allow_network: Whether the network may be used for URLs.
        work_folder: Where a result is made and kept for resuming before it is uploaded; None is a folder in
            the user's cache. A local result is always made beside its final path.
        on_progress: Called on this thread after each frame; an exception stops the run.
        on_warning: Called on this thread with each sentence of `Report.warnings` as soon as it is known: most
            before the first frame, when an exception ends the run before any work, the rest after the frame
            at which it is found, or at the end.
        cancel: An event, or a function that is called after each frame on any thread. Once it is set or
            returns True, the run ends with `CancelledError`. Finished segments are kept, as after Ctrl-C, and
            the same call resumes from them. It is not called after the last frame.
        warm: Keeps the generator on its device from call to call, if the settings allow; None loads it again.
        **overrides: Single settings that override `settings`:
            `scale=2, model="fast", crf=18`; see `Overrides`.

    Returns:
        The report: what was done, and any damage of the source.

    Raises:
        CancelledError: The run ended because of `cancel`.
        VsrError: See `vsr.errors`; the message is one line.
    """
    if settings is not None and pipeline is not None:
        raise ConfigError(
            "vsr.upscale: settings and pipeline exclude each other. Give one of them, and keywords"
        )
    chosen = choose_settings(pipeline, settings, overrides, where="vsr.upscale", origin="keyword")
    wanted = Path(target) if isinstance(target, str | Path) else Path()
    with (
        paths_of(source, allow_network=allow_network) as (named,),
        paths_of(as_sequence(named, wanted, chosen.settings.frame_rate, results=results_among)) as (first,),
        paths_of(
            target, allow_network=allow_network, work_folder=work_folder, suffix=_suffix(target, first)
        ) as (last,),
    ):
        work = partial(_upscale, hashes=hashes, on_progress=on_progress, on_warning=on_warning)
        work = partial(work, cancel=cancel, warm=generator_of(warm))
        make, say = _maker_of_pictures(first, last), on_warning or (lambda _: None)
        if make is None:
            report = completed_before(first, last, chosen, overwrite=overwrite)
            report = report or work(first, last, chosen, overwrite=overwrite)
        else:
            work = partial(work, overwrite=True, is_step=True)
            report = make(first, last, chosen, work, overwrite=overwrite, on_warning=say)
        note_made(first, last, chosen.settings, exit_code=report.exit_code, frames=report.frames_out)
        return report


def _upscale(
    source: Path,
    target: Path,
    chosen: ChosenSettings,
    *,
    overwrite: bool,
    is_step: bool = False,
    hashes: bool,
    on_progress: OnProgress | None,
    on_warning: OnWarning | None,
    cancel: Cancel | None,
    warm: WarmGenerator | None,
) -> Report:
    """Upscale a video into a video, or a still picture into a still picture; see `upscale`."""
    if becomes_picture(source, target):
        report = _upscale_picture(source, target, chosen, overwrite, cancel, warm)
        _tell(report.warnings, on_warning)
        return report
    with prepare(
        source, target, chosen, overwrite=overwrite, is_step=is_step, hashes=hashes, warm=warm
    ) as job:
        if cancel is not None:
            job.alive = partial(_stop_if, job, asked(cancel))
        _tell(job.report.warnings, on_warning)
        run(job, on_progress, on_warning)
        return job.report


def _maker_of_pictures(source: Path, target: Path) -> Callable[..., Report] | None:
    """Return what makes numbered pictures or an animation; None if the result is something else."""
    if is_pattern(target):
        return upscale_to_pictures
    return upscale_to_animation if becomes_animation(source, target) else None


def _tell(warnings: list[str], on_warning: OnWarning | None) -> None:
    """Pass warnings to the caller."""
    if on_warning is not None:
        for warning in warnings:
            on_warning(warning)


def _suffix(target: Named, source: Path) -> str:
    """Return the suffix for a file object whose name has none: that of the source, else Matroska's."""
    if not is_file_object(target):
        return ""
    if source.suffix.lower() in CONTAINERS:
        return source.suffix
    if is_pipe(source):
        return ".mkv"
    if (suffix := suffix_for(source)) is not None:
        return suffix
    with open_media(source) as media:
        if "mp4" not in media.format.name:
            return ".mkv"
        return ".mov" if media.metadata.get("major_brand") == "qt  " else ".mp4"


def _upscale_picture(
    source: Path,
    target: Path,
    chosen: ChosenSettings,
    overwrite: bool,
    cancel: Cancel | None,
    warm: WarmGenerator | None,
) -> Report:
    cancelled = (lambda: False) if cancel is None else asked(cancel)

    def alive() -> None:
        if cancelled():
            raise CancelledError(f"{source}: cancelled by the caller; nothing is kept")

    with prepare_picture(source, target, chosen, overwrite=overwrite, warm=warm) as job:
        run_picture(job, alive)
        return job.report


def _stop_if(job: Job, cancelled: Callable[[], bool]) -> None:
    if cancelled():
        kept = job.kept_frames()
        left = (
            f"{kept} finished frames are kept; run it again to resume from there"
            if kept
            else "nothing is kept"
        )
        raise CancelledError(f"{job.report.source}: cancelled by the caller; {left}")


def run(job: Job, on_progress: OnProgress | None = None, on_warning: OnWarning | None = None) -> None:
    """Compute and write every frame, then finish and check the file; fills in `job.report`."""
    known = set(job.report.warnings)
    finish(job, compute(job, on_progress, told_once(on_warning, known)))
    _tell(job.report.warnings, told_once(on_warning, known))


def told_once(on_warning: OnWarning | None, known: set[str]) -> OnWarning | None:
    """Return what passes on each warning that is not in `known`, and adds it there."""
    if on_warning is None:
        return None

    def tell(line: str) -> None:
        if line not in known:
            known.add(line)
            on_warning(line)

    return tell


def compute(job: Job, on_progress: OnProgress | None = None, on_warning: OnWarning | None = None) -> Meter:
    """Compute and encode every frame; `finish` must follow.

    Args:
        job: As it was prepared.
        on_progress: Called after each frame.
        on_warning: Called after each frame with every warning so far.
    """
    meter = Meter()
    job.state = state_of(job.source.info.path)
    tell = _teller(job, meter, on_progress, on_warning)
    if not _made_by_workers(job, meter, tell):
        with open_frames(job, meter) as frames:
            write_frames(job, _reported(job, frames, tell), meter)
        if isinstance(job.sink, SegmentedSink):
            job.sink.end_frames()
    _same_count(job, meter)
    return meter


def _made_by_workers(job: Job, meter: Meter, tell: Callable[[int], None]) -> bool:
    """Let the workers make all segments, if there are workers; returns whether nothing is left to do."""
    return job.crew is not None and make_segments(job, job.crew, meter, tell)


def finish(job: Job, meter: Meter, on_complete: OnComplete = lambda _: None) -> None:
    """Mux the file, check it and give it its name, which may take minutes; fills in `job.report`.

    Args:
        job: Its frames are computed.
        meter: Of `compute`.
        on_complete: Called with the complete report before the result gets its name: whatever ends the
            process afterwards, what is known of the result is not lost with it.
    """

    def complete(file: Path, written: SinkReport) -> None:
        _complete(job, meter, file, written)
        if isinstance(job.sink, VideoSink | SegmentedSink):
            with suppress(OSError, VsrError):  # the result does not depend on the note
                job.sink.note(note_of(Path(job.source.info.path), job.settings, file, job.report))
        on_complete(job.report)

    if isinstance(job.sink, VideoSink | SegmentedSink):
        job.sink.before_named = complete
    with meter("encode"):
        written = job.sink.finish()
    report = job.report
    if not report.ended:  # a pipe has no name
        complete(written.path, written)
    if remote_of(written.path) is not None:
        report.target_file = _facts_of_result(job, written.path, written)
    report.ended, report.seconds, report.busy_seconds = now(), meter.elapsed, meter.busy()
    report.bottleneck, report.occupancy = meter.bottleneck(job.threads), meter.occupancy()


def _complete(job: Job, meter: Meter, file: Path, written: SinkReport) -> None:
    """Add to the report what is known when the file is complete, perhaps under a temporary name."""
    report, source = job.report, Path(job.source.info.path)
    report.bytes_out = written.bytes
    _note_change(job)
    came = standard_input().total if is_pipe(source) else 0
    report.source_file = file_facts(source, job.source_sha256(), pipe_bytes=came)
    if remote_of(written.path) is None:
        report.target_file = _facts_of_result(job, file, written)
    report.bottleneck = meter.bottleneck(job.threads)
    report.stage_threads = [list(stages) for stages in job.threads]
    last_report(report, job.source, job.sink, job.upscaler, meter, written)


def _facts_of_result(job: Job, file: Path, written: SinkReport) -> dict[str, Any]:
    found = file_facts(file, job.target_sha256(file), pipe_bytes=written.bytes)
    path = written.path
    return found if is_pipe(path) or remote_of(path) is not None else found | {"path": str(path.absolute())}


def _note_change(job: Job) -> None:
    """Note if the source is not the same file any more, or if that cannot be known."""
    try:
        if job.state is None or job.state.is_kept(state_of(job.source.info.path)):
            return
        note = "was changed while it was read; the result may be a mixture of both versions"
    except InputError as error:
        note = f"cannot be compared with the start of the run: {error}"
    job.source.damage.notes.append(f"{job.report.source} {note}")


def _reported(job: Job, frames: Iterable[YuvFrame], tell: Callable[[int], None]) -> Iterator[YuvFrame]:
    made = job.kept_frames() - job.report.frames_kept  # by workers, before this process makes the rest
    for number, frame in enumerate(frames, made + 1):
        yield frame
        job.alive()
        tell(number)


def _teller(
    job: Job, meter: Meter, on_progress: OnProgress | None, on_warning: OnWarning | None
) -> Callable[[int], None]:
    """Return what reports the number of frames computed so far, which never falls in what it reports, and
    the warnings so far.
    """
    progress = _progress_of(job, meter, on_progress)

    def tell(frames: int) -> None:
        _tell([*job.source.warnings, *job.sink.warnings], on_warning)
        progress(frames)

    return tell


def _progress_of(job: Job, meter: Meter, on_progress: OnProgress | None) -> Callable[[int], None]:
    if on_progress is None:
        return lambda frames: None
    total, most = frames_expected(job.source.info, job.settings), 0

    def tell(frames: int) -> None:
        nonlocal most
        most = max(most, frames)
        on_progress(
            Progress(
                frames=most,
                kept=job.report.frames_kept,
                total=total,
                seconds=meter.elapsed,
                bottleneck=meter.bottleneck(job.threads),
            )
        )

    return tell


def _same_count(job: Job, meter: Meter) -> None:
    job.report.frames_out = job.sink.frames
    came, went = meter.counts.get("decoded", 0) + job.source.skipped, job.report.frames_out
    if came != went:
        raise VsrError(
            f"{job.report.source}: {came} frames were read but {went} written. Please report this bug"
        )
