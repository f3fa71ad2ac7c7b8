"""Upscales one video from file to file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Unpack

from vsr.cancellation import Cancel, asked
from vsr.color.convert import check_convertible
from vsr.engine.device import choose_device
from vsr.engine.upscaler import Upscaler
from vsr.errors import CancelledError, ConfigError, VsrError
from vsr.frame import VideoInfo, YuvFrame
from vsr.media.decode.source import VideoSource, open_video
from vsr.media.files.opening import MAX_PIXELS
from vsr.media.files.output_path import check_target
from vsr.media.files.stdio import is_pipe, place_of, settle_delay
from vsr.media.filters.filters import FiltersAfter, parse
from vsr.media.mux.pipe_sink import open_pipe_sink
from vsr.media.mux.resumable_sink import SegmentedSink
from vsr.media.mux.sink import open_sink
from vsr.models.catalog import choose
from vsr.models.load import LoadedModel
from vsr.pipeline.flow.graph import DEPTH, open_frames
from vsr.pipeline.flow.meter import Meter
from vsr.pipeline.flow.threads import Handover
from vsr.pipeline.inputfile import state_of
from vsr.pipeline.job import output_size
from vsr.pipeline.job.host_memory import check_room
from vsr.pipeline.job.job import Job
from vsr.pipeline.job.report import Report
from vsr.pipeline.job.resume import Sink, open_output
from vsr.pipeline.job.warm_generator import WarmGenerator
from vsr.pipeline.reporting import first_report, last_report
from vsr.settings.keywords import Overrides
from vsr.settings.overrides import with_overrides
from vsr.settings.presets import read_pipeline
from vsr.settings.schema import UpscaleSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Progress of a run, passed to `on_progress` after each frame."""

    frames: int
    """Frames computed so far; the encoder is at most `DEPTH` frames behind."""
    kept: int = 0
    """Frames that an earlier run has written, in addition to `frames`."""
    total: int | None
    """Expected number of frames; None if the source does not say."""
    seconds: float
    bottleneck: str
    """The stage that limits the speed so far."""


OnProgress = Callable[[Progress], None]


