"""Scene cuts and motion of a video, found in one pass over small grey frames.

The thresholds apply to frames whose longer side is `SIDE` pixels. Fine detail is measured
later, when a crop is chosen (`footage`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import av
import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from vsr.errors import InputError
from vsr.frame import VideoInfo
from vsr.media.decoders.decoder import (
    READ_ERRORS,
    choose_stream,
    decoder_of,
    leave_out_others,
    read_packets,
)
from vsr.media.files.opening import open_media, shown

MAX_FRAMES = 20_000
"""Largest number of frames to analyse, a quarter of an hour of film. Of a longer video, `WINDOW` frames at
each of many evenly spaced positions are analysed, and only these are used for training."""
WINDOW = 96
"""Consecutive frames to analyse at each position, from a keyframe on."""
SIDE = 160
"""Longer side in pixels of the grey frames that are compared."""
CUT = 25.5
"""Mean change in code values, and change of this change, that make a scene
cut: 10 %, as in FFmpeg's filter scdet."""
EMPTY = 3.0
"""Standard deviation in code values below which a frame is black or has one colour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneIndex:
    """Facts of each analysed frame of a video, in display order; arrays have the shape `(N,)`."""

    stamps: NDArray[np.int64]
    """Timestamps in ticks; if `seekable` is False, frame numbers from the start of the file."""
    keys: NDArray[np.int64]
    """For each frame, the position in these arrays of the keyframe where decoding starts."""
    begins: NDArray[np.bool_]
    """Whether a frame is the first of a scene: after a cut, or after a gap between analysed frames."""
    usable: NDArray[np.bool_]
    """Whether a frame is intact, progressive, not empty, decodable from a
    keyframe, and of the video's size and format."""
    detail: NDArray[np.float32]
    """Mean absolute gradient in code values of 0 to 255, horizontal plus vertical."""
    motion: NDArray[np.float32]
    """Mean absolute difference from the previous frame in code values; 0 for the first frame of a scene."""
    seekable: bool
    """Whether timestamps always increase, so that they identify a frame."""
    refused: int
    """Number of packets that could not be decoded."""
    interlaced: int
    """Number of frames that are not usable because they are interlaced."""

    def __len__(self) -> int:
        return len(self.stamps)


class _FrameFacts(NamedTuple):
    """Facts of one frame."""

    stamp: int | None
    key: bool
    usable: bool
    detail: float
    motion: float
    interlaced: bool
    begins: bool


