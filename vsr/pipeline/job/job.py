"""Everything that a run needs, opened and checked, and the assignment of stages to threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vsr.engine.upscaler import Upscaler
from vsr.frame import YuvFrame
from vsr.media.decode.source import VideoSource
from vsr.media.mux.resumable.resumable_sink import SegmentedSink
from vsr.media.mux.resumable.worker_sink import WorkerSink
from vsr.pipeline.crew.crew import Crew
from vsr.pipeline.inputfile import FileState
from vsr.pipeline.job.digests import FileSha256, Sha256, no_sha256
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
"""Input colour is converted on the decoder's thread, as it is the smaller part of colour conversion."""


@dataclass(slots=True, kw_only=True)
class Job:
    """Everything that one run needs, opened and checked, before the first frame is computed."""

    source: VideoSource
    sink: Sink
    upscaler: Upscaler
    size: TargetSize
    report: Report
    settings: UpscaleSettings
    after: Callable[[YuvFrame], YuvFrame]
    """The filters for results."""
    state: FileState | None = None
    """State of the source file at the start; None for a pipe."""
    source_sha256: Sha256 = no_sha256
    """Waits for the hash of the whole input."""
    target_sha256: FileSha256 = no_sha256
    """Computes the hash of the complete result, of which it gets the path."""
    alive: Callable[[], None] = lambda: None
    """Called after each frame that was computed, or decoded and skipped, on any thread."""

    on_source: Callable[[YuvFrame], None] = lambda _: None
    """Called with each decoded frame on the decoder's thread; it must return at once."""
    on_result: Callable[[YuvFrame], None] = lambda _: None
    """Called with each encoded frame on the encoder's thread; it must return at once."""
    crew: Crew | None = None
    """The workers that make the segments; None if this process does."""

    @property
    def length(self) -> int | None:
        """The number of frames in a segment from which a later run may resume; None without segments."""
        return self.sink.length if isinstance(self.sink, SegmentedSink | WorkerSink) else None

    @property
    def spread(self) -> bool:
        """Whether the generator has its own thread, because torch does not run it; see `flow.open_frames`."""
        return self.upscaler.backend != "torch"

    @property
    def on_host(self) -> bool:
        """Whether torch's operators on the CPU run the generator, with all threads of torch."""
        return self.upscaler.backend == "torch" and self.upscaler.device.type == "cpu"

    @property
    def threads(self) -> tuple[tuple[str, ...], ...]:
        """Stages of the meter for each thread."""
        return SPREAD if self.spread else TOGETHER

    def kept_frames(self) -> int:
        """Return the number of frames that would not be computed again if this run ended now."""
        return self.sink.frames if isinstance(self.sink, SegmentedSink) else 0
