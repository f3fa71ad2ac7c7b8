"""The way to several pictures: a lossless video in a hidden file, from which they are made.

So an interrupted run resumes, and every frame is counted, as for any other video.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from vsr.frame import VideoInfo
from vsr.media.files.opening import shown
from vsr.media.files.output_path import local_place
from vsr.media.remote.places import remote_of
from vsr.pipeline.job.chosen_settings import ChosenSettings
from vsr.pipeline.job.report import Report
from vsr.settings.schema import EncoderSettings

ANY_SIZE = 2**31 - 1
"""A limit of pixels for pictures that were read before, and for a video that vsr wrote."""

Made = TypeVar("Made")


def through_video(
    source: Path,
    target: Path,
    chosen: ChosenSettings,
    work: Callable[..., Report],
    make: Callable[[Path], Made],
    *,
    notes: Sequence[str],
    on_warning: Callable[[str], None],
) -> tuple[Report, Made]:
    """Upscale into the hidden video, make the pictures from it, and remove it.

    Args:
        source: The source.
        target: Where the pictures will be; its folder exists.
        chosen: Settings of the hidden video, see `lossless`.
        work: `vsr.pipeline.run.upscale` or the same with messages; it gets source, file and settings.
        make: Makes the pictures from the hidden video.
        notes: What the pictures cannot hold.
        on_warning: Called with each of them before the work.

    Returns:
        The report of the run with `target` as its target, and what `make` returned.
    """
    for note in notes:
        on_warning(note)
    video = hidden_video(target)
    try:
        report = work(source, video, chosen.settings, overwrite=True)
        made = make(video)
    finally:
        video.unlink(missing_ok=True)
    report.warnings += notes
    report.target = shown(target)
    return report, made


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
