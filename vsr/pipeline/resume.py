"""Which sink a run writes into: one that can be gone on with, where that is wanted and possible."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from vsr.config import UpscaleSettings
from vsr.engine.memory import Plan
from vsr.engine.upscaler import Upscaler
from vsr.frame import VideoInfo
from vsr.media.containers import container_of
from vsr.media.pipe_sink import PipeSink
from vsr.media.segmented import SegmentedSink, segment_length
from vsr.media.segments import resumable
from vsr.media.sink import VideoSink
from vsr.media.workfolder import RESULT, WorkFolder
from vsr.models.load import LoadedModel
from vsr.pipeline import sizing
from vsr.pipeline.jobkey import job_key

Sink = VideoSink | SegmentedSink | PipeSink
"""What a run writes into."""


def open_output(
    opener: Callable[..., VideoSink],
    source: Path,
    target: Path,
    info: VideoInfo,
    model: LoadedModel,
    upscaler: Upscaler,
    size: sizing.TargetSize,
    settings: UpscaleSettings,
    *,
    decoder: str,
) -> VideoSink | SegmentedSink:
    """Open the sink of a run; a job that was cut off is gone on with, with the batch and tile it began with.

    Args:
        opener: `open_sink`, but for its `temporary`.
        source: The input.
        target: The file to be.
        info: Of the input's picture.
        model: The generator.
        upscaler: It, placed; takes over what the journal says.
        size: Of the result.
        settings: Of the run.
        decoder: What decodes the input, `software` or `cuda`.

    Raises:
        ConfigError: a job of other settings is kept here.
        VsrError: what `open_sink` raises.
    """
    if not settings.resume:
        return opener()
    work = WorkFolder(Path(os.path.realpath(target)))
    opener_there = partial(opener, temporary=work.path / RESULT)
    try:
        checked = opener_there()  # checks all that can be refused, and leaves nothing
        checked.abort()
        if not resumable(checked.plan):
            work.leave(done=True)
            return opener()
        key = job_key(source, settings, model, upscaler, checked.plan, size, decoder)
        engine = upscaler.plan(info.height, info.width)
        work.begin(key, asdict(engine) | {"backend": upscaler.backend}, restart=settings.restart)
        begun = dict(work.journal.facts)
        backend = begun.pop("backend")
        upscaler.follow(Plan(**begun), info.height, info.width, backend=backend)
        return SegmentedSink(
            work,
            checked,
            opener_there,
            sizing.like(info, size),
            container_of(target),
            length=segment_length(info, settings.segment_seconds),
        )
    except BaseException:
        work.leave(done=False)
        raise
