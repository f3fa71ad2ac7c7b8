"""The way to several pictures: a lossless video in a hidden file, from which they are made.

So an interrupted run resumes, and every frame is counted, as for any other video.
"""

from __future__ import annotations

import hashlib
import os
import time
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
from vsr.pipeline.job.run_facts import now
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
    info: VideoInfo,
    kind: str,
    notes: Sequence[str],
    on_warning: Callable[[str], None],
) -> tuple[Report, Made]:
    """Upscale into the hidden video, make the pictures from it, and remove it.

    Args:
        source: The source.
        target: Where the pictures will be; its folder exists.
        chosen: Settings of the run; those of the encoder do not apply.
        work: `vsr.pipeline.run.upscale` or the same with messages; it gets source, file and settings.
        make: Makes the pictures from the hidden video.
        info: Of the source.
        kind: The format of the pictures.
        notes: What the pictures cannot hold.
        on_warning: Called with each of them before the work.

    Returns:
        The report, which describes the pictures and not the hidden video, and what `make` returned.
    """
    notes = [*notes, *unused_settings(chosen.settings.encoder)]
    for note in notes:
        on_warning(note)
    video = hidden_video(target)
    try:
        report = work(source, video, lossless(chosen, info))
        begun = time.perf_counter()
        made = make(video)
    finally:
        video.unlink(missing_ok=True)
    report.warnings += notes
    report.target = shown(target)
    report.seconds += time.perf_counter() - begun
    report.ended = now()
    _describe_pictures(report, chosen, kind)
    return report, made


def _describe_pictures(report: Report, chosen: ChosenSettings, kind: str) -> None:
    """Make the report of the hidden video that of the pictures, which hold no other streams."""
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
