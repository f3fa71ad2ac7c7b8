"""The way to several pictures: a lossless video in a hidden file, from which they are made.

So an interrupted run resumes, and every frame is counted, as for any other video. The work folder of the
hidden video stays until the pictures have their names. Its note says what is complete, the video or the
pictures, so that the next run continues where a killed one has ended.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from vsr.errors import OutputError, VsrError
from vsr.frame import VideoInfo
from vsr.media.files.opening import shown
from vsr.media.files.output_path import local_place
from vsr.media.mux.resumable.entry import folder_of
from vsr.media.mux.resumable.work_folder import WorkFolder
from vsr.media.remote.places import remote_of
from vsr.pipeline.job.chosen_settings import ChosenSettings
from vsr.pipeline.job.completed import is_note_of, is_result
from vsr.pipeline.job.report import Report, report_of
from vsr.pipeline.job.run_facts import now
from vsr.settings.schema import EncoderSettings

ANY_SIZE = 2**31 - 1
"""A limit of pixels for pictures that were read before, and for a video that vsr wrote."""

MADE = "made"
"""Key of the note under which complete pictures are described, before the first one gets its name."""

Made = TypeVar("Made")


@contextmanager
def through_video(
    source: Path,
    target: Path,
    chosen: ChosenSettings,
    work: Callable[..., Report],
    make: Callable[[Path, WorkFolder | None], Made],
    *,
    info: VideoInfo,
    kind: str,
    notes: Sequence[str],
    on_warning: Callable[[str], None],
) -> Generator[tuple[Report, Made], None, None]:
    """Upscale into the hidden video, and make the pictures from it. At the end the video is removed.

    Args:
        source: The source.
        target: Where the pictures will be; its folder exists.
        chosen: Settings of the run; those of the encoder do not apply.
        work: `vsr.pipeline.run.upscale` or the same with messages; it gets source, file and settings.
        make: Makes the pictures from the hidden video. It also gets the work folder of the video, if the file
            system supports one.
        info: Of the source.
        kind: The format of the pictures.
        notes: What the pictures cannot hold.
        on_warning: Called with each of them before the work.

    Yields:
        The report, which describes the pictures and not the hidden video, and what `make` returned.
    """
    notes = [*notes, *unused_settings(chosen.settings.encoder)]
    for note in notes:
        on_warning(note)
    video = hidden_video(target)
    if video.is_symlink():  # somebody has put it there, so that another file is overwritten
        video.unlink()
    folder: WorkFolder | None = None
    try:
        report = _report_of_kept(source, target, chosen, info) or work(source, video, lossless(chosen, info))
        folder, begun = _held(target), time.perf_counter()
        made = make(video, folder)
        report.warnings += notes
        report.target = shown(target)
        report.seconds += time.perf_counter() - begun
        report.ended = now()
        _describe_pictures(report, chosen, kind)
        yield report, made
    finally:
        with suppress(OSError):
            video.unlink()
        if folder is not None:
            folder.leave(done=True)
        elif folder_of(video).is_dir():  # the run was stopped; segments stay, a note about the video does not
            with suppress(OSError, VsrError):
                WorkFolder(video).leave(done=False)


def kept_note(source: Path, target: Path, chosen: ChosenSettings, info: VideoInfo) -> dict[str, Any]:
    """Return the note about the hidden video of a run that was killed; empty if there is none of this job.

    Args:
        source: The source.
        target: Where the pictures will be.
        chosen: Settings of the run.
        info: Of the source.

    Raises:
        OutputError: another process makes these pictures.
    """
    video = hidden_video(target)
    if chosen.settings.restart or not folder_of(video).is_dir():
        return {}
    folder, note = WorkFolder(video, shown(target)), dict[str, Any]()
    with suppress(OSError, VsrError):
        found = folder.noted()
        if found and is_note_of(found, source, lossless(chosen, info), video):
            note = found if MADE in found or is_result(video, found) else {}
    folder.leave(done=False, keep_note=True)
    return note


def _report_of_kept(source: Path, target: Path, chosen: ChosenSettings, info: VideoInfo) -> Report | None:
    """Return the report of a complete hidden video, which need not be made again."""
    note = kept_note(source, target, chosen, info)
    with suppress(LookupError, TypeError):
        return report_of(note["report"], info)
    return None


def _held(target: Path) -> WorkFolder | None:
    """Lock the work folder of the hidden video; None if the file system does not support that.

    Raises:
        OutputError: another process makes these pictures.
    """
    try:
        return WorkFolder(hidden_video(target), shown(target))
    except OutputError as error:
        if isinstance(error.__cause__, BlockingIOError):
            raise
        return None


def _describe_pictures(report: Report, chosen: ChosenSettings, kind: str) -> None:
    """Change the report of the hidden video into one of the pictures, which contain no other streams."""
    report.settings = {
        key: {"value": value, "from": origin} for key, (value, origin) in chosen.rows().items()
    }
    report.encoder |= {"codec": kind, "options": {}}
    report.streams = [
        replace(stream, to=kind)
        if stream.fate == "upscaled"
        else replace(stream, fate="left out", to="", reason="pictures hold no other streams")
        for stream in report.streams
    ]
    if report.verification is not None:
        report.verification |= {"streams": 0, "packets": 0}


def unused_settings(encoder: EncoderSettings) -> list[str]:
    """Return a warning if settings of the encoder are given, which pictures do not have."""
    unused = encoder != EncoderSettings()
    return ["not used for pictures: the settings of the encoder"] if unused else []


def hidden_video(target: Path) -> Path:
    """Return the path of the lossless video from which pictures are made."""
    place = target if remote_of(target) is None else local_place(target)
    return place.parent / f".vsr-{hashlib.sha256(os.fsencode(place.name)).hexdigest()[:12]}.mkv"


def lossless(chosen: ChosenSettings, info: VideoInfo) -> ChosenSettings:
    """Return the settings for the lossless video, in R'G'B' unless the source is grey."""
    layout = info.layout
    rgb = "gbrap" if layout.alpha else "gbrp"
    deep = "gbrap16le" if layout.alpha else "gbrp16le"
    pixel_format = None if layout.family != "yuv" else rgb if layout.bit_depth == 8 else deep
    encoder = EncoderSettings(encoder="ffv1", pixel_format=pixel_format)
    return replace(chosen, settings=replace(chosen.settings, encoder=encoder))
