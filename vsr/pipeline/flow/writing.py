"""Encodes the computed frames of a job on a thread."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing

from vsr.frame import YuvFrame
from vsr.pipeline.flow.graph import DEPTH
from vsr.pipeline.flow.meter import Meter
from vsr.pipeline.flow.threads import Handover
from vsr.pipeline.job.job import Job


def write_frames(job: Job, frames: Iterable[YuvFrame], meter: Meter) -> None:
    """Compute frames on this thread, and encode them on another one, which ends before this function does.

    After an exception, the output's temporary name is removed first, so that no incomplete file remains.
    """

    def write(frame: YuvFrame) -> None:
        with meter("encode"):
            result = job.after(frame)
            job.sink.write(result)
        job.on_result(result)

    with closing(Handover(write, depth=DEPTH, name="vsr-encode")) as encoder:
        try:
            for frame in frames:
                encoder.put(frame)
            encoder.finish()
        except BaseException:
            job.sink.drop_name()
            raise
