"""Upscales a video or an animation into an animated GIF, PNG or WebP, where one is asked for.

As for numbered pictures, the frames are first made as a lossless video, which Pillow then turns into the
animation: it keeps durations and the number of repetitions.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from vsr.color.convert import alpha_to_float
from vsr.errors import InputError, OutputError
from vsr.frame import VideoInfo, YuvFrame
from vsr.media.decode.facts.probe import probe
from vsr.media.decode.source import open_video
from vsr.media.files.opening import MAX_PIXELS, reopen_media, shown
from vsr.media.files.output_path import check_target
from vsr.media.pictures.file import open_picture
from vsr.media.pictures.keeping import kept
from vsr.media.pictures.kinds import is_animated
from vsr.pipeline.job.chosen_settings import ChosenSettings
from vsr.pipeline.job.digests import file_facts
from vsr.pipeline.job.report import Report
from vsr.pipeline.pictures.numbered import ANY_SIZE, hidden_video, lossless
from vsr.system.last_step import last_step
from vsr.writing import write_whole

_FORMATS = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG", ".apng": "PNG"}
"""Maps suffixes to Pillow's names of formats."""
_OPTIONS: dict[str, dict[str, Any]] = {
    "WEBP": {"lossless": True, "exact": True, "quality": 75},
    "PNG": {"disposal": 0, "blend": 0},
}
_MOST_WEBP = 16383


def upscale_to_animation(
    source: Path,
    target: Path,
    chosen: ChosenSettings,
    work: Callable[..., Report],
    *,
    overwrite: bool,
    on_warning: Callable[[str], None] = lambda _: None,
) -> Report:
    """Upscale a video into an animation; the arguments are those of `numbered.upscale_to_pictures`.

    Raises:
        VsrError: See `vsr.errors`; the message is one line.
    """
    info = check_animation(source, target, chosen, overwrite=overwrite)
    notes = left_out_of_animation(source, target)
    for note in notes:
        on_warning(note)
    video = hidden_video(target)
    try:
        report = work(source, video, lossless(chosen, info).settings, overwrite=True)
        data = _animation(video, source, target)
        with last_step():
            write_whole(target, data)
    finally:
        video.unlink(missing_ok=True)
    report.warnings += notes
    report.target, report.bytes_out = shown(target), len(data)
    report.target_file = file_facts(target, hashlib.sha256(data).hexdigest())
    return report


def check_animation(source: Path, target: Path, chosen: ChosenSettings, *, overwrite: bool) -> VideoInfo:
    """Check, before the work, what can be wrong, and return the facts of the source.

    Raises:
        VsrError: the source cannot be read, or the target not be written.
    """
    check_target(target, source, overwrite=overwrite)
    return probe(source, max_pixels=chosen.settings.max_pixels or MAX_PIXELS)


def left_out_of_animation(source: Path, target: Path) -> list[str]:
    """Return a sentence for each thing that the animation cannot hold."""
    notes = []
    if target.suffix.lower() == ".gif":
        notes.append(
            "GIF has 256 colours a frame, and pixels are transparent or not; .webp and .apng keep all"
        )
    with reopen_media(source) as media:
        others = len(media.streams) - 1
    if others:
        notes.append(f"an animation holds pictures only; {others} other streams of the source are left out")
    if _metadata(source, target)[1]:
        notes.append(f"left out: {'; '.join(_metadata(source, target)[1])}")
    return notes


def _metadata(source: Path, target: Path) -> tuple[dict[str, Any], list[str]]:
    """Return Pillow's options for the metadata of an animation, and phrases for what is left out."""
    if not is_animated(source):
        return {}, []
    try:
        file = open_picture(source)
    except InputError:  # larger than the limit: the run itself says so
        return {}, []
    kind: Any = "webp" if target.suffix.lower() == ".webp" else "png"
    keeps = kept(file.metadata, kind, probe(source).tagged, width=1, height=1)
    options = {"exif": keeps.metadata.exif, "icc_profile": keeps.metadata.icc}
    gone = ["texts"] * bool(keeps.metadata.texts) + list(keeps.left_out)
    if _FORMATS[target.suffix.lower()] == "GIF":
        gone += [name for name, value in options.items() if value]
        return {}, gone
    return {name: value for name, value in options.items() if value}, gone


def _animation(video: Path, source: Path, target: Path) -> bytes:
    """Return the animation of the frames of a lossless video."""
    form = _FORMATS[target.suffix.lower()]
    times, options = _times(video), _metadata(source, target)[0]
    durations, loop = _as_stored(source, len(times)) or (times, 0)
    first = next(iter(_Images(video, 0)))
    if form == "WEBP" and max(first.size) > _MOST_WEBP:
        raise OutputError(f"{shown(target)}: WebP has at most {_MOST_WEBP} pixels a side. Write .apng")
    options |= _OPTIONS.get(form, {})
    if form == "GIF":
        options |= {"disposal": 2} if first.mode == "RGBA" else {}
    if loop is not None:
        options["loop"] = loop
    out = io.BytesIO()
    first.save(out, form, save_all=True, append_images=_Images(video, 1), duration=durations, **options)
    return out.getvalue()


class _Images:
    """The frames of a video from one number on. Pillow iterates over them several times, so they are decoded
    again each time instead of kept in memory."""

    def __init__(self, video: Path, first: int) -> None:
        self._video, self._first = video, first

    def __iter__(self) -> Iterator[Image.Image]:
        with open_video(self._video, max_pixels=ANY_SIZE) as frames:
            for frame in frames.frames(self._first):
                yield _image(frame)


def _image(frame: YuvFrame) -> Image.Image:
    rgb = frame.to_rgb().image.mul(255).round().clamp(0, 255).byte()
    image = Image.fromarray(rgb.permute(1, 2, 0).contiguous().numpy())
    if frame.alpha is not None:
        alpha = alpha_to_float(frame.alpha, frame.layout)[0].mul(255).round().byte()
        image.putalpha(Image.fromarray(alpha.contiguous().numpy()))
    return image


def _times(video: Path) -> list[float]:
    """Return the milliseconds for which each frame is shown, from the times of the video."""
    with open_video(video, max_pixels=ANY_SIZE) as frames:
        stamps = [frame.stamp for frame in frames.frames()]
    starts = [stamp.seconds for stamp in stamps]
    last = stamps[-1].duration * stamps[-1].time_base
    ends = [*starts[1:], starts[-1] + (last or (starts[-1] - starts[0]) / max(1, len(starts) - 1))]
    return [float(end - start) * 1000 for start, end in zip(starts, ends, strict=True)]


def _as_stored(source: Path, count: int) -> tuple[list[float], int | None] | None:
    """Return the durations and repetitions that an animation states; None for videos and parts of one.

    A GIF without a number of repetitions is shown once, which None says.
    """
    if not is_animated(source):
        return None
    with suppress(OSError, ValueError), warnings.catch_warnings(action="ignore"), Image.open(source) as image:
        durations = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            durations.append(float(image.info.get("duration", 0)))
        if len(durations) == count:
            return durations, image.info.get("loop")
    return None
