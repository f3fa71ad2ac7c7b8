"""One frame of a video, or a still picture, upscaled as a run does it, and kept in memory.

`decoded_frame` decodes it once; `upscaled_frame` sends it through all stages of a run up to the encoder, for
one model after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from vsr.engine.device_list import split
from vsr.errors import InputError
from vsr.frame import VideoInfo, YuvFrame
from vsr.media.files.opening import shown
from vsr.media.formats.containers import container_of
from vsr.media.mux.frame_sink import FrameSink
from vsr.media.mux.sink import VideoSink
from vsr.pipeline.crew.hosts import LOCAL
from vsr.pipeline.flow.graph import open_frames
from vsr.pipeline.flow.meter import Meter
from vsr.pipeline.job.chosen_settings import ChosenSettings
from vsr.pipeline.job.job import Job
from vsr.pipeline.job.output_size import like
from vsr.pipeline.job.report import Report
from vsr.pipeline.job.resume import Opening
from vsr.pipeline.pictures.still import compute_picture, prepare_picture
from vsr.pipeline.preparation import prepare
from vsr.system.scratch import scratch_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class OneFrame:
    """A frame with the facts of its video."""

    frame: YuvFrame
    """In host memory."""
    info: VideoInfo
    """Of the video to which it belongs: of the input, or of the result."""
    report: Report
    """What a run reports before its first frame."""


def decoded_frame(source: Path, chosen: ChosenSettings, *, at: Fraction) -> OneFrame:
    """Decode the first frame from a time on, as a run with that `start` does.

    Args:
        source: A video.
        chosen: Settings of the run.
        at: In seconds after the first frame.

    Raises:
        InputError: there is no such frame.
        VsrError: an error that a run would raise before its first frame.
    """
    settings = replace(chosen.settings, start=at or None, model="bicubic", strength=None, partner=None)
    with _prepared(source, replace(chosen, settings=settings)) as job:
        frame = next(job.source.frames(), None)
        if frame is None:
            raise InputError(f"{shown(source)}: has no frame from {float(at):g} s on; choose an earlier `at`")
        if job.source.damage:
            job.report.warnings.append("the input is damaged near this frame")
        planes = tuple(plane.clone() for plane in frame.planes)
        alpha = None if frame.alpha is None else frame.alpha.clone()
        return OneFrame(
            frame=replace(frame, planes=planes, alpha=alpha), info=job.source.info, report=job.report
        )


def upscaled_frame(source: Path, chosen: ChosenSettings, frame: YuvFrame) -> OneFrame:
    """Upscale a frame of `decoded_frame` with a model of one's choice, up to the encoder.

    Args:
        source: The video that it belongs to.
        chosen: Settings of the run, with the model.
        frame: Decoded with the same settings but for the model.

    Raises:
        VsrError: an error that a run would raise.
    """
    with _prepared(source, chosen) as job, open_frames(job, Meter(), iter([frame])) as frames:
        made = job.after(_only(frames))
        info = replace(like(job.source.info, job.size), height=job.size.height, width=job.size.width)
        return OneFrame(frame=made, info=info, report=job.report)


def upscaled_picture(source: Path, chosen: ChosenSettings) -> OneFrame:
    """Upscale a still picture, up to the encoder of a PNG.

    Raises:
        VsrError: an error that a run would raise.
    """
    with (
        scratch_folder("vsr-preview-") as folder,
        prepare_picture(source, folder / "result.png", chosen, overwrite=False) as job,
    ):
        frame = compute_picture(job, Meter())
        info = replace(
            job.report.info,
            height=job.size.height,
            width=job.size.width,
            layout=job.plan.layout,
            color=job.plan.color,
        )
        return OneFrame(frame=frame, info=info, report=job.report)


def _only(frames: Iterator[YuvFrame]) -> YuvFrame:
    (frame,) = frames
    return frame


@contextmanager
def _prepared(source: Path, chosen: ChosenSettings) -> Generator[Job, None, None]:
    """Prepare a run into a Matroska file that is never made, on one device, for one frame is too little for
    several.
    """
    device = split(chosen.settings.device)[0]
    settings = replace(chosen.settings, end=None, resume=False, device=device, on=LOCAL)
    with (
        scratch_folder("vsr-preview-") as folder,
        prepare(
            source,
            folder / "result.mkv",
            replace(chosen, settings=settings),
            overwrite=False,
            output=_no_file,
        ) as job,
    ):
        yield job


def _no_file(it: Opening, opener: Callable[..., VideoSink]) -> FrameSink:
    return FrameSink(
        it.like,
        it.settings.encoder,
        container_of(it.target),
        width=it.size.width,
        height=it.size.height,
    )
