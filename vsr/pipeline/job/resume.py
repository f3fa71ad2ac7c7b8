"""Opens the sink of a run, new or resumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vsr.engine.memory import Plan
from vsr.engine.upscaler import Upscaler
from vsr.errors import OutputError
from vsr.frame import VideoInfo
from vsr.media.decode.source import VideoSource
from vsr.media.encode.encoder_choice import EncoderPlan
from vsr.media.files.opening import shown
from vsr.media.files.output_path import local_place
from vsr.media.formats.containers import CONTAINERS, container_of
from vsr.media.mux.frame_sink import FrameSink
from vsr.media.mux.pipe_sink import PipeSink
from vsr.media.mux.resumable.resumable_sink import SegmentedSink, segment_length
from vsr.media.mux.resumable.work_folder import WorkFolder
from vsr.media.mux.resumable.worker_sink import WorkerSink
from vsr.media.mux.sink import VideoSink
from vsr.media.remote.folder import StoreFolder
from vsr.media.remote.places import parts_of
from vsr.media.remote.upload import try_upload
from vsr.models.load import LoadedModel
from vsr.pipeline.crew.hosts import LOCAL
from vsr.pipeline.inputfile import state_of
from vsr.pipeline.job import output_size
from vsr.pipeline.job.resume_key import job_key
from vsr.settings.schema import Backend, UpscaleSettings
from vsr.settings.toml import from_table

Sink = VideoSink | SegmentedSink | PipeSink | WorkerSink | FrameSink
"""The output of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What the sink of a run is opened for."""

    source: Path
    target: Path
    video: VideoSource
    """The input's frames."""
    model: LoadedModel
    upscaler: Upscaler
    """The generator on its device; a resumed run gives it the batch and the tile of the journal."""
    size: output_size.TargetSize
    """Size of the result."""
    settings: UpscaleSettings

    @property
    def like(self) -> VideoInfo:
        """Facts of the video that is written."""
        return output_size.like(self.video.info, self.size)

    def key(self, plan: EncoderPlan) -> dict[str, Any]:
        """Return the facts that decide the result, see `job_key`."""
        kind = self.video.decoding.kind
        return job_key(self.source, self.settings, self.model, self.upscaler, plan, self.size, kind)

    def follow(self, plan: Plan, backend: Backend) -> None:
        """Compute with a plan that was made earlier, and the backend that it was made for."""
        info = self.video.info
        self.upscaler.follow(plan, info.height, info.width, backend=backend)


OpenOutput = Callable[[Opening, Callable[..., VideoSink]], Sink]
"""Opens the sink of a file, as `open_output` does."""


def open_output(it: Opening, opener: Callable[..., VideoSink]) -> VideoSink | SegmentedSink:
    """Open the sink of a run; an interrupted job is resumed with its original batch and tile.

    Args:
        it: What it is opened for.
        opener: `open_sink` without its argument `temporary`.

    Raises:
        ConfigError: The work folder has a job with other settings.
        VsrError: An error of `open_sink`.
    """
    if not it.settings.resume:
        return _unbroken(it, opener)
    work, opener_there = _work(it, opener)
    try:
        checked = opener_there()  # raises all errors of the checks, and leaves no file
        checked.abort()
        key, now = it.key(checked.plan), _now(it)
        if not it.settings.restart:
            work.take_over(_other_containers(it.target), key)
        work.begin(key, now, restart=it.settings.restart)
        _follow(it, work.journal.facts)
        untouched = work.journal.facts["file"] == now["file"]
        return SegmentedSink(
            work,
            checked,
            opener_there,
            it.like,
            container_of(it.target),
            length=segment_length(it.video.info, it.settings.segment_seconds),
            # How decoders conceal damage depends on their threads, so
            # damaged frames may differ from run to run.
            unrepeatable=lambda: untouched and bool(it.video.damage),
        )
    except BaseException:
        work.leave(done=False)
        raise


def open_trial(it: Opening, opener: Callable[..., VideoSink]) -> VideoSink:
    """Open the sink of a trial, which makes no result, after all checks of `open_output`.

    A job that is kept stays as it is. The trial computes with its batch and tile, as a resumed run would.

    Raises:
        VsrError: An error of `open_output`.
    """
    if not it.settings.resume:
        return _unbroken(it, opener)
    work, opener_there = _work(it, opener)
    sink = _released(work, opener_there)
    try:
        kept = work.check(it.key(sink.plan), _now(it), restart=it.settings.restart)
        if kept is not None:
            _follow(it, kept.facts)
    except BaseException:
        sink.abort()
        raise
    return sink


def _work(it: Opening, opener: Callable[..., VideoSink]) -> tuple[WorkFolder, Callable[[], VideoSink]]:
    """Return the work folder of a job, and a function that opens the output in it."""
    work = WorkFolder(local_place(it.target), shown(it.target), _store(it))
    return work, partial(opener, temporary=work.result)


def _now(it: Opening) -> dict[str, Any]:
    """Return the facts of a job that begins now."""
    info, state = it.video.info, state_of(it.source)
    engine = asdict(it.upscaler.plan(info.height, info.width)) | {"backend": it.upscaler.backend}
    return {"engine": engine, "file": None if state is None else state.plain()}


def _follow(it: Opening, facts: dict[str, Any]) -> None:
    """Compute as at the start of the job whose facts these are."""
    begun = from_table(facts, _Begun, where="the job that is kept here (see `restart`)")
    it.follow(Plan(batch=begun.engine.batch, tile=begun.engine.tile), begun.engine.backend)


def _unbroken(it: Opening, opener: Callable[..., VideoSink]) -> VideoSink:
    """Open the sink of a run that cannot be resumed.

    Its unfinished file is in a work folder, too, where the next run removes it if this process is killed. A
    file system on which that folder cannot be used gets a file with a random name beside the output.

    Raises:
        VsrError: An error of `open_sink`, or another process is making the output.
    """
    try:
        work = WorkFolder(local_place(it.target), shown(it.target))
    except OutputError as error:
        if isinstance(error.__cause__, BlockingIOError):
            raise
        return opener()
    return _released(work, partial(opener, temporary=work.result))


def _released(work: WorkFolder, opener: Callable[[], VideoSink]) -> VideoSink:
    """Open a sink that writes into a work folder, and releases the folder at its end."""
    try:
        sink = opener()
    except BaseException:
        work.leave(done=False)
        raise
    sink.release = partial(work.leave, done=False)
    if not work.has_segments:  # else the folder is another job's, and stays
        sink.note = work.note
    return sink


def _store(it: Opening) -> StoreFolder | None:
    """Return the folder of a store for finished segments; None if they stay in the local work folder.

    Raises:
        ConfigError: nothing can be written there.
        OutputError: the store refuses it.
    """
    parts = parts_of(it.target, beside=it.settings.on != LOCAL)
    if parts is None:
        return None
    try_upload(parts)
    return StoreFolder(parts)


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
