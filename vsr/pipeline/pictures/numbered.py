"""Upscales a video into numbered pictures: `frames/%05d.png`.

The video is first made as a lossless one in a hidden file beside the pictures, so that an interrupted run
resumes and every frame is counted. Its frames then become pictures, which get their names when all of them
are complete.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from vsr.color.convert import alpha_to_float, alpha_to_plane, to_planes
from vsr.color.spec import UNTAGGED
from vsr.errors import ConfigError, InputError, OutputError
from vsr.frame import VideoInfo, YuvFrame
from vsr.media.decode.facts.probe import probe
from vsr.media.decode.source import open_video
from vsr.media.files.opening import MAX_PIXELS, reopen_media, shown
from vsr.media.files.output_path import put_in_place
from vsr.media.pictures.exif import orientation_of
from vsr.media.pictures.file import open_picture
from vsr.media.pictures.keeping import kept
from vsr.media.pictures.kinds import TARGETS, Kind
from vsr.media.pictures.metadata import Metadata
from vsr.media.pictures.reading import turned
from vsr.media.pictures.sequence import files_behind, numbered
from vsr.media.pictures.writing import encoded, plan_for
from vsr.pipeline.job.chosen_settings import ChosenSettings
from vsr.pipeline.job.digests import file_facts
from vsr.pipeline.job.report import Report
from vsr.settings.schema import EncoderSettings
from vsr.system.last_step import last_step
from vsr.writing import new_file

ANY_SIZE = 2**31 - 1
"""A limit of pixels for pictures that were read before, and for a video that vsr wrote."""
_FIRST = 1
"""Number of the first picture of a video, as in FFmpeg."""


def upscale_to_pictures(
    source: Path,
    target: Path,
    chosen: ChosenSettings,
    work: Callable[..., Report],
    *,
    overwrite: bool,
    on_warning: Callable[[str], None] = lambda _: None,
) -> Report:
    """Upscale a video into numbered pictures.

    Args:
        source: A video, or the path that stands for numbered pictures.
        target: The pattern of the pictures' names.
        chosen: Settings of the run; those of the encoder do not apply.
        work: `vsr.pipeline.run.upscale` or the same with messages; it gets source, file and settings.
        overwrite: Whether pictures of these names are replaced.
        on_warning: Called before the work with a sentence for each thing that the pictures cannot hold.

    Raises:
        VsrError: See `vsr.errors`; the message is one line.
    """
    files = files_behind(source)
    info = check_pictures(source, target, chosen, overwrite=overwrite)
    notes = left_out(source, target)
    for note in notes:
        on_warning(note)
    target.parent.mkdir(parents=True, exist_ok=True)
    video = hidden_video(target)
    try:
        report = work(source, video, lossless(chosen, info).settings, overwrite=True)
        report.bytes_out = write_pictures(video, files, target, overwrite=overwrite)
    finally:
        video.unlink(missing_ok=True)
    report.warnings += notes
    report.target = shown(target)
    report.target_file = file_facts(target, None) | {"bytes": report.bytes_out}
    return report


def check_pictures(source: Path, target: Path, chosen: ChosenSettings, *, overwrite: bool) -> VideoInfo:
    """Check, before the work, what can be wrong, and return the facts of the source.

    Raises:
        ConfigError: the pattern's suffix is none of pictures, a picture of such a name exists, or only a part
            of the video is wanted.
        VsrError: the source cannot be read.
    """
    if chosen.settings.start is not None or chosen.settings.end is not None:
        raise ConfigError("numbered pictures are written of the whole video; leave out `start` and `end`")
    if target.suffix.lower() not in TARGETS:
        known = ", ".join(TARGETS)
        raise ConfigError(f"{shown(target)}: numbered pictures are written as {known}")
    info = probe(source, max_pixels=chosen.settings.max_pixels or MAX_PIXELS)
    taken = numbered(target, _first_number(files_behind(source)))
    if taken.exists() and not overwrite:
        raise ConfigError(f"{shown(taken)}: exists already; `overwrite=True` replaces it")
    return info


def hidden_video(target: Path) -> Path:
    """Return the path of the lossless video from which pictures are made."""
    return target.parent / f".vsr-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]}.mkv"


def lossless(chosen: ChosenSettings, info: VideoInfo) -> ChosenSettings:
    """Return the settings for the lossless video, in R'G'B' unless the source is grey."""
    layout = info.layout
    rgb = "gbrap" if layout.alpha else "gbrp"
    deep = "gbrap16le" if layout.alpha else "gbrp16le"
    pixel_format = None if layout.family != "yuv" else rgb if layout.bit_depth == 8 else deep
    encoder = EncoderSettings(encoder="ffv1", pixel_format=pixel_format)
    return replace(chosen, settings=replace(chosen.settings, encoder=encoder))


