"""Upscales a video or an animation into an animated GIF, PNG or WebP, where one is asked for.

Pillow makes it from a lossless video, and keeps durations and the number of repetitions.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vsr.color.convert import alpha_to_float
from vsr.errors import InputError, OutputError
from vsr.frame import VideoInfo, YuvFrame
from vsr.media.decode.facts.probe import probe
from vsr.media.decode.source import open_video
from vsr.media.files.opening import MAX_PIXELS, shown
from vsr.media.files.output_path import check_target, check_upload, is_taken, write_result
from vsr.media.mux.resumable.work_folder import WorkFolder
from vsr.media.pictures.file import open_picture
from vsr.media.pictures.keeping import kept
from vsr.media.pictures.kinds import Kind, is_animated, opened
from vsr.media.pictures.metadata import Metadata
from vsr.media.pictures.writing import plan_for
from vsr.media.remote.blocks import close_blocks
from vsr.media.remote.places import is_nameless
from vsr.media.remote.reader import open_bytes
from vsr.pipeline.inputfile import sample_in
from vsr.pipeline.job.chosen_settings import ChosenSettings
from vsr.pipeline.job.digests import file_facts
from vsr.pipeline.job.report import Report
from vsr.pipeline.pictures.left_out import left_out, streams_left_out
from vsr.pipeline.pictures.lossless_video import ANY_SIZE, MADE, kept_note, through_video

_FORMATS = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG", ".apng": "PNG"}
"""Maps suffixes to Pillow's names of formats."""
_OPTIONS: dict[str, dict[str, Any]] = {
    "WEBP": {"lossless": True, "exact": True, "quality": 75},
    "PNG": {"disposal": 0, "blend": 0},
}
_MOST_WEBP = 16383
_CHUNKS = (b"cHRM", b"cICP", b"gAMA", b"sRGB", b"tIME")
"""The chunks that Pillow writes into an animated PNG."""


def upscale_to_animation(
    source: Path,
    target: Path,
    chosen: ChosenSettings,
    work: Callable[..., Report],
    *,
    overwrite: bool,
    on_warning: Callable[[str], None] = lambda _: None,
    on_end: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Upscale a video into an animation; the arguments are those of `numbered.upscale_to_pictures`.

    Raises:
        VsrError: See `vsr.errors`; the message is one line.
    """
    info = probe(source, max_pixels=chosen.settings.max_pixels or MAX_PIXELS)
    done = _made_before(target, kept_note(source, target, chosen, info))
    place = check_target(target, source, overwrite=overwrite or done is not None)
    check_upload(target)

    def make(video: Path, folder: WorkFolder | None) -> bytes:
        if done is not None:
            return done
        data = _animation(video, source, target, info)
        if folder is None:
            write_result(data, place, target, overwrite=overwrite)
            return data
        with suppress(OSError):  # the result does not depend on the note
            folder.note({**folder.noted(), MADE: sample_in(io.BytesIO(data))})
        write_result(data, place, target, overwrite=overwrite, temporary=folder.result)
        return data

    notes, kind = left_out_of_animation(source, target, info), _FORMATS[target.suffix.lower()].lower()
    if is_nameless(target):  # no later run could find what is kept
        chosen = replace(chosen, settings=replace(chosen.settings, resume=False))
    with through_video(
        source, target, chosen, work, make, info=info, kind=kind, notes=notes, on_warning=on_warning
    ) as (report, data):
        report.bytes_out = len(data)
        if report.verification is not None:
            report.verification["bytes"] = len(data)
        report.target_file = file_facts(target, hashlib.sha256(data).hexdigest(), pipe_bytes=len(data))
        on_end(report)
        return report


def _made_before(target: Path, note: Mapping[str, Any]) -> bytes | None:
    """Return the animation of a killed run if it has its name; None if it must be made."""
    if MADE not in note or not is_taken(target):
        return None
    close_blocks(target)
    try:
        with open_bytes(target) as file:
            if sample_in(file) != note[MADE]:
                return None
            file.seek(0)
            return file.read()
    finally:
        close_blocks(target)


def check_animation(source: Path, target: Path, chosen: ChosenSettings, *, overwrite: bool) -> VideoInfo:
    """Check, before the work, what can be wrong, and return the facts of the source.

    Raises:
        VsrError: the source cannot be read, or the target not be written.
    """
    check_target(target, source, overwrite=overwrite)
    return probe(source, max_pixels=chosen.settings.max_pixels or MAX_PIXELS)


def left_out_of_animation(source: Path, target: Path, info: VideoInfo) -> list[str]:
    """Return a sentence for each thing that the animation cannot hold."""
    notes = []
    if target.suffix.lower() == ".gif":
        notes.append("GIF has 256 colours a frame, and pixels are transparent or not; not so .webp and .apng")
    phrases = plan_for("webp", info.layout, info.color, lossless=True).notes  # of 8 bits, as all animations
    return [
        *notes,
        *streams_left_out(source, target),
        *left_out([*phrases, *_metadata(source, target, info)[1]]),
    ]


def _metadata(source: Path, target: Path, info: VideoInfo) -> tuple[dict[str, Any], list[str]]:
    """Return Pillow's options for the metadata of an animation, and phrases for what is left out."""
    form = _FORMATS[target.suffix.lower()]
    kind: Kind = "png" if form == "PNG" else "webp"
    keeps = kept(_metadata_of(source), kind, info.tagged, width=1, height=1)
    options: dict[str, Any] = {"exif": keeps.metadata.exif, "icc_profile": keeps.metadata.icc}
    chunks = [chunk for chunk in keeps.metadata.chunks if chunk[0] in _CHUNKS]
    gone = ["texts"] * bool(keeps.metadata.texts) + list(keeps.left_out)
    gone += [f"the chunk {name.decode()}" for name, _ in keeps.metadata.chunks if name not in _CHUNKS]
    if form == "GIF":
        return {}, gone + [name for name, value in options.items() if value]
    if chunks:
        options["pnginfo"] = PngInfo()
        for name, data in chunks:
            options["pnginfo"].add(name, data)
    return {name: value for name, value in options.items() if value}, gone


def _metadata_of(source: Path) -> Metadata:
    """Return the metadata of an animation; that of a video is none of a picture."""
    if not is_animated(source):
        return Metadata()
    try:
        return open_picture(source).metadata
    except InputError:  # larger than the limit: the run itself says so
        return Metadata()


def _animation(video: Path, source: Path, target: Path, info: VideoInfo) -> bytes:
    """Return the animation of the frames of a lossless video."""
    form = _FORMATS[target.suffix.lower()]
    times, options = _times(video), _metadata(source, target, info)[0]
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
    quiet = warnings.catch_warnings(action="ignore")
    with suppress(OSError, ValueError), quiet, opened(source) as file, Image.open(file) as image:
        durations = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            durations.append(float(image.info.get("duration", 0)))
        if len(durations) == count:
            return durations, image.info.get("loop")
    return None