def upscale_video(
    source: Path | str,
    target: Path | str,
    settings: UpscaleSettings | None = None,
    *,
    pipeline: str | Path | None = None,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
    cancel: Cancel | None = None,
    **overrides: Unpack[Overrides],
) -> Report:
    """Upscale a video file, and keep everything that it contains.

    The target gets its name only after it is complete and its frames were counted. After an error or an
    interruption, an existing file of that name is unchanged.

    Args:
        source: Any video file that FFmpeg decodes; `-` is standard input with YUV4MPEG2 or NUT.
        target: Output file, whose suffix selects the container; `-` is standard output.
        settings: Settings of the run; None uses the defaults.
        pipeline: Name of a preset, or path of a .toml file, instead of `settings`.
        overwrite: Whether to replace an existing target.
        on_progress: Called on this thread after each frame; an exception stops the run.
        cancel: An event, or a function that is called after each frame on any thread. Once it is set or
            returns True, the run ends with `CancelledError`. Finished segments are kept, as after Ctrl-C, and
            the same call resumes from them. It is not called after the last frame.
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
    base = read_pipeline(pipeline) if pipeline is not None else settings or UpscaleSettings()
    settings = with_overrides(base, overrides, where="vsr.upscale")
    with prepare(place_of(source), place_of(target), settings, overwrite=overwrite) as job:
        if cancel is not None:
            job.alive = partial(_stop_if, job, asked(cancel))
        run(job, on_progress)
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


@contextmanager
def prepare(
    source: Path,
    target: Path,
    settings: UpscaleSettings,
    *,
    overwrite: bool,
    warm: WarmGenerator | None = None,
) -> Generator[Job, None, None]:
    """Open and check everything that can be checked before the first frame, and close it at the end.

    Args:
        source: As for `upscale_video`.
        target: As for `upscale_video`.
        settings: As for `upscale_video`.
        overwrite: Whether to replace an existing target.
        warm: Keeps the generator from run to run, if several follow each other; None loads it again.
    """
    if is_pipe(source) or is_pipe(target):
        settings = replace(settings, resume=False)  # a pipe cannot be read again
    settle_delay(source, target, settings.format)
    with open_video(
        source,
        video_stream=settings.video_stream,
        deinterlace=settings.deinterlace,
        start=settings.start,
        end=settings.end,
        strict=settings.strict,
        max_pixels=settings.max_pixels or MAX_PIXELS,
        color=settings.color,
        filters=settings.filters_before,
        hwaccel=settings.hwaccel,
        card=choose_device(settings.device).index or 0,
    ) as video:
        if not is_pipe(target):
            check_target(target, source, overwrite=overwrite)
        _check_range(video.info, settings)
        check_convertible(video.info.color, video.info.layout)
        after = parse(settings.filters_after, where="filters_after")
        wanted = output_size.wanted_scale(video.info, settings)
        name, why = choose(settings.model, choose_device(settings.device).type)
        model, upscaler = (warm or WarmGenerator()).placed(name, wanted, settings)
        size = output_size.target_size(video.info, settings, Fraction(model.scale))
        upscaler.plan(video.info.height, video.info.width)
        check_room(size, batch=upscaler.batch)
        sink = _open_sink(source, target, video, model, upscaler, size, settings, overwrite=overwrite)
        try:
            report = first_report(video, sink, model, upscaler, size, target, settings)
            report.model["chosen"] = why
            report.frames_kept = sink.kept if isinstance(sink, SegmentedSink) else 0
            yield Job(
                source=video,
                sink=sink,
                upscaler=upscaler,
                size=size,
                report=report,
                settings=settings,
                after=FiltersAfter(after, sink.layout, height=size.height, width=size.width),
            )
        finally:
            sink.abort()  # does nothing after `run` has finished the file


def _open_sink(
    source: Path,
    target: Path,
    video: VideoSource,
    model: LoadedModel,
    upscaler: Upscaler,
    size: output_size.TargetSize,
    settings: UpscaleSettings,
    *,
    overwrite: bool,
) -> Sink:
    like = output_size.like(video.info, size)
    if is_pipe(target):
        return open_pipe_sink(
            source=source,
            info=like,
            width=size.width,
            height=size.height,
            settings=settings.encoder,
            format=settings.format,
            start=settings.start,
        )
    if settings.format is not None:
        raise ConfigError(
            f"`format={settings.format!r}` is only for standard output; a suffix selects a file's format"
        )
    opener = partial(
        open_sink,
        target,
        source=source,
        info=like,
        width=size.width,
        height=size.height,
        settings=settings.encoder,
        overwrite=overwrite,
        start=settings.start,
        end=settings.end,
        strict=settings.strict,
    )
    return open_output(opener, source, target, video, model, upscaler, size, settings)


def _check_range(info: VideoInfo, settings: UpscaleSettings) -> None:
    start, end, duration = settings.start, settings.end, info.duration_seconds
    if start is not None and end is not None and end <= start:
        raise ConfigError(f"`end` {float(end):g} s is not after `start` {float(start):g} s")
    if start is not None and duration is not None and start >= duration:
        raise ConfigError(f"`start` {float(start):g} s is after the end of the video, {float(duration):g} s")


def run(job: Job, on_progress: OnProgress | None = None) -> None:
    """Compute and write every frame, then finish and check the file; fills in `job.report`."""
    finish(job, compute(job, on_progress))


def compute(job: Job, on_progress: OnProgress | None = None) -> Meter:
    """Compute and encode every frame; `finish` must follow."""
    meter = Meter()
    job.state = state_of(job.source.info.path)
    with open_frames(job, meter) as frames:
        write_frames(job, _reported(job, frames, meter, on_progress), meter)
    if isinstance(job.sink, SegmentedSink):
        job.sink.end_frames()
    _same_count(job, meter)
    return meter


def finish(job: Job, meter: Meter) -> None:
    """Mux the file, check it and give it its name, which may take minutes; fills in `job.report`."""
    with meter("encode"):
        job.report.bytes_out = job.sink.finish().bytes
    if job.state is not None and not job.state.is_kept(state_of(job.source.info.path)):
        job.source.damage.notes.append(
            f"{job.report.source} was changed while it was read; the result may be a mixture of both versions"
        )
    last_report(job.report, job.source, job.sink, job.upscaler, meter)
    job.report.bottleneck = meter.bottleneck(job.threads)


def _reported(
    job: Job, frames: Iterable[YuvFrame], meter: Meter, on_progress: OnProgress | None
) -> Iterator[YuvFrame]:
    total = frames_expected(job)
    for number, frame in enumerate(frames, 1):
        yield frame
        job.alive()
        if on_progress is not None:
            on_progress(_progress(number, total, meter, job))


def write_frames(job: Job, frames: Iterable[YuvFrame], meter: Meter) -> None:
    """Compute frames on this thread, and encode them on another one, which ends before this function does.

    After an exception, the output's temporary name is removed first, so that no incomplete file remains.
    """

    def write(frame: YuvFrame) -> None:
        with meter("encode"):
            job.sink.write(job.after(frame))

    with closing(Handover(write, depth=DEPTH, name="vsr-encode")) as encoder:
        try:
            for frame in frames:
                encoder.put(frame)
            encoder.finish()
        except BaseException:
            job.sink.drop_name()
            raise


def frames_expected(job: Job) -> int | None:
    """Return the expected number of frames, from the container, `--start` and `--end`; None if unknown."""
    info, settings = job.source.info, job.settings
    promised = info.frames_promised
    if promised is None and info.duration_seconds is not None and info.frame_rate is not None:
        promised = round(info.duration_seconds * info.frame_rate)
    if promised is None or (settings.start is None and settings.end is None):
        return promised
    if not info.duration_seconds:
        return None
    first = settings.start or Fraction(0)
    last = min(settings.end or info.duration_seconds, info.duration_seconds)
    return max(0, round(promised * (last - first) / info.duration_seconds))


def _progress(frames: int, total: int | None, meter: Meter, job: Job) -> Progress:
    return Progress(
        frames=frames,
        kept=job.report.frames_kept,
        total=total,
        seconds=meter.elapsed,
        bottleneck=meter.bottleneck(job.threads),
    )


def _same_count(job: Job, meter: Meter) -> None:
    job.report.frames_out = job.sink.frames
    came, went = meter.counts.get("decoded", 0) + job.source.skipped, job.report.frames_out
    if came != went:
        raise VsrError(
            f"{job.report.source}: {came} frames were read but {went} written. Please report this bug"
        )
