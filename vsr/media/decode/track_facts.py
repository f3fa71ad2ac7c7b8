"""What a container says of the picture and PyAV does not show: hidden borders, Dolby Vision's profile."""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass

from av import VideoStream
from av.container import InputContainer

from vsr.frame import Crop, DolbyVision
from vsr.media.decoders.decoder import films_of
from vsr.media.files.stdio import is_pipe
from vsr.media.formats import matroska_track, mp4_track

logger = logging.getLogger(__name__)

_CONFIG = 5
"""Bytes of a configuration of Dolby Vision up to the base layer's compatibility."""
_ALONE = frozenset({5, 10, 20})
"""Profiles whose base layer is for Dolby Vision alone where they say so: compatible with nothing (0)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackFacts:
    """What the container's entry of a video track says."""

    crop: Crop | None = None
    """What it hides of each picture; None where it shows all."""
    dolby_vision: DolbyVision | None = None


def track_facts(container: InputContainer, stream: VideoStream, path: str) -> TrackFacts:
    """Read the entry of `stream`; nothing where the container has none, or where it is damaged.

    Args:
        container: Open; it is not read from.
        stream: One of its video streams.
        path: Of the file.
    """
    kind = container.format.name
    try:
        if not is_pipe(path) and kind.startswith("matroska"):
            number = [film.index for film in films_of(container)].index(stream.index)
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
    """None for one that leaves nothing of the picture."""
    width, height = stream.codec_context.width, stream.codec_context.height
    return crop if crop.left + crop.right < width and crop.top + crop.bottom < height else None
