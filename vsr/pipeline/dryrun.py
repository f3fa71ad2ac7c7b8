"""Estimates time, size and memory of a run by a short trial (`--dry-run`)."""

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
from vsr.pipeline.flow.writing import write_frames
from vsr.pipeline.job.chosen_settings import ChosenSettings, unchanged
from vsr.pipeline.job.job import Job
from vsr.pipeline.job.plan_text import encoding, treatment
from vsr.pipeline.job.report import Report
from vsr.pipeline.picture import prepare_picture
from vsr.pipeline.preparation import prepare
from vsr.pipeline.run import frames_expected
from vsr.settings.schema import UpscaleSettings

FRAMES = 36
"""Largest number of frames that are measured."""
MOST_SECONDS = 60.0
"""Time after which the measurement ends, so that a large network on a slow machine gets fewer frames."""
_WARM = 4
"""Number of first frames that are not counted, during which threads start and memory is allocated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Estimated result and cost of a run."""

    report: Report
    frames: int | None
    """Number of frames that the run will write; None if it is not known."""
    fps: float
    """Speed from file to file after the start, in frames a second."""
    bottleneck: str
    picture_bytes: float
    """Mean size of an encoded frame in bytes."""
    engine_bytes: int
    """Memory in bytes that the generator needs."""

    def lines(self) -> list[str]:
        """Return the forecast as lines of text."""
        info, report = self.report.info, self.report
        frames = "an unknown number of" if self.frames is None else str(self.frames)
        what = f"{info.width}x{info.height} {info.pixel_format}, {info.codec}{report.decoded}"
        rows = [
            ("source", f"{report.source}: {what}"),
            ("result", f"{report.target}: {report.width}x{report.height} {report.encoder['pixel_format']}"),
            ("model", f"{report.model['name']} on {report.engine['device']} in {report.engine['precision']}"),
            ("encoder", encoding(report)),
            *(("plan", fact) for fact in treatment(report)),
            ("speed", f"{self.fps:.2f} fps measured, limited by {self.bottleneck}"),
            (
                "memory",
                f"about {self.engine_bytes / 2**20:.0f} MiB for the generator, without frames and encoder",
            ),
            ("time", self._time(frames)),
            ("size", self._size()),
        ]
        rows += [("stream", str(one)) for one in report.streams if one.fate != "upscaled"]
        rows += [("warning", line) for line in report.warnings]
        return [f"{name:<9}{text}" for name, text in rows]

    def _time(self, frames: str) -> str:
        if self.frames is None or not self.fps:
            return f"unknown for {frames} frames"
        whole = round(self.frames / self.fps)
        return f"about {whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d} for {frames} frames"

    def _size(self) -> str:
        if self.frames is None:
            return f"about {self.picture_bytes / 1024:.0f} KiB a frame, plus the streams that are copied"
        mebibytes = self.picture_bytes * self.frames / 2**20
        return f"about {mebibytes:.1f} MiB of video, plus the streams that are copied"


def picture_lines(
    source: Path, target: Path, chosen: UpscaleSettings | ChosenSettings, *, overwrite: bool
) -> list[str]:
    """Return what a run would do with a still picture; nothing is computed.

    Raises:
        VsrError: An error that the run itself would raise.
    """
    with prepare_picture(source, target, chosen, overwrite=overwrite) as job:
        info, report = job.report.info, job.report
        need = job.upscaler.estimate_bytes(info.height, info.width)
        rows = [
            ("source", f"{report.source}: {info.width}x{info.height}, {job.picture.kind}"),
            ("result", f"{report.target}: {report.width}x{report.height}, {job.plan}"),
            ("model", f"{report.model['name']} on {report.engine['device']} in {report.engine['precision']}"),
            ("memory", f"about {need / 2**20:.0f} MiB for the generator, without the picture"),
        ]
        rows += [("warning", line) for line in report.warnings]
        return [f"{name:<9}{text}" for name, text in rows]


def dry_run(
    source: Path, target: Path, settings: UpscaleSettings | ChosenSettings, *, overwrite: bool = False
) -> Forecast:
    """Measure a job, and leave no files behind.

    Raises:
        ConfigError: The source or the target is a pipe, which cannot be tried.
        VsrError: An error that the run itself would raise.
    """
    if is_pipe(source) or is_pipe(target):
        raise ConfigError(
            "a dry run requires files, because data that was read from a pipe is lost for the run"
        )
    chosen = settings if isinstance(settings, ChosenSettings) else unchanged(settings)
    chosen = replace(chosen, settings=replace(chosen.settings, resume=False))
    with prepare(source, target, chosen, overwrite=overwrite) as job:
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
    """Return the speed in frames a second, and the bytes of an encoded frame.

    An encoder with lookahead may encode all measured frames only when it is flushed. On the CPU, encoder and
    generator share the cores, so their times are added; with a GPU, the slower one limits the speed.
    """
    times = [time.monotonic()]
    with open_frames(job, meter) as frames:
        write_frames(job, _first(frames, times), meter)
    begin = time.monotonic()
    with meter("encode"):
        assert isinstance(job.sink, VideoSink)  # a dry run is never resumable
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
    """Yield the frames to measure, and add the time after each to `times`."""
    for frame in islice(frames, FRAMES):
        yield frame
        times.append(time.monotonic())
        if times[-1] - times[0] > MOST_SECONDS:
            return
