"""Scene cuts and motion of a video, found in one pass at low resolution.

The thresholds are for small grey pictures, `SIDE` pixels on the longer side. Fine detail is judged later,
when a crop is chosen (`footage`).
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

MOST = 20_000
"""Pictures looked at: a quarter of an hour of film. Of a longer video, `WINDOW` pictures from each of many
places, evenly spread, are looked at, and nothing else of it is trained on."""
WINDOW = 96
"""Pictures in a row, from a key picture on."""
SIDE = 160
"""Pixels on the longer side of the grey pictures that are compared."""
CUT = 25.5
"""Codes of mean change, and of change of the change, that make a cut: 10 %, as FFmpeg's filter scdet."""
EMPTY = 3.0
"""Standard deviation in codes below which a picture is black, or of one colour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneIndex:
    """What is known of each picture of a video, in the order in which they are shown; arrays `(N,)`."""

    stamps: NDArray[np.int64]
    """Timestamps in ticks; numbers counted from the start of the file where `seekable` is False."""
    keys: NDArray[np.int64]
    """Position in these arrays of the key picture from which a picture is decoded."""
    begins: NDArray[np.bool_]
    """First of a scene: after a cut, or where the pictures looked at are not contiguous."""
    usable: NDArray[np.bool_]
    """Intact, progressive, of the size and format of the first, after a key picture, and not empty."""
    detail: NDArray[np.float32]
    """Mean absolute gradient in codes of 0 to 255, horizontal plus vertical."""
    motion: NDArray[np.float32]
    """Mean absolute difference to the picture before in codes; 0 where a scene begins."""
    seekable: bool
    """Whether timestamps rise throughout, so that a picture can be found by its own."""
    refused: int
    """Packets that could not be decoded."""
    interlaced: int
    """Pictures that are not usable for being interlaced."""

    def __len__(self) -> int:
        return len(self.stamps)


class _Look(NamedTuple):
    """What one picture says by itself."""

    stamp: int | None
    key: bool
    usable: bool
    detail: float
    motion: float
    interlaced: bool
    begins: bool


def index_video(info: VideoInfo, *, most: int = MOST) -> SceneIndex:
    """Look at a video once.

    Args:
        info: Of the video, from `vsr.media.decode.probe.probe`.
        most: Pictures to look at; a longer video is looked at in places (`MOST`), or, where it cannot be
            sought in, from its beginning only.

    Raises:
        InputError: it cannot be opened, or no picture can be decoded.
    """
    errors: list[Exception] = []
    looks: list[_Look] = []
    if expected_pictures(info) > most:
        looks = list(_look_in_places(info, most // WINDOW, errors))
    if not looks or any(look.stamp is None for look in looks):
        errors.clear()
        looks = list(_look(info, _first(pictures_from(info, None, errors), most)))
    if not looks:
        raise InputError(f"{shown(info.path)}: no picture can be decoded. Try to play it")
    return _as_arrays(looks, len(errors))


def expected_pictures(info: VideoInfo) -> int:
    """How many pictures a video has, as far as its container says; 0 where it does not."""
    if info.frames_promised:
        return info.frames_promised
    return int((info.duration_seconds or 0) * (info.frame_rate or 0))


def pictures_from(
    info: VideoInfo, start: int | None, errors: list[Exception], *, seconds_before: int = 0
) -> Iterator[VideoFrame]:
    """Decode on from the key picture at or before a timestamp, on one thread.

    Args:
        info: Of the video.
        start: Timestamp in ticks; None decodes from the beginning of the file.
        errors: Takes what the decoder refuses; that packet's picture is missing then.
        seconds_before: Seek so much earlier: some containers only find places roughly.

    Raises:
        InputError: the file cannot be opened any more.
    """
    with open_media(info.path) as container:
        stream = choose_stream(container, info.path, index=info.stream_index)
        decoder = decoder_of(stream, threads=1)
        leave_out_others(container, stream)
        if start is not None:
            with suppress(av.FFmpegError):  # a container without an index is read from its beginning
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


def own_stamp(frame: VideoFrame) -> int | None:
    """A picture's timestamp; that of its decoding where it has no other (AVI)."""
    return frame.dts if frame.pts is None else frame.pts


