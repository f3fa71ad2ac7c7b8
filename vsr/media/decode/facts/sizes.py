"""Finds the size of a stream whose frame size changes: the container's, or the largest undamaged one."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain, islice

import av
from av import VideoStream
from av.container import InputContainer

from vsr.frame import VideoInfo
from vsr.media.decoders.concatenated import can_start_over
from vsr.media.decoders.decoder import (
    RAW,
    READ_ERRORS,
    choose_stream,
    leave_out_others,
    read_packets,
    video_streams_of,
)
from vsr.media.files.opening import MAX_PIXELS, open_media
from vsr.media.files.pyav import fraction
from vsr.media.files.stdio import is_pipe
from vsr.media.formats import matroska_track, mp4_track
from vsr.media.remote.reader import size_of

WHOLE = 1 << 26
"""File size in bytes up to which all key frames are checked: about a second of work."""
PLACES = 32
"""The number of evenly spread positions at which larger files are checked."""
_NEAR = 2000
"""The largest number of packets read in search of a key frame."""

Size = tuple[int, int]


def with_lasting_size(info: VideoInfo, *, max_pixels: int = MAX_PIXELS) -> VideoInfo:
    """Return `info` with the size that suits the whole stream, not only its first frame.

    The size can change in broadcasts, in files joined byte by byte, and where the container's size differs
    from that of the first frame. For all other files nothing is decoded.

    Args:
        info: As returned by `probe`.
        max_pixels: Larger frames are ignored.
    """
    if is_pipe(info.path):
        return info
    first = (info.width, info.height)
    with open_media(info.path, max_pixels=max_pixels) as container:
        stream = choose_stream(container, info.path, index=info.stream_index)
        stated = _stated(container, stream, info.path)
        unstated = can_start_over(container) or container.format.name in RAW
        if not unstated and stated in (first, None):
            return info
        found = dict(_key_frames(container, stream, size_of(info.path), bytewise=unstated))
    if stated in found:
        return replace(info, width=stated[0], height=stated[1])
    width, height = max(found or [first], key=lambda size: size[0] * size[1])
    if (width, height) == first:
        return info
    pixel = found[width, height] or info.sample_aspect_ratio
    return replace(info, width=width, height=height, sample_aspect_ratio=pixel)


def _stated(container: InputContainer, stream: VideoStream, path: str) -> Size | None:
    """Return the size that the container states. FFmpeg replaces it by the size of the first frame."""
    try:
        if container.format.name.startswith("matroska"):
            number = [video.index for video in video_streams_of(container)].index(stream.index)
            return matroska_track.stated_size(path, number)
        if container.format.name.startswith("mov"):
            return mp4_track.stated_size(path, stream.id)
    except (OSError, ValueError, struct.error):  # damaged, or of an unknown form
        return None
    return None


def _key_frames(
    container: InputContainer, stream: VideoStream, length: int, *, bytewise: bool
) -> Iterator[tuple[Size, Fraction | None]]:
    """Yield the size and sample aspect ratio of undamaged key frames from all over the file."""
    leave_out_others(container, stream)
    stream.codec_context.skip_frame = "NONKEY"
    if length <= WHOLE:
        yield from _decoded(container, stream)
        return
    for place in range(PLACES):
        try:
            if bytewise:
                container.seek(length * place // PLACES, unsupported_byte_offset=True)
            else:
                container.seek((container.duration or 0) * place // PLACES)
        except av.FFmpegError:
            return
        yield from islice(_decoded(container, stream, most=_NEAR), 1)


def _decoded(
    container: InputContainer, stream: VideoStream, *, most: int | None = None
) -> Iterator[tuple[Size, Fraction | None]]:
    decoder = stream.codec_context
    packets = islice(read_packets(container, lambda _: None), most)
    for packet in chain((one for one in packets if one.stream_index == stream.index), [None]):
        try:
            for frame in decoder.decode(packet):
                if frame.is_corrupt:  # a damaged header can state any size
                    continue
                yield (frame.width, frame.height), fraction(decoder.sample_aspect_ratio)
        except READ_ERRORS:
            continue