def left_out(source: Path, target: Path) -> list[str]:
    """Return a sentence for what pictures cannot hold: other streams, and times."""
    if files_behind(source):
        return []
    with reopen_media(source) as media:
        others = len(media.streams) - 1
    notes = ["numbered pictures have no times; `vsr info` shows the frame rate of the source"]
    if others:
        notes.append(f"{shown(target)}: pictures only; {others} other streams of the source are left out")
    return notes


def write_pictures(video: Path, files: Sequence[Path], target: Path, *, overwrite: bool) -> int:
    """Write the frames of the lossless video as pictures, and return their bytes.

    Args:
        video: The lossless video.
        files: The pictures of the source, if it is of pictures; theirs are the numbers and the metadata.
        target: The pattern of the names.
        overwrite: Whether existing pictures are replaced.

    Raises:
        OutputError: the disk refuses, or a name was taken meanwhile.
    """
    waiting = target.parent / f"{video.name}.pictures"
    shutil.rmtree(waiting, ignore_errors=True)
    try:
        waiting.mkdir()
        total, made = 0, []
        for number, data in enumerate(_pictures(video, files, target), _first_number(files)):
            place = numbered(waiting / target.name, number)
            with new_file(place) as file:
                file.write(data)
            made.append(place)
            total += len(data)
        with last_step():
            for place in made:  # all of them are complete
                put_in_place(place, target.parent / place.name, overwrite=overwrite)
    except OSError as error:
        raise OutputError(
            f"{shown(target)}: cannot be written ({error.strerror or error}). Make room, and run it again"
        ) from error
    finally:
        shutil.rmtree(waiting, ignore_errors=True)
    return total


def _first_number(files: Sequence[Path]) -> int:
    """Return the number of the first picture: that of the source, if its pictures are numbered."""
    digits = "".join(char for char in files[0].stem[::-1] if char.isdecimal())[::-1] if files else ""
    return int(digits) if digits and files[0].stem.endswith(digits) else _FIRST


def _pictures(video: Path, files: Sequence[Path], target: Path) -> Iterator[bytes]:
    kind = TARGETS[target.suffix.lower()]
    with open_video(video, max_pixels=ANY_SIZE) as frames:
        for number, frame in enumerate(frames.frames()):
            metadata = _metadata(files[number]) if number < len(files) else Metadata()
            yield _picture(frame, kind, metadata)


def _metadata(path: Path) -> Metadata:
    try:
        return open_picture(path, max_pixels=ANY_SIZE).metadata
    except InputError:  # the damage was counted when the frame was decoded
        return Metadata()


def _picture(frame: YuvFrame, kind: Kind, metadata: Metadata) -> bytes:
    plan = plan_for(kind, frame.layout, frame.color, lossless=True)
    image = frame.to_rgb().image
    alpha = None if frame.alpha is None else alpha_to_float(frame.alpha, frame.layout)
    if alpha is not None and not plan.layout.alpha:
        image, alpha = image * alpha + (1 - alpha), None
    orientation = orientation_of(metadata.exif)
    image = turned(image, orientation)
    made = YuvFrame(
        planes=to_planes(image, plan.color, plan.layout),
        alpha=None if alpha is None else alpha_to_plane(turned(alpha, orientation), plan.layout),
        layout=plan.layout,
        color=plan.color,
        stamp=frame.stamp,
    )
    height, width = image.shape[1:]
    return encoded(made, plan, kept(metadata, kind, UNTAGGED, width=width, height=height).metadata)
