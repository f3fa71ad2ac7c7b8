"""Frames of a video by their number.

What is kept changes the time that a picture takes, never the picture: decoding always begins at the same key
picture.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from vsr.color.convert import check_convertible
from vsr.errors import InputError
from vsr.frame import VideoInfo
from vsr.media.decode.probe import probe
from vsr.media.files.opening import shown
from vsr.training.data.scenes import MOST, SceneIndex, index_video, own_stamp, pictures_from

logger = logging.getLogger(__name__)

SEEK_EARLIER = (0, 2, 20)
"""Seconds before a key picture, tried in turn: MPEG-TS and -PS are sought in by guesses."""
CACHE_BYTES = 256 << 20
"""Decoded pictures kept, for all videos of a run together; a clip may hold as much again for a moment."""


class FrameCache:
    """Decoded pictures by video and key picture, the least recently used dropped first; for many threads."""

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        """Start empty."""
        self.limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[str, int], list[VideoFrame]] = OrderedDict()
        self._bytes = 0

    def get(self, path: str, key: int) -> list[VideoFrame]:
        """The pictures held from a key picture on; none if it is not held."""
        with self._lock:
            if (path, key) in self._held:
                self._held.move_to_end((path, key))
            return self._held.get((path, key), [])

    def put(self, path: str, key: int, frames: list[VideoFrame]) -> None:
        """Keep pictures, instead of those that were kept from that key picture on."""
        with self._lock:
            self._bytes += _bytes_of(frames) - _bytes_of(self._held.pop((path, key), []))
            self._held[path, key] = frames
            while self._bytes > self.limit_bytes:
                self._bytes -= _bytes_of(self._held.popitem(last=False)[1])


def _bytes_of(frames: Sequence[VideoFrame]) -> int:
    return sum(plane.buffer_size for frame in frames for plane in frame.planes)


@dataclass(frozen=True, slots=True, eq=False)
class Video:
    """A video file that was looked at, and how its pictures are got."""

    info: VideoInfo
    index: SceneIndex
    cache: FrameCache

    def frames(self, first: int, count: int) -> list[VideoFrame]:
        """Decode pictures.

        Args:
            first: Position of the first in `index`.
            count: How many, all of one scene.

        Raises:
            InputError: the file is gone, or no longer what it was.
        """
        key, end = int(self.index.keys[first]), first + count
        held = self.cache.get(self.info.path, key)
        if len(held) >= end - key:
            return held[first - key : end - key]
        fits = (end - key) * self._frame_bytes <= self.cache.limit_bytes
        begin = key if fits else first
        frames = self._decode(key, begin, end)
        if fits:
            self.cache.put(self.info.path, key, frames)
        return frames[first - begin :]

    @property
    def _frame_bytes(self) -> int:
        layout = self.info.layout
        chroma = 2 / (1 << sum(layout.chroma_shift)) if layout.family == "yuv" else 2
        return int(self.info.width * self.info.height * (1 + chroma)) * (1 if layout.bit_depth == 8 else 2)

    def _decode(self, key: int, begin: int, end: int) -> list[VideoFrame]:
        """Pictures `begin` to `end` of the index, decoded on from `key`."""
        stamps = self.index.stamps
        for seconds_before in SEEK_EARLIER if self.index.seekable else ():
            frames = pictures_from(self.info, int(stamps[key]), [], seconds_before=seconds_before)
            found = _pick(
                ((own_stamp(frame), frame) for frame in frames), stamps[begin:end], int(stamps[key])
            )
            if found:
                return found
        frames = pictures_from(self.info, None, [])
        known = ((own_stamp(f) if self.index.seekable else i, f) for i, f in enumerate(frames))
        found = _pick(known, stamps[begin:end], int(stamps[key]))
        if not found:
            raise InputError(f"{shown(self.info.path)}: has changed since it was opened. Start again")
        return found


def _pick(
    frames: Iterator[tuple[int | None, VideoFrame]], stamps: NDArray[np.int64], key: int
) -> list[VideoFrame]:
    """The frames with these stamps; none unless decoding began at `key` or before and all are there."""
    wanted = set(stamps.tolist())
    picked: list[VideoFrame] = []
    begun = False
    for stamp, frame in frames:
        if stamp is None or (not begun and stamp > key):
            return []
        begun = True
        if stamp in wanted:
            picked.append(frame)
        if len(picked) == len(wanted):
            return picked
    return []


def open_video(path: Path, cache: FrameCache, *, most: int = MOST) -> Video:
    """Look at a video once, and say what was found.

    Raises:
        InputError: it cannot be opened, holds no video, or its colours cannot be converted.
    """
    info = probe(path)
    check_convertible(info.color, info.layout)
    index = index_video(info, most=most)
    logger.info("%s: %d pictures looked at, %d scenes", shown(path), len(index), int(index.begins.sum()))
    left_out = len(index) - int(index.usable.sum())
    if left_out or index.refused:
        why = f"{left_out} pictures left out (empty, damaged or interlaced), {index.refused} not decodable"
        logger.warning("%s: %s", shown(path), why)
    return Video(info=info, index=index, cache=cache)
