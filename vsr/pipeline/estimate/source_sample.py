"""Samples of a source's packets: how much more or less the whole video needs than its beginning."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
from av.container import InputContainer

from vsr.errors import VsrError
from vsr.frame import VideoInfo
from vsr.media.files.opening import reopen_media
from vsr.settings.schema import UpscaleSettings

PLACES = 8
"""Number of places of a video that are sampled."""


def size_ratio(
    source: Path, info: VideoInfo, settings: UpscaleSettings, frames: int
) -> tuple[float, float] | None:
    """Compare the bytes of a video's packets at places of the whole range with those at its beginning.

    Every sample begins at a key frame, also that of the beginning, so that key frames weigh the same in all.

    Args:
        source: The input file.
        info: Of its video.
        settings: Of the run; `start` and `end` limit the range.
        frames: Number of packets in each sample.

    Returns:
        Mean size in the range over mean size at its beginning, and the relative standard error of the first;
        None where the file cannot be sampled.
    """
    if info.duration_seconds is None or frames < 1:
        return None
    begin = settings.start or Fraction(0)
    end = min(settings.end or info.duration_seconds, info.duration_seconds)
    times = [begin + (end - begin) * place / PLACES for place in range(PLACES)]
    try:
        with reopen_media(source) as media:
            means = [_mean_size(media, info, time, frames) for time in times]
    except (av.FFmpegError, VsrError, OSError, ValueError):
        return None
    return _ratio([mean for mean in means if mean])


def _mean_size(media: InputContainer, info: VideoInfo, time: Fraction, frames: int) -> float:
    """Return the mean bytes of packets from the key frame before a time on."""
    stream = media.streams[info.stream_index]
    at = (info.start_seconds or Fraction(0)) + time
    media.seek(int(at / info.time_base), stream=stream)
    sizes = [packet.size for packet in islice(media.demux(stream), frames) if packet.size]
    return statistics.fmean(sizes) if sizes else 0.0


def _ratio(means: Sequence[float]) -> tuple[float, float] | None:
    if len(means) < 3:
        return None
    whole = statistics.fmean(means)
    return whole / means[0], statistics.stdev(means) / whole / math.sqrt(len(means))
