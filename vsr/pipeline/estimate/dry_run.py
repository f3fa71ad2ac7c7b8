"""Estimates time, size and memory of a run by a short trial (`--dry-run`)."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Unpack

from vsr.errors import ConfigError
from vsr.frame import YuvFrame
from vsr.media.files.named import paths_of
from vsr.media.files.opening import shown
from vsr.media.files.stdio import is_pipe
from vsr.media.mux.sink import VideoSink
from vsr.media.pictures.kinds import becomes_picture
from vsr.media.pictures.sequence import is_pattern
from vsr.pipeline.crew.hosts import LOCAL
from vsr.pipeline.estimate.figures import Estimate
from vsr.pipeline.estimate.source_sample import size_ratio
from vsr.pipeline.flow.graph import open_frames
from vsr.pipeline.flow.meter import Meter
from vsr.pipeline.flow.writing import write_frames
from vsr.pipeline.job.chosen_settings import ChosenSettings, choose_settings, unchanged
from vsr.pipeline.job.frame_count import frames_expected
from vsr.pipeline.job.host_memory import frames_and_encoder
from vsr.pipeline.job.job import Job
from vsr.pipeline.job.resume import open_trial
from vsr.pipeline.pictures.animated import check_animation, left_out_of_animation
from vsr.pipeline.pictures.lossless_video import hidden_video, lossless, unused_settings
from vsr.pipeline.pictures.numbered import check_pictures, left_out_of_pictures
from vsr.pipeline.pictures.still import prepare_picture
from vsr.pipeline.preparation import prepare
from vsr.settings.keywords import Overrides
from vsr.settings.schema import UpscaleSettings

FRAMES = 36
"""Largest number of frames that are measured."""
MOST_SECONDS = 60.0
"""Time after which the measurement ends, so that a large network on a slow machine gets fewer frames."""
_WARM = 4
"""Number of first frames that are not counted, during which threads start and memory is allocated."""


LEAST_ERROR = 0.1
"""Smallest relative uncertainty of the speed: the load of a machine and the scenes of a film vary."""
EXTRAPOLATED = 0.25
"""Exponent of the ratio of sizes that widens the range: sizes of source and result are not proportional. A
clip of still frames and then noise has a ratio of 69, and twice the bytes that proportion gives; measured."""
LEAST_SIZE_ERROR = 0.25
"""The same of the size, if only a part of the video was encoded."""
UNSAMPLED = 2.0
"""Factor of the uncertainty of the size, upwards and downwards, where the source cannot be sampled."""


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


def pictures_lines(source: Path, target: Path, chosen: ChosenSettings, *, overwrite: bool) -> list[str]:
    """Return what a run would do that makes numbered pictures or an animation, by a trial as `dry_run`.

    Raises:
        VsrError: An error that the run itself would raise.
    """
    several = is_pattern(target)
    check = check_pictures if several else check_animation
    left = left_out_of_pictures if several else left_out_of_animation
    info = check(source, target, chosen, overwrite=overwrite)
    video = hidden_video(target)
    if not video.parent.is_dir():  # the run makes it, the trial does not
        raise ConfigError(f"{shown(video.parent)}: does not exist; make it first, for the trial writes there")
    trial = dry_run(source, video, lossless(chosen, info), overwrite=True)
    trial.report.target, notes = shown(target), left(source, target, info)
    notes = [*notes, *unused_settings(chosen.settings.encoder)]
    rows = [line for line in trial.lines() if not line.startswith(("encoder", "size", "stream"))]
    if trial.video_bytes is not None:
        space = f"about {trial.video_bytes / 2**20:.1f} MiB for a hidden lossless video until the end"
        rows.append(f"{'space':<9}{space}")
    return [*rows, *(f"{'warning':<9}{note}" for note in notes)]


def dry_run(
    source: Path, target: Path, settings: UpscaleSettings | ChosenSettings, *, overwrite: bool = False
) -> Estimate:
    """Measure a job, and leave no files behind. Of several devices, the first one is measured.

    Raises:
        ConfigError: The source or the target is a pipe, which cannot be tried, or the work is done elsewhere.
        VsrError: An error that the run itself would raise.
    """
    if is_pipe(source) or is_pipe(target):
        raise ConfigError(
            "a dry run requires files, because data that was read from a pipe is lost for the run"
        )
    chosen = settings if isinstance(settings, ChosenSettings) else unchanged(settings)
    _check_is_here(chosen.settings)
    with prepare(source, target, chosen, overwrite=overwrite, output=open_trial) as job:
        meter = Meter()
        trial = _measure(job, meter)
        info, frames = job.source.info, frames_expected(job.source.info, job.settings)
        ratio, size_error = _size_of_rest(source, job, trial, frames)
        return Estimate(
            report=job.report,
            frames=frames,
            frames_measured=trial.frames,
            fps=trial.fps,
            fps_error=trial.error,
            bottleneck=meter.bottleneck(job.threads),
            picture_bytes=trial.picture_bytes,
            size_ratio=ratio,
            size_error=size_error,
            host_bytes=frames_and_encoder(job.size, job.sink.plan, batch=job.upscaler.batch),
            engine_bytes=job.upscaler.estimate_bytes(info.height, info.width),
        )


def _check_is_here(settings: UpscaleSettings) -> None:
    """Check that the run would be on this machine.

    Raises:
        ConfigError: it would be elsewhere.
    """
    if settings.on != LOCAL:
        raise ConfigError(
            f"a dry run measures this machine, and the run would be on {settings.on}; leave `on` out, and "
            "name a `device` that is here"
        )


def estimate(
    source: Path | str,
    target: Path | str,
    settings: UpscaleSettings | None = None,
    *,
    pipeline: str | Path | None = None,
    allow_network: bool = False,
    **overrides: Unpack[Overrides],
) -> Estimate:
    """Estimate time, size and memory of `vsr.upscale` by a trial of at most 36 frames or a minute.

    The trial decodes, upscales and encodes the first frames of the range on this machine, with the same
    settings. Nothing is left behind, and an existing target is not touched. The size of the
    result is scaled: by how much larger or smaller the source's packets are at eight places of the whole
    range than in the trial.

    Args:
        source: The input file, or its URL.
        target: The output file; its suffix selects the container.
        settings: Settings of the run; None uses the defaults.
        pipeline: Name of a preset, or path of a .toml file, instead of `settings`.
        allow_network: Whether the network may be used for URLs.
        **overrides: Single settings, as for `vsr.upscale`.

    Raises:
        ConfigError: A setting is wrong, or the source or the target is a pipe.
        VsrError: An error that the run itself would raise before its end.
    """
    if settings is not None and pipeline is not None:
        raise ConfigError("vsr.estimate: settings and pipeline exclude each other; give one of them")
    chosen = choose_settings(pipeline, settings, overrides, where="vsr.estimate", origin="keyword")
    with (
        paths_of(source, allow_network=allow_network) as (first,),
        paths_of(target, allow_network=allow_network) as (last,),
    ):
        if becomes_picture(first, last):
            raise ConfigError(f"{source}: is a picture, which takes a moment; estimate videos only")
        return dry_run(first, last, chosen, overwrite=True)


def _size_of_rest(
    source: Path, job: Job, trial: _Trial, frames: int | None
) -> tuple[float, tuple[float, float]]:
    """Return the ratio of sizes for frames that were not encoded, and the factors of its uncertainty."""
    if frames is not None and frames <= trial.frames:
        return 1.0, (1.0, 1.0)
    found = size_ratio(source, job.source.info, job.settings, trial.frames)
    if found is None:
        return 1.0, (1 / UNSAMPLED, UNSAMPLED)
    ratio, deviation = found
    error = (1 + max(LEAST_SIZE_ERROR, 2 * deviation)) * max(ratio, 1 / ratio) ** EXTRAPOLATED
    return ratio, (1 / error, error)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """What was measured."""

    frames: int
    fps: float
    error: float
    """Relative uncertainty of `fps`."""
    picture_bytes: float


def _error_of(times: list[float], warm: int) -> float:
    """Return the relative uncertainty of the mean of the times between frames."""
    gaps = [after - before for before, after in zip(times[warm:], times[warm + 1 :], strict=False)]
    if len(gaps) < 4 or not sum(gaps):
        return 1.0
    return max(LEAST_ERROR, 2 * statistics.stdev(gaps) / statistics.fmean(gaps) / math.sqrt(len(gaps)))


def _measure(job: Job, meter: Meter) -> _Trial:
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
        return _Trial(frames=0, fps=0.0, error=1.0, picture_bytes=picture_bytes)
    piped = (times[-1] - times[warm]) / (number - warm)
    encoding = meter.busy().get("encode", 0.0) / number
    on_cpu = job.upscaler.device.type == "cpu"
    fps = 1 / (piped + emptied / number if on_cpu else max(piped, encoding))
    return _Trial(frames=number, fps=fps, error=_error_of(times, warm), picture_bytes=picture_bytes)


def _first(frames: Iterable[YuvFrame], times: list[float]) -> Iterator[YuvFrame]:
    """Yield the frames to measure, and add the time after each to `times`."""
    for frame in islice(frames, FRAMES):
        yield frame
        times.append(time.monotonic())
        if times[-1] - times[0] > MOST_SECONDS:
            return
