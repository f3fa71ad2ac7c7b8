"""Frames of a video by their position, with a cache.

The cache changes the time to get a frame but never the frame, because
decoding always begins at the same keyframe.
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
from vsr.media.decode.facts.probe import probe
from vsr.media.files.opening import shown
from vsr.training.data.scenes import MAX_FRAMES, SceneIndex, frame_time, frames_from, index_video

logger = logging.getLogger(__name__)

SEEK_EARLIER = (0, 2, 20)
"""Seconds to seek before a keyframe, tried in this order, since seeking
in MPEG-TS and MPEG-PS is approximate."""
CACHE_BYTES = 256 << 20
"""Largest size of the cache for all videos of a run together; a clip may
need the same amount again for a moment."""


class FrameCache:
    """A cache of decoded frames by video and keyframe, thread-safe; the
    least recently used are dropped first."""

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        """Create an empty cache."""
        self.limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[str, int], list[VideoFrame]] = OrderedDict()
        self._bytes = 0

    def get(self, path: str, key: int) -> list[VideoFrame]:
        """Return the cached frames from a keyframe on; an empty list if there are none."""
        with self._lock:
            if (path, key) in self._held:
                self._held.move_to_end((path, key))
            return self._held.get((path, key), [])

    def put(self, path: str, key: int, frames: list[VideoFrame]) -> None:
        """Store the frames from a keyframe on, and replace those stored before for that keyframe."""
        with self._lock:
            self._bytes += _bytes_of(frames) - _bytes_of(self._held.pop((path, key), []))
            self._held[path, key] = frames
            while self._bytes > self.limit_bytes:
                self._bytes -= _bytes_of(self._held.popitem(last=False)[1])


def _bytes_of(frames: Sequence[VideoFrame]) -> int:
    return sum(plane.buffer_size for frame in frames for plane in frame.planes)


@dataclass(frozen=True, slots=True, eq=False)
class Video:
    """An indexed video file, and access to its frames."""

    info: VideoInfo
    index: SceneIndex
    cache: FrameCache

    def frames(self, first: int, count: int) -> list[VideoFrame]:
        """Decode frames.

        Args:
            first: Position of the first frame in `index`.
            count: Number of frames, all of one scene.

        Raises:
            InputError: The file no longer exists or has changed.
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
        """Return frames `begin` to `end` of the index, decoded from the keyframe at `key` on."""
        stamps = self.index.stamps
        for seconds_before in SEEK_EARLIER if self.index.seekable else ():
            frames = frames_from(self.info, int(stamps[key]), [], seconds_before=seconds_before)
            found = _pick(
                ((frame_time(frame), frame) for frame in frames), stamps[begin:end], int(stamps[key])
            )
            if found:
                return found
        frames = frames_from(self.info, None, [])
        known = ((frame_time(f) if self.index.seekable else i, f) for i, f in enumerate(frames))
        found = _pick(known, stamps[begin:end], int(stamps[key]))
        if not found:
            raise InputError(f"{shown(self.info.path)} has changed since it was opened. Start again")
        return found


def _pick(
    frames: Iterator[tuple[int | None, VideoFrame]], stamps: NDArray[np.int64], key: int
) -> list[VideoFrame]:
    """Return the frames with these times, or an empty list if decoding
    began after `key` or a frame is missing."""
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


def open_video(path: Path, cache: FrameCache, *, max_frames: int = MAX_FRAMES) -> Video:
    """Index a video, and log what was found.

    Raises:
        InputError: It cannot be opened, contains no video, or its colours cannot be converted.
    """
    info = probe(path)
    check_convertible(info.color, info.layout)
    index = index_video(info, max_frames=max_frames)
    logger.info("%s: %d frames analysed, %d scenes", shown(path), len(index), int(index.begins.sum()))
    left_out = len(index) - int(index.usable.sum())
    if left_out or index.refused:
        why = f"{left_out} frames skipped (empty, damaged or interlaced), {index.refused} not decodable"
        logger.warning("%s: %s", shown(path), why)
    return Video(info=info, index=index, cache=cache)