def index_video(info: VideoInfo, *, max_frames: int = MAX_FRAMES) -> SceneIndex:
    """Analyse a video in one pass.

    Args:
        info: Facts of the video from `vsr.media.decode.facts.probe.probe`.
        max_frames: Largest number of frames to analyse. A longer video is sampled (see `MAX_FRAMES`), or only
            its beginning is analysed if it is not seekable.

    Raises:
        InputError: It cannot be opened, or no frame can be decoded.
    """
    errors: list[Exception] = []
    facts: list[_FrameFacts] = []
    if expected_frame_count(info) > max_frames:
        facts = list(_analyse_in_places(info, max_frames // WINDOW, errors))
    if not facts or any(look.stamp is None for look in facts):
        errors.clear()
        facts = list(_analyse(info, _first(frames_from(info, None, errors), max_frames)))
    if not facts:
        raise InputError(
            f"{shown(info.path)}: no frame can be decoded. Check that the file plays in a video player"
        )
    return _as_arrays(facts, len(errors))


def expected_frame_count(info: VideoInfo) -> int:
    """Return the number of frames according to the container; 0 if it does not say."""
    if info.frames_promised:
        return info.frames_promised
    return int((info.duration_seconds or 0) * (info.frame_rate or 0))


def frames_from(
    info: VideoInfo, start: int | None, errors: list[Exception], *, seconds_before: int = 0
) -> Iterator[VideoFrame]:
    """Decode frames from the keyframe at or before a timestamp on, on one thread.

    Args:
        info: Facts of the video.
        start: Timestamp in ticks; None decodes from the beginning of the file.
        errors: List to which the decoder's errors are added; the frame of such a packet is missing.
        seconds_before: Seek this much earlier, since some containers seek only approximately.

    Raises:
        InputError: The file can no longer be opened.
    """
    with open_media(info.path) as container:
        stream = choose_stream(container, info.path, index=info.stream_index)
        decoder = decoder_of(stream, threads=1)
        leave_out_others(container, stream)
        if start is not None:
            with suppress(av.FFmpegError):  # a container that cannot seek is read from its beginning
                container.seek(start - round(seconds_before / info.time_base), stream=stream)
        for packet in read_packets(container, errors.append):
            if packet.stream_index != stream.index:
                continue
            try:
                frames = decoder.decode(packet)
            except READ_ERRORS as error:
                errors.append(error)
                continue
            yield from frames
        try:
            yield from decoder.decode(None)
        except READ_ERRORS as error:
            errors.append(error)


def frame_time(frame: VideoFrame) -> int | None:
    """Return a frame's presentation time, or its decoding time if the container stores no other (AVI)."""
    return frame.dts if frame.pts is None else frame.pts


def _first(frames: Iterator[VideoFrame], count: int) -> Iterator[VideoFrame]:
    for number, frame in enumerate(frames):
        if number == count:
            return
        yield frame


def _analyse_in_places(info: VideoInfo, places: int, errors: list[Exception]) -> Iterator[_FrameFacts]:
    """Analyse `WINDOW` frames from each of `places` evenly spaced keyframes on."""
    length = (info.duration_seconds or Fraction(0)) / info.time_base
    begin = (info.start_seconds or Fraction(0)) / info.time_base
    last: int | None = None
    for place in range(places):
        frames = frames_from(info, round(begin + length * place / places), errors)
        facts = list(_analyse(info, _first(_from_key(frames), WINDOW)))
        stamps = [look.stamp for look in facts if look.stamp is not None]
        if not stamps or (last is not None and stamps[0] <= last):
            continue  # the seek found the same keyframe as before
        last = stamps[-1]
        yield from facts


def _from_key(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Skip the frames before the first keyframe, whose references are missing."""
    begun = False
    for frame in frames:
        begun = begun or frame.key_frame
        if begun:
            yield frame


def _analyse(info: VideoInfo, frames: Iterator[VideoFrame]) -> Iterator[_FrameFacts]:
    """Analyse consecutive frames."""
    before: NDArray[np.float32] | None = None
    change_before = 0.0
    for frame in frames:
        grey = _small(frame)
        change = _change(before, grey)
        cut = change is None or min(change, abs(change - change_before)) > CUT
        yield _FrameFacts(
            stamp=frame_time(frame),
            key=frame.key_frame,
            usable=_is_usable(frame, info) and float(grey.std()) >= EMPTY,
            detail=gradient(grey),
            motion=0.0 if cut else change or 0.0,
            interlaced=_is_interlaced(frame, info),
            begins=cut,
        )
        before, change_before = grey, change or 0.0


def _change(before: NDArray[np.float32] | None, grey: NDArray[np.float32]) -> float | None:
    """Return the mean absolute difference in code values; None without a frame to compare with."""
    if before is None or before.shape != grey.shape:
        return None
    return float(np.abs(grey - before).mean())


def _small(frame: VideoFrame) -> NDArray[np.float32]:
    """Return the luma, averaged down to `SIDE` pixels."""
    longer = max(frame.width, frame.height, SIDE)
    width, height = (max(2, side * SIDE // longer) for side in (frame.width, frame.height))
    # See `vsr.media.pixels.planes.repacked` for the single thread.
    small = frame.reformat(width=width, height=height, format="gray", interpolation="AREA", threads=1)
    return small.to_ndarray().astype(np.float32)


def gradient(grey: NDArray[np.float32]) -> float:
    """Return the mean absolute difference of neighbours, horizontal plus vertical."""
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean())


def _is_usable(frame: VideoFrame, info: VideoInfo) -> bool:
    same = (frame.width, frame.height, frame.format.name) == (info.width, info.height, info.pixel_format)
    return same and not frame.is_corrupt and not _is_interlaced(frame, info)


def _is_interlaced(frame: VideoFrame, info: VideoInfo) -> bool:
    """Return whether the frame's own flag, or the container for all frames, says interlaced."""
    return frame.interlaced_frame or info.fields_by_container


def _as_arrays(facts: list[_FrameFacts], refused: int) -> SceneIndex:
    stamps = [look.stamp for look in facts]
    known = [stamp for stamp in stamps if stamp is not None]
    seekable = len(known) == len(stamps) and all(a < b for a, b in pairwise(known))
    key = np.array([look.key for look in facts])
    positions = np.arange(len(facts))
    # Without seeking, decoding always starts at the beginning.
    keys = np.maximum.accumulate(np.where(key, positions, -1)) if seekable else np.zeros_like(positions)
    usable = np.array([look.usable for look in facts])
    return SceneIndex(
        stamps=np.array(known if seekable else positions, np.int64),
        keys=np.maximum(keys, 0),
        begins=np.array([look.begins for look in facts]),
        usable=usable & (keys >= 0),
        detail=np.array([look.detail for look in facts], np.float32),
        motion=np.array([look.motion for look in facts], np.float32),
        seekable=seekable,
        refused=refused,
        interlaced=sum(look.interlaced for look in facts),
    )
