"""The estimate of a run as data and as lines of text."""

from __future__ import annotations

from dataclasses import dataclass

from vsr.pipeline.job.plan_text import encoding, treatment
from vsr.pipeline.job.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Expected time, size and memory of a run, measured by a short trial on this machine.

    A range is the estimate with its uncertainty: twice the standard error of what was measured, and at least
    a tenth for the time and a quarter for the size.
    """

    report: Report
    """What is known before the first frame: model, device, encoder, the fate of each stream, warnings."""
    frames: int | None
    """Number of frames that the run will write; None if it is not known."""
    frames_measured: int
    """Number of frames that the trial computed."""
    fps: float
    """Speed from file to file after the start, in frames a second; of several devices that of the first."""
    fps_error: float
    """Its relative uncertainty."""
    bottleneck: str
    picture_bytes: float
    """Mean size in bytes of the frames that the trial encoded."""
    size_ratio: float = 1.0
    """By how much the packets of the source are larger on average than at the place of the trial."""
    size_error: tuple[float, float] = (1.0, 1.0)
    """Factors from the expected size to its range."""
    engine_bytes: int
    """Memory in bytes that the generator needs on its device; of several devices on each."""
    host_bytes: int
    """Host memory in bytes for frames and encoder, besides the generator; of several workers for each."""

    @property
    def workers(self) -> int:
        """Number of worker processes; 1 if this process does the work."""
        return len(self.report.engine["workers"])

    @property
    def seconds(self) -> float | None:
        """Expected time of the run; None if the number of frames is not known. Workers on a CPU share the
        cores that one process has in the trial.
        """
        if self.frames is None or not self.fps:
            return None
        at_once = 1 if self.report.engine["device"].startswith("cpu") else self.workers
        return self.frames / (self.fps * at_once)

    @property
    def seconds_range(self) -> tuple[float, float] | None:
        """The time with its uncertainty."""
        if self.seconds is None:
            return None
        return self.seconds / (1 + self.fps_error), self.seconds * (1 + self.fps_error)

    @property
    def video_bytes(self) -> float | None:
        """Expected size of the video stream; the streams that are copied come on top."""
        return None if self.frames is None else self.picture_bytes * self.size_ratio * self.frames

    @property
    def video_bytes_range(self) -> tuple[float, float] | None:
        """The size with its uncertainty."""
        if self.video_bytes is None:
            return None
        return self.video_bytes * self.size_error[0], self.video_bytes * self.size_error[1]

    def lines(self) -> list[str]:
        """Return the estimate as lines of text."""
        info, report = self.report.info, self.report
        frames = "an unknown number of" if self.frames is None else str(self.frames)
        what = f"{info.width}x{info.height} {info.pixel_format}, {info.codec}{report.decoded}"
        rows = [
            ("source", f"{report.source}: {what}"),
            ("result", f"{report.target}: {report.width}x{report.height} {report.encoder['pixel_format']}"),
            ("model", f"{report.model['name']} on {report.engine['device']} in {report.engine['precision']}"),
            ("encoder", encoding(report)),
            *(("plan", fact) for fact in treatment(report)),
            ("speed", f"{self.fps:.2f} fps measured{self._of_one()}, limited by {self.bottleneck}"),
            (
                "memory",
                f"about {self.engine_bytes / 2**20:.0f} MiB for the generator,"
                f" {self.host_bytes / 2**20:.0f} MiB for frames and encoder{self._each()}",
            ),
            ("time", self._time(frames)),
            ("size", self._size()),
        ]
        rows += [("stream", str(one)) for one in report.streams if one.fate != "upscaled"]
        rows += [("warning", line) for line in report.warnings]
        return [f"{name:<9}{text}" for name, text in rows]

    def _of_one(self) -> str:
        return f" in one process on {self.report.engine['device']}" if self.workers > 1 else ""

    def _each(self) -> str:
        return f", in each of {self.workers} workers" if self.workers > 1 else ""

    def _time(self, frames: str) -> str:
        if self.seconds is None or self.seconds_range is None:
            return f"unknown for {frames} frames"
        low, high = self.seconds_range
        return f"about {_clock(self.seconds)} for {frames} frames ({_clock(low)} to {_clock(high)})"

    def _size(self) -> str:
        if self.video_bytes is None or self.video_bytes_range is None:
            return f"about {self.picture_bytes / 1024:.0f} KiB a frame, plus the streams that are copied"
        whole, low, high = (bytes_ / 2**20 for bytes_ in (self.video_bytes, *self.video_bytes_range))
        return f"about {whole:.1f} MiB of video ({low:.1f} to {high:.1f}), plus the streams that are copied"


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