def _first(frames: Iterator[VideoFrame], count: int) -> Iterator[VideoFrame]:
    for number, frame in enumerate(frames):
        if number == count:
            return
        yield frame


def _look_in_places(info: VideoInfo, places: int, errors: list[Exception]) -> Iterator[_Look]:
    """Look at `WINDOW` pictures from each of `places` key pictures that lie evenly spread."""
    length = (info.duration_seconds or Fraction(0)) / info.time_base
    begin = (info.start_seconds or Fraction(0)) / info.time_base
    last: int | None = None
    for place in range(places):
        frames = pictures_from(info, round(begin + length * place / places), errors)
        looks = list(_look(info, _first(_from_key(frames), WINDOW)))
        stamps = [look.stamp for look in looks if look.stamp is not None]
        if not stamps or (last is not None and stamps[0] <= last):
            continue  # two places found the same key picture
        last = stamps[-1]
        yield from looks


def _from_key(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Leave out what comes before the first key picture: it lacks what it refers to."""
    begun = False
    for frame in frames:
        begun = begun or frame.key_frame
        if begun:
            yield frame


def _look(info: VideoInfo, frames: Iterator[VideoFrame]) -> Iterator[_Look]:
    """Look at pictures that follow each other."""
    before: NDArray[np.float32] | None = None
    change_before = 0.0
    for frame in frames:
        grey = _small(frame)
        change = _change(before, grey)
        cut = change is None or min(change, abs(change - change_before)) > CUT
        yield _Look(
            stamp=own_stamp(frame),
            key=frame.key_frame,
            usable=_is_usable(frame, info) and float(grey.std()) >= EMPTY,
            detail=gradient(grey),
            motion=0.0 if cut else change or 0.0,
            interlaced=_is_interlaced(frame, info),
            begins=cut,
        )
        before, change_before = grey, change or 0.0


def _change(before: NDArray[np.float32] | None, grey: NDArray[np.float32]) -> float | None:
    """Mean absolute difference in codes; None where there is nothing to compare with."""
    if before is None or before.shape != grey.shape:
        return None
    return float(np.abs(grey - before).mean())


def _small(frame: VideoFrame) -> NDArray[np.float32]:
    """The luma, averaged down to `SIDE` pixels."""
    longer = max(frame.width, frame.height, SIDE)
    width, height = (max(2, side * SIDE // longer) for side in (frame.width, frame.height))
    # One thread: see `vsr.media.pixels.planes.repacked`.
    small = frame.reformat(width=width, height=height, format="gray", interpolation="AREA", threads=1)
    return small.to_ndarray().astype(np.float32)


def gradient(grey: NDArray[np.float32]) -> float:
    """Mean absolute difference of neighbours, horizontal plus vertical."""
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean())


def _is_usable(frame: VideoFrame, info: VideoInfo) -> bool:
    same = (frame.width, frame.height, frame.format.name) == (info.width, info.height, info.pixel_format)
    return same and not frame.is_corrupt and not _is_interlaced(frame, info)


def _is_interlaced(frame: VideoFrame, info: VideoInfo) -> bool:
    """By its own mark, or by what the container says of all frames."""
    return frame.interlaced_frame or info.fields_by_container


def _as_arrays(looks: list[_Look], refused: int) -> SceneIndex:
    stamps = [look.stamp for look in looks]
    known = [stamp for stamp in stamps if stamp is not None]
    seekable = len(known) == len(stamps) and all(a < b for a, b in pairwise(known))
    key = np.array([look.key for look in looks])
    positions = np.arange(len(looks))
    # Where seeking is not possible everything is decoded from the beginning.
    keys = np.maximum.accumulate(np.where(key, positions, -1)) if seekable else np.zeros_like(positions)
    usable = np.array([look.usable for look in looks])
    return SceneIndex(
        stamps=np.array(known if seekable else positions, np.int64),
        keys=np.maximum(keys, 0),
        begins=np.array([look.begins for look in looks]),
        usable=usable & (keys >= 0),
        detail=np.array([look.detail for look in looks], np.float32),
        motion=np.array([look.motion for look in looks], np.float32),
        seekable=seekable,
        refused=refused,
        interlaced=sum(look.interlaced for look in looks),
    )
