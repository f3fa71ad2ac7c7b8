"""The sink that a run writes into, resumed or new."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from vsr.engine.memory import Plan
from vsr.engine.upscaler import Upscaler
from vsr.media.decode.source import VideoSource
from vsr.media.encode.segments import resumable
from vsr.media.formats.containers import CONTAINERS, container_of
from vsr.media.mux.pipe_sink import PipeSink
from vsr.media.mux.resumable_sink import SegmentedSink, segment_length
from vsr.media.mux.sink import VideoSink
from vsr.media.mux.work_folder import WorkFolder
from vsr.models.load import LoadedModel
from vsr.pipeline.inputfile import state_of
from vsr.pipeline.job import output_size
from vsr.pipeline.job.resume_key import job_key
from vsr.settings.schema import Backend, UpscaleSettings
from vsr.settings.toml import from_table

Sink = VideoSink | SegmentedSink | PipeSink
"""What a run writes into."""


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
    """Open the sink of a run; a job that was cut off is gone on with, with the batch and tile it began with.

    Args:
        opener: `open_sink`, but for its `temporary`.
        source: The input.
        target: The file to be.
        video: The input's pictures.
        model: The generator.
        upscaler: It, placed; takes over what the journal says.
        size: Of the result.
        settings: Of the run.

    Raises:
        ConfigError: a job of other settings is kept here.
        VsrError: what `open_sink` raises.
    """
    if not settings.resume:
        return opener()
    info = video.info
    work = WorkFolder(Path(os.path.realpath(target)))
    opener_there = partial(opener, temporary=work.result)
    try:
        checked = opener_there()  # checks all that can be refused, and leaves nothing
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
            # Decoders conceal damage with what their threads have at hand.
            unrepeatable=lambda: untouched and bool(video.damage),
        )
    except BaseException:
        work.leave(done=False)
        raise


def _other_containers(target: Path) -> list[Path]:
    """The same output with the other suffixes that there are."""
    real = Path(os.path.realpath(target))
    return [real.with_suffix(suffix) for suffix in CONTAINERS if suffix != real.suffix]


@dataclass(frozen=True, kw_only=True)
class _Engine:
    """How a job began, and has to go on to make the same bits."""

    batch: int
    tile: int
    backend: Backend


@dataclass(frozen=True, kw_only=True)
class _Begun:
    """Facts of a job."""

    engine: _Engine
    file: tuple[int, ...] | None
    """`FileState.plain` of the input."""
