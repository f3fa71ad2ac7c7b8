"""Time, size and memory of a run, estimated before it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from vsr.errors import ConfigError
from vsr.frame import YuvFrame
from vsr.media.files.stdio import is_pipe
from vsr.media.mux.sink import VideoSink
from vsr.pipeline.flow.graph import open_frames
from vsr.pipeline.flow.meter import Meter
from vsr.pipeline.job.job import Job
from vsr.pipeline.job.report import Report
from vsr.pipeline.run import frames_expected, prepare, write_frames
from vsr.settings.schema import UpscaleSettings

FRAMES = 36
"""Frames that are measured at most."""
MOST_SECONDS = 60.0
"""A large network on a slow machine is measured on fewer frames."""
_WARM = 4
"""The first frames are not counted: threads start, memory is taken, kernels are chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a run would do and cost."""

    report: Report
    frames: int | None
    """Expected in all."""
    fps: float
    """Of whole frames, steady, file to file."""
    bottleneck: str
    picture_bytes: float
    """Of an encoded picture, on average over those measured."""
    engine_bytes: int
    """Memory that the generator needs."""

    def lines(self) -> list[str]:
        """For people."""
        info, report = self.report.info, self.report
        frames = "an unknown number of" if self.frames is None else str(self.frames)
        what = f"{info.width}x{info.height} {info.pixel_format}, {info.codec}{report.decoded}"
        rows = [
            ("source", f"{report.source}: {what}"),
            ("result", f"{report.target}: {report.width}x{report.height} {report.encoder['pixel_format']}"),
            ("model", f"{report.model['name']} on {report.engine['device']} in {report.engine['precision']}"),
            ("speed", f"{self.fps:.2f} fps measured, limited by {self.bottleneck}"),
            (
                "memory",
                f"about {self.engine_bytes / 2**20:.0f} MiB for the generator, without frames and encoder",
            ),
            ("time", self._time(frames)),
            ("size", self._size()),
        ]
        rows += [("stream", line) for line in report.streams]
        rows += [("warning", line) for line in report.warnings]
        return [f"{name:<9}{text}" for name, text in rows]

    def _time(self, frames: str) -> str:
        if self.frames is None or not self.fps:
            return f"unknown for {frames} frames"
        whole = round(self.frames / self.fps)
        return f"about {whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d} for {frames} frames"

    def _size(self) -> str:
        if self.frames is None:
            return f"about {self.picture_bytes / 1024:.0f} KiB a frame, and what is copied"
        return f"about {self.picture_bytes * self.frames / 2**20:.1f} MiB of picture, and what is copied"


def dry_run(source: Path, target: Path, settings: UpscaleSettings, *, overwrite: bool = False) -> Forecast:
    """Measure a job without leaving anything behind.

    Raises:
        ConfigError: standard input or output, which cannot be tried out.
        VsrError: whatever the run itself would be refused for.
    """
    if is_pipe(source) or is_pipe(target):
        raise ConfigError("a pipe cannot be tried out: what is read of it is gone; name files")
    with prepare(source, target, replace(settings, resume=False), overwrite=overwrite) as job:
        meter = Meter()
        fps, picture_bytes = _measure(job, meter)
        info = job.source.info
        return Forecast(
            report=job.report,
            frames=frames_expected(job),
            fps=fps,
            bottleneck=meter.bottleneck(job.threads),
            picture_bytes=picture_bytes,
            engine_bytes=job.upscaler.estimate_bytes(info.height, info.width),
        )


def _measure(job: Job, meter: Meter) -> tuple[float, float]:
    """Frames a second, and bytes of an encoded picture.

    An encoder looks ahead: it may swallow all measured frames and encode them only when it is emptied. On the
    CPU that time adds up with the generator's, as they share its cores; beside a GPU the slower one counts.
    """
    times = [time.monotonic()]
    with open_frames(job, meter) as frames:
        write_frames(job, _first(frames, times), meter)
    begin = time.monotonic()
    with meter("encode"):
        assert isinstance(job.sink, VideoSink)  # nothing that could be gone on with is made here
        picture_bytes = job.sink.encoded_bytes() / max(1, job.sink.frames)
    emptied = time.monotonic() - begin
    number = len(times) - 1
    warm = min(_WARM, number - 1)
    if number < 1:
        return 0.0, picture_bytes
    piped = (times[-1] - times[warm]) / (number - warm)
    encoding = meter.busy().get("encode", 0.0) / number
    on_cpu = job.upscaler.device.type == "cpu"
    return 1 / (piped + emptied / number if on_cpu else max(piped, encoding)), picture_bytes


def _first(frames: Iterable[YuvFrame], times: list[float]) -> Iterator[YuvFrame]:
    """The frames to measure; the time after each goes to `times`."""
    for frame in islice(frames, FRAMES):
        yield frame
        times.append(time.monotonic())
        if times[-1] - times[0] > MOST_SECONDS:
            return
