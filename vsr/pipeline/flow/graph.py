"""Connects the stages from decoder to encoder; `open_frames` lists them in the order of a frame's path."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import TypeVar

from vsr.engine.device import is_lost, is_out_of_memory, one_thread
from vsr.engine.static_regions import StaticRegions
from vsr.errors import DeviceError, DeviceMemoryError
from vsr.frame import RgbFrame, YuvFrame
from vsr.media.files.stdio import is_pipe
from vsr.media.mux.resumable.resumable_sink import SegmentedSink
from vsr.pipeline.flow import stages
from vsr.pipeline.flow.cuda_streams import DeviceStreams
from vsr.pipeline.flow.duplicates import Repeats
from vsr.pipeline.flow.marks import Idle, Mark
from vsr.pipeline.flow.meter import Meter
from vsr.pipeline.flow.threads import Prefetch, close_items
from vsr.pipeline.job.job import Job

T = TypeVar("T")
DEPTH = 4
"""Frames that may wait between two threads: enough to compensate for
keyframes, few enough for 4K in memory."""
_LARGE = 1
"""The same for float frames at the size of the result, which have 100 MB each at 4K."""


@contextmanager
def open_frames(
    job: Job, meter: Meter, source: Iterator[YuvFrame] | None = None
) -> Generator[Iterator[YuvFrame], None, None]:
    """Yield the frames of a job, computed and in the sink's format; a thread decodes them.

    Args:
        job: The job.
        meter: Measures the stages.
        source: The decoded frames; None decodes all frames of the job's source that its sink wants.

    Note [Who computes]: GNU OpenMP, which torch uses, spins at its barriers only while it manages no more
    threads than there are cores. If a second Python thread calls torch, it gets a second team of workers.
    From then on, every parallel region begins and ends with a system call, and colour conversion takes four
    times as long. If torch runs the generator, therefore only the caller's thread uses torch's operators. If
    another runtime or a GPU does, torch is limited to one thread. It then has no team and no barriers, at
    which it would wait for milliseconds each time another program or an encoder occupies the core. Colour
    conversion takes hardly longer this way, and runs in parallel with the generator, which has its own
    thread. (Measurements are in docs/benchmarks.md.)
    """
    streams = DeviceStreams(job.upscaler.frames_device)
    color, layout = job.sink.color, job.sink.layout
    repeats = Repeats(meter, length=job.length)
    source = source or job.source.frames(wanted=partial(_wanted, job))
    decoded: Iterable[YuvFrame] = _counted(meter.timed("decode", source), meter, job)
    with _named_errors(job), ExitStack() as stack:
        stack.enter_context(one_thread(not job.on_host))
        marked = repeats.marked(decoded) if job.settings.reuse else decoded
        sr = (_spread if job.spread else _together)(marked, job, streams, meter, stack)
        stack.enter_context(closing(job.source))  # closed first, because it may be waiting for a pipe
        planes = stages.yuv(sr, streams, meter, color=color, layout=layout)
        ready = stages.download(planes, streams, meter, depth=max(2, job.upscaler.batch))
        yield repeats.restored(ready)


def _together(
    decoded: Iterable[YuvFrame | Mark], job: Job, streams: DeviceStreams, meter: Meter, stack: ExitStack
) -> Iterable[RgbFrame | Mark]:
    """Run the decoder on one thread and all computation on the caller's."""
    waiting = stack.enter_context(closing(Prefetch(decoded, depth=DEPTH, name="vsr-decode")))
    return _upscaled(_lr(_as_they_come(waiting, job), streams, meter), job, streams, meter)


def _as_they_come(waiting: Prefetch[T], job: Job) -> Iterable[T | Idle]:
    """Return the decoder's items; for a pipe, which may be live, with a mark whenever none is ready.

    Batches of a file are always full, so that a resumed run computes the same batches.
    """
    return waiting.or_idle() if is_pipe(job.source.info.path) else waiting


def _spread(
    decoded: Iterable[YuvFrame | Mark], job: Job, streams: DeviceStreams, meter: Meter, stack: ExitStack
) -> Iterable[RgbFrame | Mark]:
    """Run decoder and input colour, generator, and output colour on a thread each."""
    lr = Prefetch(_lr_of_decoder(decoded, streams, meter), depth=DEPTH, name="vsr-decode")
    waiting = _as_they_come(lr, job)
    sr = Prefetch(_upscaled(waiting, job, streams, meter), depth=_LARGE, name="vsr-upscale")
    stack.enter_context(closing(sr))
    stack.enter_context(closing(lr))  # closed before the generator's thread, which may be waiting for it
    return sr


def _lr(frames: Iterable[YuvFrame | Mark], streams: DeviceStreams, meter: Meter) -> Iterator[RgbFrame | Mark]:
    return stages.rgb(stages.upload(frames, streams, meter), streams, meter)


def _lr_of_decoder(
    frames: Iterable[YuvFrame | Mark], streams: DeviceStreams, meter: Meter
) -> Iterator[RgbFrame | Mark]:
    """Run `_lr` on the decoder's thread, and close the decoder there."""
    try:
        yield from _lr(frames, streams, meter)
    finally:
        close_items(frames)


def _upscaled(
    lr: Iterable[RgbFrame | Mark], job: Job, streams: DeviceStreams, meter: Meter
) -> Iterator[RgbFrame | Mark]:
    return stages.upscale(
        lr,
        job.upscaler,
        streams,
        meter,
        height=job.size.height,
        width=job.size.width,
        length=job.length,
        still=StaticRegions(job.upscaler) if job.settings.reuse else None,
    )


def _wanted(job: Job, frame: YuvFrame) -> bool:
    """Return whether a decoded frame must still be computed."""
    job.alive()
    return not isinstance(job.sink, SegmentedSink) or job.sink.wants(frame)


def _counted(frames: Iterator[YuvFrame], meter: Meter, job: Job) -> Iterator[YuvFrame]:
    for frame in frames:
        meter.count("decoded", 1)
        job.on_source(frame)
        yield frame


@contextmanager
def _named_errors(job: Job) -> Generator[None, None, None]:
    """Convert errors of a device to the errors of this package."""
    try:
        yield
    except BaseException as error:
        if is_out_of_memory(error):
            raise DeviceMemoryError(_too_little_memory(job)) from error
        if is_lost(error):
            raise DeviceError(_lost(job, error)) from error
        raise


def _lost(job: Job, error: BaseException) -> str:
    first = str(error).partition("\n")[0]
    return (
        f"{job.report.source}: {job.upscaler.device} failed ({first}). Look at the driver's log, then run it"
        " again, or use `device='cpu'`"
    )


def _too_little_memory(job: Job) -> str:
    info = job.source.info
    need = job.upscaler.estimate_bytes(info.height, info.width) / 2**20
    return (
        f"{job.report.source}: out of memory after all retries. The generator needs about {need:.0f} MiB."
        " Close other programs, or use a smaller `tile`, `batch=1` or a smaller `model`"
    )
