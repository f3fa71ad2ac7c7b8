"""Borders that a container hides: Matroska's PixelCrop, MP4's clean aperture; PyAV shows neither."""

from __future__ import annotations

import logging
import struct

from av import VideoStream
from av.container import InputContainer

from vsr.frame import Crop
from vsr.media import matroska_track, mp4_track
from vsr.media.decoder import films_of
from vsr.media.pipes import is_pipe

logger = logging.getLogger(__name__)


def crop_of(container: InputContainer, stream: VideoStream, path: str) -> Crop | None:
    """What the container hides of `stream`'s pictures; None where it shows all of them, or cannot be asked.

    Args:
        container: Open; it is not read from.
        stream: One of its video streams.
        path: Of the file.
    """
    kind = container.format.name
    if is_pipe(path):
        return None
    try:
        if kind.startswith("matroska"):
            number = [film.index for film in films_of(container)].index(stream.index)
            return _within(matroska_track.crop_of(path, number), stream)
        if kind.startswith("mov"):
            return _within(mp4_track.crop_of(path, stream.id), stream)
    except (OSError, ValueError, struct.error) as error:
        logger.debug("%s: what its container hides of the picture cannot be read (%s)", path, error)
    return None


def _within(crop: Crop | None, stream: VideoStream) -> Crop | None:
    """None for one that leaves nothing of the picture."""
    if crop is None:
        return None
    width, height = stream.codec_context.width, stream.codec_context.height
    return crop if crop.left + crop.right < width and crop.top + crop.bottom < height else None
