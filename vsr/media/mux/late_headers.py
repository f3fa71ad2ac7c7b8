"""Writes header fields into the closed file that FFmpeg's muxers cannot write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vsr.frame import VideoInfo
from vsr.media.encode.encoder_choice import EncoderPlan
from vsr.media.formats import matroska_track, mp4_track
from vsr.media.formats.containers import Container
from vsr.media.formats.matroska import rescale_file
from vsr.media.formats.matroska_track import needs_finishing
from vsr.media.mux.mark_writing import write_marks
from vsr.media.passthrough.marks import Pending


def complete_headers(
    path: Path,
    info: VideoInfo,
    plan: EncoderPlan,
    container: Container,
    *,
    tick: int | None,
    pending: Sequence[Pending],
) -> None:
    """Write the fields that the muxer could not write into a closed file.

    Args:
        path: Path of the file.
        info: Of the source's video.
        plan: How the video was encoded.
        container: Container of the file.
        tick: Nanoseconds in a tick of Matroska; None for other containers.
        pending: Languages and flags of the streams.
    """
    if tick is not None:
        rescale_file(path, tick)
    matroska = container.family == "matroska"
    if needs_finishing(info) and matroska:
        pixels = container.muxer == "webm"
        matroska_track.finish_track(path, info, width=plan.width, height=plan.height, whole_pixels=pixels)
    elif needs_finishing(info):
        mp4_track.finish_track(path, info, width=plan.width, height=plan.height)
    write_marks(path, pending, matroska=matroska)
