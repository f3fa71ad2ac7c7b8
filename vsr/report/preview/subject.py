"""The frame of a video, or the picture, that a preview shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from torch import Tensor

from vsr.color.convert import to_rgb
from vsr.errors import ConfigError
from vsr.frame import VideoInfo, YuvFrame
from vsr.media.decode.facts.probe import probe
from vsr.media.files.opening import MAX_PIXELS, shown
from vsr.media.pictures.kinds import is_picture
from vsr.media.pictures.reading import read_picture, shown_image
from vsr.pipeline.job.chosen_settings import ChosenSettings
from vsr.pipeline.one_frame import OneFrame, decoded_frame, upscaled_frame, upscaled_picture
from vsr.report.compare.screen import as_shown
from vsr.report.preview.busiest import busiest as busiest_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The frame of a video, or the picture, of which a preview is made."""

    path: Path
    whole: Tensor
    """`(3, H, W)` R'G'B' in [0, 1] of the input as it is shown, with its own transfer curve."""
    info: VideoInfo
    """Of the input's video, or of the picture."""
    frame: YuvFrame | None
    """The decoded frame; None for a picture."""
    time: Fraction | None
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input as it is shown."""
        height, width = self.whole.shape[-2:]
        return height, width

    @property
    def title(self) -> str:
        """Name, size and time."""
        name = shown(self.path.name or self.path)
        at = "" if self.time is None else f", {float(self.time):.3f} s"
        return f"{name}, {self.size[1]}x{self.size[0]}{at}"

    def compute(self, chosen: ChosenSettings) -> OneFrame:
        """Upscale it with some settings."""
        if self.frame is None:
            return upscaled_picture(self.path, chosen)
        return upscaled_frame(self.path, chosen, self.frame)


def open_subject(path: Path, chosen: ChosenSettings, *, at: Fraction | None, busiest: bool) -> Subject:
    """Read a picture, or decode the frame of a video that is to be shown.

    Args:
        path: Of the picture or the video.
        chosen: Settings of the run.
        at: Seconds after the first frame; None is the middle.
        busiest: Choose a key frame instead.

    Raises:
        ConfigError: the time is not in the video, or a picture has one.
        InputError: the file cannot be read, or has no such frame.
    """
    return _picture(path, chosen, at, busiest) if is_picture(path) else _frame(path, chosen, at, busiest)


def _picture(path: Path, chosen: ChosenSettings, at: Fraction | None, busiest: bool) -> Subject:
    if at is not None or busiest:
        raise ConfigError(f"{shown(path)}: is a picture, which has one frame; leave out `at` and `busiest`")
    settings = chosen.settings
    picture = read_picture(
        path, max_pixels=settings.max_pixels or MAX_PIXELS, strict=settings.strict, color=settings.color
    )
    return Subject(
        path=path,
        whole=shown_image(picture).clamp(0, 1),
        info=replace(picture.info, color=picture.frame.color, display_matrix=None, sample_aspect_ratio=None),
        frame=None,
        time=None,
    )


def _frame(path: Path, chosen: ChosenSettings, at: Fraction | None, busiest: bool) -> Subject:
    settings = chosen.settings
    info = probe(
        path,
        video_stream=settings.video_stream,
        max_pixels=settings.max_pixels or MAX_PIXELS,
        color=settings.color,
    )
    duration = info.duration_seconds
    if at is not None and (at < 0 or (duration is not None and at >= duration)):
        long = "" if duration is None else f", which is {float(duration):g} s long"
        raise ConfigError(f"`at` {float(at):g} s is not in the video{long}; choose a time in it")
    time = busiest_time(info) if busiest else at if at is not None else (duration or Fraction(0)) / 2
    found = decoded_frame(path, chosen, at=time)
    frame = found.frame
    image = to_rgb(frame.planes, frame.color, frame.layout).clamp(0, 1)
    first = info.start_seconds or Fraction(0)
    return Subject(
        path=path,
        whole=as_shown(image, found.info),
        info=found.info,
        frame=frame,
        time=max(Fraction(0), frame.stamp.seconds - first),
        notes=tuple(found.report.warnings),
    )
