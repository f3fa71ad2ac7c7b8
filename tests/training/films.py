"""Small films for the tests of footage: scenes that pan over generated photographs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from tests.training.photographs import photograph

Pixels = NDArray[np.uint8]
"""`(H, W, 3)`, R'G'B'."""


def pan(seed: int, count: int, *, height: int = 144, width: int = 176, step: int = 2) -> list[Pixels]:
    """Make a scene: a window that moves `step` pixels to the right in each frame."""
    side = max(height, width + step * count)
    image = photograph(seed, side).permute(1, 2, 0).numpy()
    return [image[:height, step * i : step * i + width] for i in range(count)]


def plain(level: int, count: int, *, height: int = 144, width: int = 176) -> list[Pixels]:
    """Make a scene of uniform grey."""
    return [np.full((height, width, 3), level, np.uint8)] * count


def write_film(
    path: Path,
    frames: Sequence[Pixels] | Iterable[Pixels],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    gop: int = 12,
    bframes: int = 2,
) -> Path:
    """Encode frames at 25 a second, with BT.601 and limited range unless the format is R'G'B'."""
    frames = list(frames)
    with av.open(str(path), "w") as box:
        stream = box.add_stream(codec, rate=25, options={"threads": "1", **(options or {})})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.codec_context.gop_size = pix_fmt, gop
        if codec in ("libx264", "mpeg2video", "mpeg4"):
            stream.codec_context.max_b_frames = bframes
        for i, frame in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            frame = frame.reformat(format=pix_fmt, threads=1)  # see `vsr.media.pixels.planes.repacked`
            frame.pts, frame.time_base = i, Fraction(1, 25)
            box.mux(stream.encode(frame))
        box.mux(stream.encode(None))
    return path
