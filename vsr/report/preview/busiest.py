"""Chooses a frame worth looking at: of key frames all over a video, the one with most detail and motion."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice

import av
import torch
from av import VideoFrame
from av.container import InputContainer
from torch import Tensor

from vsr.errors import VsrError
from vsr.frame import VideoInfo
from vsr.media.files.opening import reopen_media

PLACES = 12
"""Number of places of a video that are looked at."""
FRAMES = 3
"""Frames that are decoded at each place, whose change is the motion."""
_GREY = "gray"


def busiest(info: VideoInfo) -> Fraction:
    """Return the time of the key frame with most detail and motion, in seconds after the first frame.

    Only a few frames at each of `PLACES` are decoded. Where the video cannot be sought in, it is 0.

    Args:
        info: Of the video.
    """
    best = (-1.0, Fraction(0))
    try:
        with reopen_media(info.path) as media:
            for place in range(PLACES):
                best = max(best, _looked_at(media, info, Fraction(place, PLACES)))
    except (VsrError, OSError):
        return Fraction(0)
    return best[1]


def _looked_at(media: InputContainer, info: VideoInfo, place: Fraction) -> tuple[float, Fraction]:
    """Return how busy the key frame before a place is, and its time."""
    stream, start = media.streams.video[0], info.start_seconds or Fraction(0)
    stream = next(one for one in media.streams.video if one.index == info.stream_index)
    at = start + (info.duration_seconds or Fraction(0)) * place
    try:
        media.seek(int(at / info.time_base), stream=stream)
        frames = [one for one in islice(media.decode(stream), FRAMES) if isinstance(one, VideoFrame)]
    except (av.FFmpegError, ValueError, OverflowError):
        return (-1.0, Fraction(0))
    if not frames or frames[0].pts is None or frames[0].is_corrupt:
        return (-1.0, Fraction(0))
    images = [_luma(frame) for frame in frames]
    motion = (images[-1] - images[0]).abs().mean().item() / max(1, len(images) - 1)
    return _detail(images[0]) + motion, max(Fraction(0), frames[0].pts * info.time_base - start)


def _luma(frame: VideoFrame) -> Tensor:
    return torch.from_numpy(frame.to_ndarray(format=_GREY)).to(torch.float32)


def _detail(image: Tensor) -> float:
    """Return the mean absolute difference of neighbours in 8-bit levels."""
    down, right = image.diff(dim=0).abs(), image.diff(dim=1).abs()
    return sum(one.mean().item() for one in (down, right) if one.numel())
