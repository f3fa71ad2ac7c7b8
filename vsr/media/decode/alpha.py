"""Whether frames of a format with alpha are transparent anywhere. GIF is always decoded with alpha, and
hardly ever uses it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from av import VideoFrame

from vsr.frame import VideoInfo
from vsr.media.decoders.decoder import READ_ERRORS, choose_stream, decoder_of, read_packets
from vsr.media.files.opening import MAX_PIXELS, reopen_media

_OPAQUE = 255


def without_unused_alpha(info: VideoInfo) -> VideoInfo:
    """The same, its layout without alpha where it is a GIF of opaque pictures only.

    All pictures are decoded for it, up to the first transparent one. The file's flag for transparency is no
    answer: most GIFs set it only to leave out what has not changed since the picture before.

    Args:
        info: Of the source's picture; any codec.
    """
    if info.codec != "gif" or not info.layout.alpha or not _is_opaque(info):
        return info
    return replace(info, layout=replace(info.layout, alpha=False))


def _is_opaque(info: VideoInfo) -> bool:
    with reopen_media(info.path) as media:
        stream = choose_stream(media, info.path, index=info.stream_index)
        decoder = decoder_of(stream, max_pixels=max(MAX_PIXELS, info.width * info.height))
        for packet in read_packets(media, lambda _: None):
            try:
                frames = decoder.decode(packet)
            except READ_ERRORS:  # counted when it is decoded for good
                continue
            if not all(_has_opaque_samples(frame) for frame in frames):
                return False
    return True


def _has_opaque_samples(frame: VideoFrame) -> bool:
    """Whether all alpha samples of a picture are 255; read where FFmpeg put them, as there may be many."""
    frame = frame if frame.format.name == "bgra" else frame.reformat(format="bgra", threads=1)
    rows = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(frame.height, -1)
    return bool((rows[:, 3 : 4 * frame.width : 4] == _OPAQUE).all())
