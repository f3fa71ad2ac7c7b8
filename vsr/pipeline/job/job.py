"""What one run needs, opened and checked, and which of its stages run beside which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vsr.engine.upscaler import Upscaler
from vsr.frame import YuvFrame
from vsr.media.decode.source import VideoSource
from vsr.media.mux.resumable_sink import SegmentedSink
from vsr.pipeline.inputfile import FileState
from vsr.pipeline.job.output_size import TargetSize
from vsr.pipeline.job.report import Report
from vsr.pipeline.job.resume import Sink
from vsr.settings.schema import UpscaleSettings

TOGETHER: tuple[tuple[str, ...], ...] = (
    ("decode", "compare"),
    ("upload", "color", "upscale", "download"),
    ("encode",),
)
SPREAD: tuple[tuple[str, ...], ...] = (
    ("decode", "compare", "upload"),
    ("upscale",),
    ("color", "download"),
    ("encode",),
)
"""Colour before the generator is on the decoder's thread, but the smaller half of it."""


@dataclass(slots=True, kw_only=True)
class Job:
    """All that one run needs, opened and checked; no frame has been computed."""

    source: VideoSource
    sink: Sink
    upscaler: Upscaler
    size: TargetSize
    report: Report
    settings: UpscaleSettings
    after: Callable[[YuvFrame], YuvFrame]
    """The filters for results."""
    state: FileState | None = None
    """Of the source's file when it was begun; None for a pipe."""
    alive: Callable[[], None] = lambda: None
    """Called whenever a picture was computed, or decoded and skipped, on whatever thread."""

    @property
    def spread(self) -> bool:
        """Whether the generator has a thread to itself: it is not torch's, see `flow.open_frames`."""
        return self.upscaler.backend != "torch"

    @property
    def on_host(self) -> bool:
        """Whether torch's operators on the host do the work, which all of its threads are for."""
        return self.upscaler.backend == "torch" and self.upscaler.device.type == "cpu"

    @property
    def threads(self) -> tuple[tuple[str, ...], ...]:
        """The stages of the meter, by the thread that they run on."""
        return SPREAD if self.spread else TOGETHER

    def kept_frames(self) -> int:
        """Frames that the same command would not have to compute again if this run ended now."""
        return self.sink.frames if isinstance(self.sink, SegmentedSink) else 0
