"""Finds out whether a GIF has transparent pixels.

FFmpeg decodes every GIF to a format with alpha, although few GIFs are transparent.
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
    """Return `info` with a layout without alpha if the stream is a GIF whose frames are all opaque.

    For this, all frames are decoded, up to the first transparent one. The transparency flag in the file does
    not help: most GIFs set it only to skip pixels that have not changed since the previous frame.

    Args:
        info: Of the source video, with any codec.
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
            except READ_ERRORS:  # the damage is counted when the stream is decoded for the run
                continue
            if not all(_has_opaque_samples(frame) for frame in frames):
                return False
    return True


def _has_opaque_samples(frame: VideoFrame) -> bool:
    """Return whether all alpha samples of a frame are 255, read from FFmpeg's buffer without a copy."""
    frame = frame if frame.format.name == "bgra" else frame.reformat(format="bgra", threads=1)
    rows = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(frame.height, -1)
    return bool((rows[:, 3 : 4 * frame.width : 4] == _OPAQUE).all())
