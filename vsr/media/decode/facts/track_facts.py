"""Facts about the video in the container that PyAV does not expose: cropping and the Dolby Vision profile."""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass

from av import VideoStream
from av.container import InputContainer

from vsr.frame import Crop, DolbyVision
from vsr.media.decoders.decoder import video_streams_of
from vsr.media.files.stdio import is_pipe
from vsr.media.formats import matroska_track, mp4_track

logger = logging.getLogger(__name__)

_CONFIG = 5
"""Length in bytes of a Dolby Vision configuration record up to the field for base layer compatibility."""
_ALONE = frozenset({5, 10, 20})
"""Dolby Vision profiles whose base layer cannot be shown on other displays if its compatibility is 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackFacts:
    """The facts in the container's entry of a video track."""

    crop: Crop | None = None
    """Borders of each frame that the container hides; None if it shows the whole frame."""
    dolby_vision: DolbyVision | None = None


def track_facts(container: InputContainer, stream: VideoStream, path: str) -> TrackFacts:
    """Read the container's entry of `stream`; the result is empty where there is none, or where it is
    damaged.

    Args:
        container: An open container; nothing is read from it.
        stream: One of its video streams.
        path: Path of the file.
    """
    kind = container.format.name
    try:
        if not is_pipe(path) and kind.startswith("matroska"):
            number = [video.index for video in video_streams_of(container)].index(stream.index)
            entry = matroska_track.track_entry(path, number)
            return _facts(matroska_track.crop_of(entry), matroska_track.dolby_config_of(entry), stream)
        if not is_pipe(path) and kind.startswith("mov"):
            entry = mp4_track.sample_entry(path, stream.id)
            return _facts(mp4_track.crop_of(entry), mp4_track.dolby_config_of(entry), stream)
    except (OSError, ValueError, struct.error) as error:
        logger.debug("%s: its container's entry of the video cannot be read (%s)", path, error)
    return TrackFacts()


def _facts(crop: Crop | None, config: bytes | None, stream: VideoStream) -> TrackFacts:
    return TrackFacts(
        crop=None if crop is None else _within(crop, stream),
        dolby_vision=None if config is None else _dolby_vision(config),
    )


def _dolby_vision(config: bytes) -> DolbyVision | None:
    if len(config) < _CONFIG:
        return None
    profile, compatibility = config[2] >> 1, config[4] >> 4
    return DolbyVision(profile=profile, viewable=bool(compatibility) or profile not in _ALONE)


def _within(crop: Crop, stream: VideoStream) -> Crop | None:
    """Return `crop`, or None if it leaves nothing of the frame."""
    width, height = stream.codec_context.width, stream.codec_context.height
    return crop if crop.left + crop.right < width and crop.top + crop.bottom < height else None
