"""Opens and checks everything that a run needs before its first frame."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

from vsr.color.convert import check_convertible
from vsr.engine.device import choose_device
from vsr.errors import ConfigError
from vsr.frame import VideoInfo
from vsr.media.decode.source import open_video
from vsr.media.files.opening import MAX_PIXELS
from vsr.media.files.output_path import check_target, check_upload
from vsr.media.files.stdio import is_pipe, settle_delay
from vsr.media.filters.filters import FiltersAfter, parse
from vsr.media.mux.pipe_sink import open_pipe_sink
from vsr.media.mux.resumable.resumable_sink import SegmentedSink
from vsr.media.mux.sink_opening import open_sink
from vsr.media.remote.blocks import hold, release
from vsr.media.remote.places import is_nameless, is_of_this_process, parts_of
from vsr.models.catalog import choose
from vsr.pipeline.crew.hosts import LOCAL, host_of
from vsr.pipeline.job import output_size
from vsr.pipeline.job.chosen_settings import ChosenSettings, fitted, unchanged
from vsr.pipeline.job.digests import digest_of_source, digest_of_target, no_sha256
from vsr.pipeline.job.host_memory import check_room
from vsr.pipeline.job.job import Job
from vsr.pipeline.job.origin_names import named_by_origin
from vsr.pipeline.job.report import Report, plain
from vsr.pipeline.job.resume import Opening, OpenOutput, Sink, open_output
from vsr.pipeline.job.warm_generator import WarmGenerator
from vsr.pipeline.reporting import first_report
from vsr.settings.schema import UpscaleSettings

logger = logging.getLogger(__name__)


@contextmanager
def prepare(
    source: Path,
    target: Path,
    chosen: UpscaleSettings | ChosenSettings,
    *,
    overwrite: bool,
    is_step: bool = False,
    hashes: bool = False,
    warm: WarmGenerator | None = None,
    output: OpenOutput = open_output,
) -> Generator[Job, None, None]:
    """Open and check everything that can be checked before the first frame, and close it at the end.

    Args:
        source: As for `run.upscale`.
        target: As for `run.upscale`.
        chosen: The settings; with their history, the report says where each comes from.
        hashes: Whether the report gets the SHA-256 of the whole input and of the whole result.
        overwrite: Whether to replace an existing target.
        is_step: Whether the target is a step to other files, so that the note about it stays.
        warm: Keeps the generator and the workers from run to run, if several follow each other; None loads
            the generator again, and ends the workers with the run.
        output: Opens the sink of a file.
    """
    history = fitted(chosen if isinstance(chosen, ChosenSettings) else unchanged(chosen), target)
    with (
        named_by_origin(history),
        _opened(
            source,
            target,
            history,
            overwrite=overwrite,
            is_step=is_step,
            hashes=hashes,
            warm=warm,
            output=output,
        ) as job,
    ):
        yield job


@contextmanager
def _opened(
    source: Path,
    target: Path,
    history: ChosenSettings,
    *,
    overwrite: bool,
    is_step: bool,
    hashes: bool,
    warm: WarmGenerator | None,
    output: OpenOutput,
) -> Generator[Job, None, None]:
    settings = history.settings
    host = host_of(settings.on)
    devices = host.devices(settings.device)
    settings = replace(settings, device=devices[0])
    kept = warm or WarmGenerator()
    if is_pipe(source) or is_pipe(target) or is_nameless(target):
        settings = replace(settings, resume=False)  # a pipe cannot be read again, a file object not found
    has_crew = len(devices) > 1 or not host.is_local
    if has_crew:
        _check_shared(source, target, settings)
    settle_delay(source, target, settings.format)
    with (
        _held(source),
        digest_of_source(source, wanted=hashes) as source_sha256,
        open_video(
            source,
            video_stream=settings.video_stream,
            deinterlace=settings.deinterlace,
            field_order=settings.field_order,
            start=settings.start,
            end=settings.end,
            strict=settings.strict,
            max_pixels=settings.max_pixels or MAX_PIXELS,
            color=settings.color,
            filters=settings.filters_before,
            hwaccel=settings.hwaccel,
            card=choose_device(settings.device).index or 0,
        ) as video,
    ):
        if not is_pipe(target):
            check_target(target, source, overwrite=overwrite)
            check_upload(target)
        _check_range(video.info, settings)
        check_convertible(video.info.color, video.info.layout)
        after = parse(settings.filters_after, where="filters_after")
        wanted = output_size.wanted_scale(video.info, settings)
        name, why = choose(settings.model, choose_device(settings.device).type)
        model, upscaler = kept.placed(name, wanted, settings)
        size = output_size.target_size(video.info, settings, Fraction(model.scale))
        upscaler.plan(video.info.height, video.info.width)
        check_room(size, batch=upscaler.batch * len(devices))
        opening = Opening(
            source=source,
            target=target,
            video=video,
            model=model,
            upscaler=upscaler,
            size=size,
            settings=settings,
        )
        sink = _open_sink(opening, overwrite=overwrite, output=output)
        try:
            report = first_report(video, sink, model, upscaler, size, target, history)
            report.model["chosen"] = why
            if isinstance(sink, SegmentedSink):
                report.frames_kept, sink.is_step = sink.kept, is_step
            report.engine["workers"] = list(devices)
            _log(report)
            yield Job(
                source=video,
                sink=sink,
                upscaler=upscaler,
                size=size,
                report=report,
                settings=settings,
                source_sha256=source_sha256,
                target_sha256=digest_of_target(target, sink) if hashes else no_sha256,
                after=FiltersAfter(after, sink.layout, height=size.height, width=size.width),
                crew=kept.crew(settings.on, host, devices) if has_crew else None,
            )
        finally:
            if warm is None:
                kept.close()
            sink.abort()  # does nothing after `run` has finished the file


@contextmanager
def _held(source: Path) -> Generator[None, None, None]:
    """Keep a remote source open while the frames, and later the other streams, are read."""
    hold(source)
    try:
        yield
    finally:
        release(source)


def _check_shared(source: Path, target: Path, settings: UpscaleSettings) -> None:
    """Check that workers can share out a run: that it is made of segments, which they can reach.

    Raises:
        ConfigError: they cannot, or nothing can be written to the work folder.
    """
    parts = parts_of(target, beside=settings.on != LOCAL)
    in_memory = parts is not None and parts.scheme == "memory"
    if not settings.resume or is_of_this_process(source) or in_memory:
        raise ConfigError(
            "several workers share out the segments of a resumable run, and this one is not: it has a pipe,"
            " a file object, a memory URL or `resume=False`; name one `device`, without `on`"
        )


def _open_sink(it: Opening, *, overwrite: bool, output: OpenOutput) -> Sink:
    settings, size = it.settings, it.size
    if is_pipe(it.target):
        return open_pipe_sink(
            source=it.source,
            info=it.like,
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
        it.target,
        source=it.source,
        info=it.like,
        width=size.width,
        height=size.height,
        settings=settings.encoder,
        overwrite=overwrite,
        start=settings.start,
        end=settings.end,
        strict=settings.strict,
    )
    return output(it, opener)


def _check_range(info: VideoInfo, settings: UpscaleSettings) -> None:
    start, end, duration = settings.start, settings.end, info.duration_seconds
    if start is not None and end is not None and end <= start:
        raise ConfigError(f"`end` {float(end):g} s is not after `start` {float(start):g} s")
    if start is not None and duration is not None and start >= duration and not info.may_go_on:
        raise ConfigError(f"`start` {float(start):g} s is after the end of the video, {float(duration):g} s")


def _log(report: Report) -> None:
    """Log what was decided, for those who look for the reason of a result."""
    logger.info("%s -> %s, %dx%d", report.source, report.target, report.width, report.height)
    for name in ("model", "engine", "encoder", "filters"):
        logger.info("%s: %s", name, plain(getattr(report, name)))
    for fate in report.streams:
        logger.info("%s", fate)
