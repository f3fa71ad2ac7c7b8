"""Opens the sink of a run, new or resumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from vsr.engine.memory import Plan
from vsr.engine.upscaler import Upscaler
from vsr.media.decode.source import VideoSource
from vsr.media.encode.segments import resumable
from vsr.media.files.opening import shown
from vsr.media.files.output_path import local_place
from vsr.media.formats.containers import CONTAINERS, container_of
from vsr.media.mux.pipe_sink import PipeSink
from vsr.media.mux.resumable.resumable_sink import SegmentedSink, segment_length
from vsr.media.mux.resumable.work_folder import WorkFolder
from vsr.media.mux.resumable.worker_sink import WorkerSink
from vsr.media.mux.sink import VideoSink
from vsr.models.load import LoadedModel
from vsr.pipeline.inputfile import state_of
from vsr.pipeline.job import output_size
from vsr.pipeline.job.resume_key import job_key
from vsr.settings.schema import Backend, UpscaleSettings
from vsr.settings.toml import from_table

Sink = VideoSink | SegmentedSink | PipeSink | WorkerSink
"""The output of a run."""
OpenOutput = Callable[
    [
        Callable[..., VideoSink],
        Path,
        Path,
        VideoSource,
        LoadedModel,
        Upscaler,
        output_size.TargetSize,
        UpscaleSettings,
    ],
    Sink,
]
"""Opens the sink of a file, as `open_output` does."""


def open_output(
    opener: Callable[..., VideoSink],
    source: Path,
    target: Path,
    video: VideoSource,
    model: LoadedModel,
    upscaler: Upscaler,
    size: output_size.TargetSize,
    settings: UpscaleSettings,
) -> VideoSink | SegmentedSink:
    """Open the sink of a run; an interrupted job is resumed with its original batch and tile.

    Args:
        opener: `open_sink` without its argument `temporary`.
        source: The input file.
        target: The output file.
        video: The input's frames.
        model: The generator.
        upscaler: The generator on its device; it takes batch and tile from the journal.
        size: Size of the result.
        settings: Settings of the run.

    Raises:
        ConfigError: The work folder has a job with other settings.
        VsrError: An error of `open_sink`.
    """
    if not settings.resume:
        return opener()
    info = video.info
    work = WorkFolder(local_place(target), shown(target))
    opener_there = partial(opener, temporary=work.result)
    try:
        checked = opener_there()  # raises all errors of the checks, and leaves no file
        checked.abort()
        if not resumable(checked.plan):
            work.leave(done=True)
            return opener()
        key = job_key(source, settings, model, upscaler, checked.plan, size, video.decoding.kind)
        state = state_of(source)
        engine = asdict(upscaler.plan(info.height, info.width)) | {"backend": upscaler.backend}
        now = {"engine": engine, "file": None if state is None else state.plain()}
        if not settings.restart:
            work.take_over(_other_containers(target), key)
        work.begin(key, now, restart=settings.restart)
        begun = from_table(work.journal.facts, _Begun, where="the job that is kept here (see `restart`)")
        plan = Plan(batch=begun.engine.batch, tile=begun.engine.tile)
        upscaler.follow(plan, info.height, info.width, backend=begun.engine.backend)
        untouched = work.journal.facts["file"] == now["file"]
        return SegmentedSink(
            work,
            checked,
            opener_there,
            output_size.like(info, size),
            container_of(target),
            length=segment_length(info, settings.segment_seconds),
            # How decoders conceal damage depends on their threads, so
            # damaged frames may differ from run to run.
            unrepeatable=lambda: untouched and bool(video.damage),
        )
    except BaseException:
        work.leave(done=False)
        raise


def _other_containers(target: Path) -> list[Path]:
    """Return the paths of the same output with all other suffixes of containers."""
    real = local_place(target)
    return [real.with_suffix(suffix) for suffix in CONTAINERS if suffix != real.suffix]


@dataclass(frozen=True, kw_only=True)
class _Engine:
    """Settings of the engine at the start of a job, which a resumed run must use to compute the same bits."""

    batch: int
    tile: int
    backend: Backend


@dataclass(frozen=True, kw_only=True)
class _Begun:
    """Facts of a job in the journal."""

    engine: _Engine
    file: tuple[int, ...] | None
    """`FileState.plain` of the input."""
