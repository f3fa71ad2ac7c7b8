"""Upscales one still picture from file to file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import torch

from vsr.color.convert import check_convertible
from vsr.color.spec import UNTAGGED
from vsr.color.transparent import spread
from vsr.engine.device import choose_device, is_lost, is_out_of_memory, one_thread
from vsr.engine.device_list import split
from vsr.engine.upscaler import Upscaler
from vsr.errors import DeviceError, DeviceMemoryError, OutputError
from vsr.frame import RgbFrame, VideoInfo, YuvFrame
from vsr.media.files.opening import MAX_PIXELS, shown
from vsr.media.files.output_path import check_target, check_upload, write_result
from vsr.media.mux.resumable.work_folder import WorkFolder
from vsr.media.pictures.keeping import kept
from vsr.media.pictures.kinds import TARGETS, Kind
from vsr.media.pictures.metadata import Metadata
from vsr.media.pictures.reading import Picture, read_picture, turned
from vsr.media.pictures.writing import QUALITY, PicturePlan, check_size, encoded, plan_for
from vsr.media.remote.places import remote_of
from vsr.models.catalog import choose
from vsr.models.load import LoadedModel
from vsr.pipeline.flow import stages
from vsr.pipeline.flow.cuda_streams import DeviceStreams
from vsr.pipeline.flow.meter import Meter
from vsr.pipeline.job import output_size
from vsr.pipeline.job.chosen_settings import ChosenSettings, unchanged
from vsr.pipeline.job.digests import file_facts
from vsr.pipeline.job.host_memory import check_room
from vsr.pipeline.job.origin_names import named_by_origin
from vsr.pipeline.job.report import Report
from vsr.pipeline.job.run_facts import host, now, software
from vsr.pipeline.job.warm_generator import WarmGenerator
from vsr.pipeline.pictures.left_out import left_out
from vsr.pipeline.reporting import model_facts, short_of
from vsr.settings.schema import EncoderSettings, UpscaleSettings

BYTES = 60
"""Bytes of host memory for each pixel of the result: R'G'B' in float32 from the generator and from the resize
after it, and planes."""
_DECODERS: dict[Kind, str] = {"png": "png", "jpeg": "mjpeg", "webp": "webp", "tiff": "tiff"}
_OF_VIDEOS = ("start", "end", "filters_before", "filters_after", "format", "video_stream")
"""Settings that have no meaning for a picture."""


@dataclass(slots=True, kw_only=True)
class PictureJob:
    """Everything that is needed to upscale a picture, opened and checked."""

    picture: Picture
    place: Path
    """The file to create."""
    target: Path
    """What gets it: a file, a URL or a file object."""
    plan: PicturePlan
    metadata: Metadata
    size: output_size.TargetSize
    upscaler: Upscaler
    report: Report
    overwrite: bool


@contextmanager
def prepare_picture(
    source: Path,
    target: Path,
    chosen: UpscaleSettings | ChosenSettings,
    *,
    overwrite: bool,
    warm: WarmGenerator | None = None,
) -> Generator[PictureJob, None, None]:
    """Read a picture, and check everything that can be checked before the work.

    Args:
        source: The picture.
        target: The result; its suffix selects the format, see `vsr.media.pictures.kinds.TARGETS`.
        chosen: The settings; those that are only for videos are named in a warning.
        overwrite: Whether to replace an existing target.
        warm: Keeps the generator from run to run, if several follow each other; None loads it again.

    Raises:
        VsrError: See `vsr.errors`; the message is one line.
    """
    history = chosen if isinstance(chosen, ChosenSettings) else unchanged(chosen)
    with named_by_origin(history):
        yield _opened(source, target, history, overwrite=overwrite, warm=warm)


def _opened(
    source: Path, target: Path, history: ChosenSettings, *, overwrite: bool, warm: WarmGenerator | None
) -> PictureJob:
    kind, settings = TARGETS[target.suffix.lower()], history.settings
    settings = replace(settings, device=split(settings.device)[0])  # a picture is too little for several
    place = check_target(target, source, overwrite=overwrite)
    check_upload(target)
    picture = read_picture(
        source, max_pixels=settings.max_pixels or MAX_PIXELS, strict=settings.strict, color=settings.color
    )
    check_convertible(picture.frame.color, picture.frame.layout)
    info = _upright_info(picture)
    name, why = choose(settings.model, choose_device(settings.device).type)
    model, upscaler = (warm or WarmGenerator()).placed(
        name, output_size.wanted_scale(info, settings), settings
    )
    size = output_size.target_size(info, settings, Fraction(model.scale), longest=2**20)
    check_size(kind, size.width, size.height)
    check_room(size, batch=1, pixel_bytes=BYTES)
    plan = plan_for(kind, picture.frame.layout, picture.frame.color, lossless=picture.lossless)
    # Of other formats, FFmpeg derives tags from chunks, which are kept, or takes them from nowhere.
    tagged = picture.info.tagged if picture.kind == "avif" else UNTAGGED
    keeps = kept(picture.metadata, kind, tagged, width=size.width, height=size.height)
    report = _report(picture, info, size, target, plan, model, upscaler, history)
    report.model["chosen"] = why
    report.warnings += left_out([*plan.notes, *keeps.left_out]) + _ignored(settings)
    return PictureJob(
        picture=picture,
        place=place,
        target=target,
        plan=plan,
        metadata=keeps.metadata,
        size=size,
        upscaler=upscaler,
        report=report,
        overwrite=overwrite,
    )


def run_picture(
    job: PictureJob,
    alive: Callable[[], None] = lambda: None,
    on_complete: Callable[[Report], None] = lambda _: None,
) -> None:
    """Compute, write and check the picture; fills in `job.report`.

    Args:
        job: See `prepare_picture`.
        alive: Called after each step; an exception stops the run.
        on_complete: Called with the report before the result is written.
    """
    meter = Meter()
    frame = compute_picture(job, meter)
    alive()
    with meter("encode"):
        data = encoded(frame, job.plan, job.metadata)
        alive()
        _check(data, job, frame)
    _complete(job, data, meter)
    on_complete(job.report)
    with meter("encode"), _unfinished(job) as temporary:
        write_result(data, job.place, job.target, overwrite=job.overwrite, temporary=temporary)
    job.report.ended, job.report.seconds, job.report.busy_seconds = now(), meter.elapsed, meter.busy()
    job.report.target_file = _facts(job, data)


@contextmanager
def _unfinished(job: PictureJob) -> Generator[Path | None, None, None]:
    """Yield the path of the unfinished file in a locked folder, where the next run finds it if this one is
    killed; None if the file system does not support such a folder.

    Raises:
        OutputError: another process makes this picture.
    """
    try:
        work = WorkFolder(job.place, shown(job.target))
    except OutputError as error:
        if isinstance(error.__cause__, BlockingIOError):
            raise
        yield None
        return
    try:
        yield work.result
    finally:
        work.leave(done=False)


def _complete(job: PictureJob, data: bytes, meter: Meter) -> None:
    """Add to the report what is known when the picture is encoded."""
    report = job.report
    report.frames_in = report.frames_out = 1
    report.bytes_out, report.seconds, report.busy_seconds = len(data), meter.elapsed, meter.busy()
    report.bottleneck = max(report.busy_seconds, key=lambda stage: report.busy_seconds[stage])
    report.occupancy, report.stage_threads = meter.occupancy(), [list(report.busy_seconds)]
    report.ended = now()
    report.source_file = file_facts(Path(job.picture.info.path), job.picture.sha256)
    report.target_file = _facts(job, data)
    report.verification = {
        "frames_decoded": 1,
        "frames_encoded": 1,
        "read_back": True,  # `_check` has decoded the bytes
        "frames": 1,
        "streams": 0,
        "packets": 0,
        "bytes": len(data),
    }
    report.engine |= {"redone_in_fp32": meter.counts.get(stages.REDONE, 0)}


def compute_picture(job: PictureJob, meter: Meter) -> YuvFrame:
    """Return the result in host memory, in the layout and the colour of the file."""
    with _named_errors(job), one_thread(job.upscaler.backend != "torch" or job.upscaler.device.type != "cpu"):
        return _computed(job, meter)


def _facts(job: PictureJob, data: bytes) -> dict[str, Any]:
    place = job.place if remote_of(job.target) is None else job.target
    found = file_facts(place, hashlib.sha256(data).hexdigest(), pipe_bytes=len(data))
    return found | {"bytes": len(data)}


def _upright_info(picture: Picture) -> VideoInfo:
    """Return the facts of the picture as it is shown. Pixels that are no squares are described by the
    density."""
    info = picture.info
    width, height = info.width, info.height
    if picture.orientation >= 5:
        width, height = height, width
    return replace(
        info, width=width, height=height, rotation=0, display_matrix=None, sample_aspect_ratio=None, crop=None
    )


def _computed(job: PictureJob, meter: Meter) -> YuvFrame:
    streams = DeviceStreams(job.upscaler.frames_device)
    (lr,) = stages.rgb(stages.upload([job.picture.frame], streams, meter), streams, meter)
    with streams.computing(), torch.inference_mode():
        lr = _upright(cast("RgbFrame", lr), job.picture)
    sr = stages.upscale([lr], job.upscaler, streams, meter, height=job.size.height, width=job.size.width)
    made = (_on_white(frame, job) for frame in sr if isinstance(frame, RgbFrame))
    planes = stages.yuv(made, streams, meter, color=job.plan.color, layout=job.plan.layout)
    (frame,) = stages.download(planes, streams, meter, depth=0)
    return cast("YuvFrame", frame)


def _upright(frame: RgbFrame, picture: Picture) -> RgbFrame:
    """Turn a picture as its orientation says, with colours that are not multiplied by alpha."""
    image, alpha = frame.image, frame.alpha
    if alpha is not None and picture.associated_alpha:
        image = spread((image / alpha.clamp(min=1 / 65535)).clamp(0, 1), alpha)
    return replace(
        frame,
        image=turned(image, picture.orientation),
        alpha=None if alpha is None else turned(alpha, picture.orientation),
    )


def _on_white(frame: RgbFrame, job: PictureJob) -> RgbFrame:
    """Put a transparent picture on white if its format has no transparency."""
    if frame.alpha is None or job.plan.layout.alpha:
        return frame
    with torch.inference_mode():
        alpha = frame.alpha.clamp(0, 1)
        return replace(frame, image=frame.image * alpha + (1 - alpha), alpha=None)


def _check(data: bytes, job: PictureJob, frame: YuvFrame) -> None:
    """Decode the result, as a last check of its bytes.

    Raises:
        OutputError: it cannot be decoded, or has another size.
    """
    decoder: Any = av.CodecContext.create(_DECODERS[job.plan.kind], "r")
    try:
        frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
        sizes = {(one.width, one.height) for one in frames if isinstance(one, av.VideoFrame)}
    except av.FFmpegError:
        sizes = set()
    if sizes != {(frame.width, frame.height)}:
        raise OutputError(f"{job.report.target}: cannot be decoded after encoding. Please report this bug")


def _report(
    picture: Picture,
    info: VideoInfo,
    size: output_size.TargetSize,
    target: Path,
    plan: PicturePlan,
    model: LoadedModel,
    upscaler: Upscaler,
    chosen: ChosenSettings,
) -> Report:
    return Report(
        started=now(),
        host=host(),
        software=software(),
        source=shown(picture.info.path),
        target=shown(target),
        info=info,
        height=size.height,
        width=size.width,
        model=model_facts(model, chosen.settings),
        engine={
            "device": str(upscaler.device),
            "precision": upscaler.precision,
            "backend": upscaler.backend,
            "workers": [chosen.settings.device],
        },
        encoder={
            "codec": plan.kind,
            "crf": None,
            "preset": None,
            "pixel_format": str(plan),
            "options": {} if plan.lossless else {"quality": QUALITY},
            "color": plan.color,
        },
        filters={"before": [], "deinterlace": "off", "after": []},
        pipeline=None if chosen.pipeline is None else dict(chosen.pipeline),
        settings={key: {"value": value, "from": origin} for key, (value, origin) in chosen.rows().items()},
        damage=picture.damage,
        warnings=short_of(model, size, info),
    )


def _ignored(settings: UpscaleSettings) -> list[str]:
    """Return a warning that names the settings that are for videos only."""
    standard = UpscaleSettings()
    names = [name for name in _OF_VIDEOS if getattr(settings, name) != getattr(standard, name)]
    if settings.encoder != EncoderSettings():
        names.append("the settings of the encoder")
    return [f"not used for a picture: {', '.join(names)}"] if names else []


@contextmanager
def _named_errors(job: PictureJob) -> Generator[None, None, None]:
    """Convert errors of a device to the errors of this package."""
    try:
        yield
    except BaseException as error:
        if is_out_of_memory(error):
            raise DeviceMemoryError(
                f"{job.report.source}: out of memory after all retries. Close other programs, or use a"
                " smaller `tile` or a smaller `model`"
            ) from error
        if is_lost(error):
            first = str(error).partition("\n")[0]
            raise DeviceError(
                f"{job.report.source}: {job.upscaler.device} failed ({first}). Use `device='cpu'`"
            ) from error
        raise
