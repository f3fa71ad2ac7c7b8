"""A picture of a frame before and after, written now and then while a run goes on.

It shows the square of the frame with the most detail, in pixels of the result: enlarged by a bicubic filter
at the left, and the result at the right. The pipeline only hands two frames over. A thread of low priority
makes the picture; if it has not finished the last one, the next is left out, so that no frame ever waits.

The thread calls no operator of torch (see Note [Who computes] in `graph`); swscale converts the colours.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from vsr.color.spec import Matrix
from vsr.frame import YuvFrame
from vsr.media.pixels.layouts import planar_format
from vsr.media.pixels.planes import to_av_frame
from vsr.pipeline.job.job import Job
from vsr.system.scheduling import lower_own_priority
from vsr.writing import write_derived

logger = logging.getLogger(__name__)

SIDE = 512
"""Side of the square in pixels of the result."""
_ALIGNED = 4  # pixels of the source: a multiple of all chroma subsamplings
_GAP = 8  # white pixels between both sides
_MATRICES = {Matrix.BT709: 1, Matrix.FCC: 4, Matrix.SMPTE240M: 7, Matrix.BT2020_NCL: 9}
"""Numbers of matrices that swscale knows (SWS_CS_*); others are shown as if they were BT.601 (5)."""


@dataclass(frozen=True, slots=True)
class _Pair:
    before: YuvFrame
    after: YuvFrame


@contextmanager
def previewed(job: Job, path: Path, *, every: int) -> Generator[Previews, None, None]:
    """Write pictures of every N-th frame of a job to `path` inside the block; see `Previews`."""
    previews = Previews(path, every=every, rotation=job.source.info.rotation)
    job.on_source, job.on_result = previews.source, previews.result
    try:
        yield previews
    finally:
        previews.close()


class Previews:
    """Writes pictures of every N-th frame of one run to one path; `close` ends the thread."""

    def __init__(self, path: Path, *, every: int, rotation: int = 0) -> None:
        """Start the thread.

        Args:
            path: PNG file, which is replaced in one step each time.
            every: Numbers of frames that are multiples of this are shown.
            rotation: Degrees by which a player turns the video, counter-clockwise.
        """
        self.path, self.written = path, 0
        self._every, self._turns = every, rotation // 90
        self._before: YuvFrame | None = None
        self._pair: _Pair | None = None
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="vsr-preview", daemon=True)
        self._thread.start()

    def source(self, frame: YuvFrame) -> None:
        """Keep a decoded frame that will be shown, until its result is there."""
        if frame.stamp.index % self._every == 0 and self._before is None:
            self._before = frame

    def result(self, frame: YuvFrame) -> None:
        """Hand the result over if its source was kept, and never wait."""
        before = self._before
        if before is None or before.stamp.index > frame.stamp.index:
            return
        if before.stamp.index == frame.stamp.index:
            with self._changed:
                if self._pair is None:
                    self._pair = _Pair(before, frame)
                    self._changed.notify_all()
        self._before = None

    def close(self) -> None:
        """Wait for the picture that is being made, and end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        lower_own_priority()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pair is not None or self._is_closed)
                pair = self._pair
            if pair is None:
                return
            try:
                write_derived(self.path, _png(pair, self._turns))
                self.written += 1
            except Exception as error:  # a picture for the eye never ends a run
                logger.warning("no preview of frame %d: %s", pair.before.stamp.index, error)
            with self._changed:
                self._pair = None


def _png(pair: _Pair, turns: int) -> bytes:
    left, right = (np.rot90(side, turns) for side in _sides(pair))
    gap = np.full((left.shape[0], _GAP, 3), 255, dtype=np.uint8)
    image = np.ascontiguousarray(np.concatenate([left, gap, right], axis=1))
    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "rgb24"
    encoder.time_base, encoder.options = Fraction(1), {"pred": "up", "compression_level": "1"}
    frame.pts = 0
    return b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))


def _sides(pair: _Pair) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the square of the source, enlarged, and that of the result: both `(H, W, 3)` of one size."""
    before, after = pair.before, pair.after
    scales = (Fraction(after.height, before.height), Fraction(after.width, before.width))
    least = min(before.height, before.width)
    side = _aligned(min(least, max(16, int(SIDE / max(scales))))) or least
    top, left = most_detailed(before.planes[0].numpy(), side)
    height, width = (max(2, int(side * scale) // 2 * 2) for scale in scales)
    at = [_aligned(int(place * scale)) for place, scale in zip((top, left), scales, strict=True)]
    small = _cropped(before, top, left, side, side)
    large = _cropped(after, at[0], at[1], height, width)
    size = large.planes[0].shape  # smaller at the border
    return _rgb(small, size[0], size[1]), _rgb(large, size[0], size[1])


def _aligned(pixels: int) -> int:
    return pixels // _ALIGNED * _ALIGNED


def most_detailed(luma: NDArray[np.generic], side: int) -> tuple[int, int]:
    """Return top and left of the square in which neighbours differ most, in steps of a quarter of its side.

    Args:
        luma: `(H, W)` integers.
        side: Side of the square, at most the smaller side of the image.
    """
    height, width = luma.shape
    step = max(_ALIGNED, side // 4 // _ALIGNED * _ALIGNED)
    thinned = luma[::2, ::2].astype(np.int32)
    change = np.abs(np.diff(thinned, axis=1, append=thinned[:, -1:]))
    change += np.abs(np.diff(thinned, axis=0, append=thinned[-1:]))
    tops, lefts = ({*range(0, rest, step), _aligned(rest)} for rest in (height - side, width - side))
    places = [(top, left) for top in sorted(tops) for left in sorted(lefts)]
    half = side // 2

    def detail(place: tuple[int, int]) -> int:
        top, left = place[0] // 2, place[1] // 2
        return int(change[top : top + half, left : left + half].sum())

    return max(places, key=detail)


def _cropped(frame: YuvFrame, top: int, left: int, height: int, width: int) -> YuvFrame:
    """Return a part of a frame without alpha; top and left are multiples of the chroma subsampling."""
    right, down = frame.layout.chroma_shift
    luma, *chroma = frame.planes
    is_subsampled = frame.layout.family == "yuv"
    planes = [luma[top : top + height, left : left + width]]
    height, width = planes[0].shape
    for plane in chroma:
        y, x = (top >> down, left >> right) if is_subsampled else (top, left)
        h, w = (-(-height >> down), -(-width >> right)) if is_subsampled else (height, width)
        planes.append(plane[y : y + h, x : x + w])
    layout = replace(frame.layout, alpha=False)
    if layout.family == "gray":  # swscale ignores the range of grey formats
        middle = np.full((height, width), 1 << layout.bit_depth - 1, dtype=luma.numpy().dtype)
        planes += [torch.from_numpy(middle)] * 2
        layout = replace(layout, family="yuv", chroma_shift=(0, 0))
    return replace(frame, planes=tuple(planes), alpha=None, layout=layout)


def _rgb(frame: YuvFrame, height: int, width: int) -> NDArray[np.uint8]:
    picture = to_av_frame(frame, planar_format(frame.layout))
    matrix = _MATRICES.get(frame.color.matrix, 5)
    is_rgb = frame.layout.family == "rgb"
    picture.colorspace = 0 if is_rgb else picture.colorspace
    made = picture.reformat(
        width=width,
        height=height,
        format="rgb24",
        src_colorspace=None if is_rgb else matrix,
        interpolation=Interpolation.BICUBIC,
        threads=1,
    )
    return np.asarray(made.to_ndarray(), dtype=np.uint8)
